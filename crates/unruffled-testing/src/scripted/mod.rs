//! Models that do as the test says: wait, panic, fail, watch for cancellation, and remember what they saw.
//!
//! ```
//! use unruffled_model::{Batch, CancelToken, LoadedModel, RequestContext, RequestId, RunContext};
//! use unruffled_testing::scripted::{Gate, ScriptedModel};
//!
//! let gate = Gate::closed();
//! let model = ScriptedModel::new(|x: &u32, _| Ok(x + 1)).gated(&gate);
//! let script = model.script();
//! let cancel = CancelToken::new();
//! let requests = [RequestContext::new(RequestId::Number(7))];
//! std::thread::scope(|scope| {
//!     let answer = scope.spawn(|| {
//!         let mut batch = Batch::new([1]);
//!         let ctx = RunContext::new(&cancel, None, &requests);
//!         model.with_instance(&mut |instance| instance.run(&mut batch, &ctx).unwrap()).unwrap();
//!         batch.into_rows().remove(0).into_answer().unwrap().unwrap()
//!     });
//!     assert_eq!(gate.entered(), [RequestId::Number(7)]); // the run has begun, and waits
//!     gate.release(1);
//!     assert_eq!(answer.join().unwrap(), 2);
//! });
//! assert_eq!(script.batches()[0].requests, [RequestId::Number(7)]);
//! ```

mod gate;

mod script;

mod model;

pub use gate::Gate;
pub use model::{ScriptedModel, doubling, tensors};
pub use script::{Script, SeenBatch};
