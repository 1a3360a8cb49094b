//! The ONNX standard's own tests as data: each a small model, mostly of one node, with inputs and the outputs they must give.
//!
//! `assets/nodes/make.py` writes them into a folder. [`cases`] lists them, [`Trial::judge`] runs one on a backend, and a
//! [`Tally`] counts what came of all. A backend need not support a model, but must say so when it is asked or when it loads
//! it; what it answers must be right.
//!
//! ```no_run
//! # fn check(backend: std::sync::Arc<dyn unruffled_model::Backend>) -> Result<(), unruffled_model::ModelError> {
//! use unruffled_testing::nodes::{Tally, Trial, cases};
//!
//! let trial = Trial::new(backend);
//! let mut tally = Tally::default();
//! for case in cases("models/.cache/nodes".as_ref())? {
//!     tally.add(&case, trial.judge(&case));
//! }
//! println!("{tally}");
//! # Ok(())
//! # }
//! ```

mod proto;

mod value;

mod compare;

mod case;

mod outcome;

mod trial;

mod expected;

pub use case::{Case, cases};
pub use expected::Expected;
pub use outcome::{Outcome, Tally, Verdict};
pub use trial::Trial;
