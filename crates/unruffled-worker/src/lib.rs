//! Python models behind the `Model` trait, each instance in a process of its own.
//!
//! A model is a class in a `model.py`, or an estimator that was saved with skops, joblib or pickle. [`PythonBackend`] starts it
//! with an interpreter of the user's choice, which needs numpy and nothing of ours: the Python side is carried in here and
//! handed over when the process starts. A crash, a leak or an endless loop costs that process only; what is cancelled is
//! interrupted inside Python, and killed if it does not stop; no process outlives this one.
//!
//! ```no_run
//! use unruffled_model::{Backend, BackendOptions, CancelToken, LoadContext, ModelSource};
//! use unruffled_worker::{PythonBackend, PythonOptions};
//!
//! let mut options = BackendOptions::default();
//! options.special = options.special.with(PythonOptions::default().with_python(".venv"));
//! let source = ModelSource::File("models/iris/model.py".into());
//! let cancel = CancelToken::new();
//! let model = PythonBackend::new().load(&source, &options, &LoadContext::new(&cancel, &|_| ()))?;
//! println!("{:?}", model.info().signature);
//! # Ok::<(), unruffled_model::ModelError>(())
//! ```
//!
//! On Windows the backend says of every model that it does not support it: there are no Unix sockets to hand over, no process
//! groups to end, and no signal that interrupts Python.
//!
//! There is no async here, and no restart with back-off: a worker that dies is reported as a crash, and whoever runs the
//! instances builds another, which is ready by then.

mod options;

mod interpreter;

#[cfg(unix)]
mod frame;
#[cfg(unix)]
mod sources;

#[cfg(unix)]
mod element;
#[cfg(unix)]
mod shared;

#[cfg(unix)]
mod message;

#[cfg(unix)]
mod batch;
#[cfg(unix)]
mod exchange;

#[cfg(unix)]
mod process;
#[cfg(unix)]
mod watch;

#[cfg(unix)]
mod channel;
#[cfg(unix)]
mod launcher;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod transcript;

#[cfg(unix)]
mod worker;

#[cfg(unix)]
mod nursery;

#[cfg(unix)]
mod loaded;

#[cfg(unix)]
mod backend;
#[cfg(not(unix))]
mod unsupported;

#[cfg(unix)]
pub use backend::PythonBackend;
pub use interpreter::PythonInterpreter;
pub use options::{PythonOptions, Spare};
#[cfg(not(unix))]
pub use unsupported::PythonBackend;
