//! [`Asked`]: one item of a stream that is with the model, and what it gives.

use futures_util::{FutureExt as _, StreamExt as _};
use unruffled::engine::{Error, Infer, Outputs, Request};
use unruffled::model::Provenance;
use unruffled::{Batching, TensorHandle, Tensors, Timings};

/// An item that was sent to the model; cancelled when it is dropped.
pub(super) struct Asked {
    item: usize,
    way: Way,
}

enum Way {
    /// One result, in a run that it may share with others.
    One(Infer<Tensors, Tensors>),
    /// As many as the model gives; and what is known of the one after that which was given last.
    Many(Box<Outputs<Tensors, Tensors>>, Ahead),
}

enum Ahead {
    Unknown,
    Known(Option<Result<Tensors, Error>>),
}

/// One result of an item.
pub(super) struct Given {
    pub(super) item: usize,
    /// None after the last of several, which nobody knew to be the last.
    pub(super) result: Option<Result<Tensors, Error>>,
    pub(super) is_last: bool,
    pub(super) timings: Option<Timings>,
    pub(super) provenance: Option<Box<Provenance>>,
}

impl Asked {
    /// Sends it. A model that gains from batches gives one output, and would share no run if it were asked for more.
    pub(super) fn new(item: usize, handle: &TensorHandle, request: Request<'_, Tensors, Tensors>) -> Self {
        let way = match handle.info().batching {
            Batching::Joint => Way::One(request.submit()),
            _ => Way::Many(Box::new(request.outputs()), Ahead::Unknown),
        };
        Self { item, way }
    }

    pub(super) async fn next(&mut self) -> Given {
        let item = self.item;
        let given = Given { item, result: None, is_last: true, timings: None, provenance: None };
        match &mut self.way {
            Way::One(answer) => match answer.await {
                Ok(response) => Given {
                    result: Some(Ok(response.output)),
                    timings: Some(response.timings),
                    provenance: response.provenance,
                    ..given
                },
                Err(error) => Given { result: Some(Err(error)), ..given },
            },
            Way::Many(outputs, ahead) => {
                let result = match std::mem::replace(ahead, Ahead::Unknown) {
                    Ahead::Known(result) => result,
                    Ahead::Unknown => outputs.next().await,
                };
                if let Some(Ok(_)) = result {
                    // Most models give one output, and are known to have ended when it is here.
                    *ahead = outputs.next().now_or_never().map_or(Ahead::Unknown, Ahead::Known);
                    if !matches!(ahead, Ahead::Known(None)) {
                        return Given { result, is_last: false, ..given };
                    }
                }
                Given {
                    result,
                    timings: outputs.timings(),
                    provenance: outputs.provenance().cloned().map(Box::new),
                    ..given
                }
            }
        }
    }
}
