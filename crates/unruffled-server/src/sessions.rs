//! [`Sessions`]: the sequence extension: requests of one client that go on from the state that those before have left.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use unruffled_engine::{Error, ErrorKind, Handle, SequenceOptions, Sequences, Session};
use unruffled_model::{Name, TensorCarrier, Tensors};
use unruffled_protocol::{ParameterValue, Parameters, ProtocolError};

use crate::refusal::Refusal;

/// What a request says of the sequence that it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) id: String,
    begins: bool,
    pub(crate) ends: bool,
}

impl Step {
    /// What these parameters say, if anything: 0 and an empty text name no sequence.
    pub(crate) fn of(parameters: &Parameters) -> Result<Option<Self>, ProtocolError> {
        let id = match parameters.get("sequence_id") {
            None => None,
            Some(ParameterValue::Text(id)) => Some(id.clone()).filter(|id| !id.is_empty()),
            Some(_) => parameters.u64("sequence_id")?.filter(|id| *id != 0).map(|id| id.to_string()),
        };
        let begins = parameters.bool("sequence_start")?.unwrap_or(false);
        let ends = parameters.bool("sequence_end")?.unwrap_or(false);
        match id {
            Some(id) => Ok(Some(Self { id, begins, ends })),
            None if begins || ends => Err(ProtocolError::invalid_parameter(
                "parameter `sequence_id` is missing, or 0; the request says that a sequence begins or ends: name it",
            )),
            None => Ok(None),
        }
    }
}

/// The sessions of all models, each by the name that its client gave.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Name, Sequences<TensorCarrier>>>);

impl Sessions {
    /// The session that a step belongs to, begun if the step says so; one of the same name then ends. `name` is what the
    /// sequence is called here, where clients may call theirs the same.
    pub(crate) fn find(
        &self,
        handle: &Handle<Tensors, Tensors>,
        step: &Step,
        name: &str,
    ) -> Result<Session<TensorCarrier>, Refusal> {
        let sequences = self.of(handle)?;
        if step.begins {
            return Ok(begin(&sequences, name)?);
        }
        sequences.get(name).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Refusal::bad_request(format!(
                "model `{}` has no sequence `{}`: it never began, has ended, or was idle for too long; begin it with \
                 `sequence_start`",
                handle.name(),
                step.id
            )),
            _ => error.into(),
        })
    }

    /// Ends all sessions of a model that has gone: they would keep it in memory.
    pub(crate) fn forget(&self, model: &str) {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
        drop(gone);
    }

    /// The sessions of a model; those of one that was loaded anew are others.
    fn of(&self, handle: &Handle<Tensors, Tensors>) -> Result<Sequences<TensorCarrier>, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sequences) = known.get(handle.name())
            && sequences.handle().is_same(handle)
        {
            return Ok(sequences.clone());
        }
        let sequences = handle.sequences(SequenceOptions::default())?;
        known.insert(handle.name().clone(), sequences.clone());
        Ok(sequences)
    }
}

fn begin(sequences: &Sequences<TensorCarrier>, id: &str) -> Result<Session<TensorCarrier>, Error> {
    if let Ok(old) = sequences.get(id) {
        old.end();
    }
    sequences.begin_named(id)
}

#[cfg(test)]
mod tests {
    use unruffled_protocol::Parameters;

    use super::Step;

    fn step(id: &str, begins: bool, ends: bool) -> Option<Step> {
        Some(Step { id: id.to_owned(), begins, ends })
    }

    #[test]
    fn parameters_name_a_step() {
        let plain = Parameters::new;
        assert_eq!(Step::of(&plain()), Ok(None));
        assert_eq!(Step::of(&plain().with("sequence_id", 0_i64).with("sequence_start", false)), Ok(None));
        assert_eq!(
            Step::of(&plain().with("sequence_id", u64::MAX)),
            Ok(step("18446744073709551615", false, false))
        );
        let all = plain().with("sequence_id", "a").with("sequence_start", true).with("sequence_end", true);
        assert_eq!(Step::of(&all), Ok(step("a", true, true)));
        for bad in [
            plain().with("sequence_id", -1_i64),
            plain().with("sequence_id", true),
            plain().with("sequence_start", true),
            plain().with("sequence_id", "").with("sequence_end", true),
            plain().with("sequence_id", "a").with("sequence_end", 1_i64),
        ] {
            assert!(Step::of(&bad).is_err(), "{bad:?}");
        }
    }
}
