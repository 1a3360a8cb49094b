//! What every backend must pass: recorded answers, and the contract of the traits.
//!
//! A folder of recordings holds `MODEL/CASE/in.NAME.npy` and `MODEL/CASE/out.NAME.npy`, names percent-encoded. A model is
//! looked for as `MODEL/1/model.onnx` in some folders of models. Everything is checked before anything is reported.
//!
//! ```no_run
//! # fn check(backend: &dyn unruffled_model::Backend) {
//! use unruffled_testing::conformance::Suite;
//!
//! let models = ["assets/conformance/models", "assets/models", "models"];
//! let report = Suite::new("assets/conformance", models).check(backend);
//! println!("{report}");
//! report.assert_passed();
//! # }
//! ```
//!
//! Checked of each model: that it loads, that its signature fits the recordings, that each case gives the recorded
//! answer, alone, joined with others, and while a second instance runs; that batches of no rows and cancelled runs do no
//! harm; and that inputs which do not fit are refused by name. Floats may differ by 1e-5 and 1e-4 of their size;
//! everything else, and what the model only passes on, must be equal. A backend that computes in 32 bits may refuse a case
//! that needs 64, but not answer it wrongly.

mod recording;

mod compare;

mod report;

mod checks;

mod suite;

pub use compare::Difference;
pub use report::{Failure, ModelReport, Report, Unchecked};
pub use suite::Suite;
