//! How requests are scheduled: batches and sequences.

use unruffled_model::{DType, Dim};

use super::field::{dim, dtype, note};
use super::text::{Fault, Field};
use crate::config::typed::Note;

/// What sessions keep.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    pub(super) states: Vec<State>,
    /// Inputs that tell the model of a call that it is one, or the first.
    pub(super) controls: Vec<Control>,
}

/// An output that is an input of the next call.
#[derive(Debug)]
pub(super) struct State {
    pub(super) line: usize,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) dtype: Option<DType>,
    pub(super) dims: Vec<Dim>,
    /// The dimensions before the first call, where they are said.
    pub(super) initial: Option<Vec<Dim>>,
}

/// An input that the server fills.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) line: usize,
    pub(super) input: String,
    pub(super) dtype: DType,
    /// In the first call of a sequence.
    pub(super) first: f64,
    /// In all others.
    pub(super) later: f64,
}

const NO_WAITING: &str = "nobody waits for a batch to fill: it is formed when an instance is free";

/// The requests that may wait.
pub(super) fn batching(field: &Field, notes: &mut Vec<Note>) -> Result<Option<usize>, Fault> {
    let mut items = None;
    for part in field.message()? {
        match &*part.name {
            "preferred_batch_size" | "max_queue_delay_microseconds" => notes.push(note(part, NO_WAITING)),
            "preserve_ordering" => {
                if part.truth()? {
                    notes.push(note(part, "each answer goes out when it is there"));
                }
            }
            "priority_levels" | "default_priority_level" => {
                let why =
                    "the parameter `priority` is 1 for interactive, 2 for normal, from 3 on for bulk work";
                notes.push(note(part, why));
            }
            "default_queue_policy" => items = queue(part, notes)?,
            "priority_queue_policy" => notes.push(note(part, "all priorities have one queue")),
            _ => return Err(part.unknown()),
        }
    }
    Ok(items)
}

fn queue(field: &Field, notes: &mut Vec<Note>) -> Result<Option<usize>, Fault> {
    let mut items = None;
    for part in field.message()? {
        match &*part.name {
            // 0 is no limit; here there always is one.
            "max_queue_size" => items = Some(part.count()?).filter(|count| *count > 0),
            "timeout_action" => match part.word()? {
                "REJECT" => {}
                "DELAY" => notes.push(note(part, "a request whose time is over is refused, not delayed")),
                other => return Err(part.fault(format!("unknown action {other}; expected REJECT or DELAY"))),
            },
            "default_timeout_microseconds" => {
                if part.count()? > 0 {
                    notes.push(note(part, "a request has the time that its parameter `timeout` says"));
                }
            }
            "allow_timeout_override" => {}
            _ => return Err(part.unknown()),
        }
    }
    Ok(items)
}

pub(super) fn sequence(field: &Field, notes: &mut Vec<Note>) -> Result<Sequence, Fault> {
    let mut sequence = Sequence::default();
    for part in field.message()? {
        match &*part.name {
            "max_sequence_idle_microseconds" => {
                notes.push(note(part, "a sequence ends after five minutes without a call"));
            }
            "control_input" => sequence.controls.push(control(part)?),
            "state" => sequence.states.push(state(part, notes)?),
            "direct" | "oldest" => {
                for setting in part.message()? {
                    let why = match &*setting.name {
                        "max_queue_delay_microseconds"
                        | "preferred_batch_size"
                        | "minimum_slot_utilization" => NO_WAITING,
                        "max_candidate_sequences" => "1,024 sequences of a model may be under way",
                        "preserve_ordering" => "calls of a sequence are answered in their order anyway",
                        _ => return Err(setting.unknown()),
                    };
                    notes.push(note(setting, why));
                }
            }
            "iterative_sequence" if !part.truth()? => {}
            "iterative_sequence" => {
                let message = "has the model run again and again for one request, which is not done here; take it out, or \
                               write a model.py that yields";
                return Err(part.fault(message));
            }
            _ => return Err(part.unknown()),
        }
    }
    if sequence.states.is_empty() {
        let message = "names no `state`, and an ONNX model keeps nothing by itself; add the outputs that are inputs of the \
                       next call, or take it out";
        return Err(field.fault(message));
    }
    Ok(sequence)
}

fn control(field: &Field) -> Result<Control, Fault> {
    let (mut input, mut told) = (None, None);
    for part in field.message()? {
        match &*part.name {
            "name" => part.put(&mut input, part.text()?.to_owned())?,
            "control" => {
                let values = values(part)?;
                part.put(&mut told, values)?;
            }
            _ => return Err(part.unknown()),
        }
    }
    let (Some(input), Some(told)) = (input, told) else {
        return Err(field.fault("needs a name and a control"));
    };
    let (dtype, first, later) = told.value;
    Ok(Control { line: field.line, input: input.value, dtype, first, later })
}

/// The type of a control, its value in the first call, and that in all others.
fn values(field: &Field) -> Result<(DType, f64, f64), Fault> {
    let (mut kind, mut values, mut dtype) = (None, Vec::new(), DType::F32);
    for part in field.message()? {
        match &*part.name {
            "kind" => part.put(&mut kind, part.word()?.to_owned())?,
            "int32_false_true" => {
                dtype = DType::I32;
                values.push(part.whole(i64::MIN)? as f64);
            }
            "fp32_false_true" => {
                dtype = DType::F32;
                values.push(part.number()?);
            }
            "bool_false_true" => {
                dtype = DType::Bool;
                values.push(f64::from(u8::from(part.truth()?)));
            }
            "data_type" => {}
            _ => return Err(part.unknown()),
        }
    }
    let kind = kind.map_or("CONTROL_SEQUENCE_START".to_owned(), |kind| kind.value);
    let is_start = match &*kind {
        "CONTROL_SEQUENCE_START" => true,
        "CONTROL_SEQUENCE_READY" => false,
        "CONTROL_SEQUENCE_END" | "CONTROL_SEQUENCE_CORRID" => {
            let message = format!(
                "tells the model something of its sequence that it does not hear here ({kind}); export it without that \
                 input: it is told of the first call, and is given its `state`"
            );
            return Err(field.fault(message));
        }
        other => {
            return Err(
                field.fault(format!("unknown kind {other}; expected CONTROL_SEQUENCE_START or _READY"))
            );
        }
    };
    let [no, yes] = values.as_slice() else {
        return Err(field.fault("needs two values, for false and for true"));
    };
    // Rows that are not ready, as Triton fills its slots with, there are none.
    Ok((dtype, *yes, if is_start { *no } else { *yes }))
}

fn state(field: &Field, notes: &mut Vec<Note>) -> Result<State, Fault> {
    let (mut input, mut output, mut initial) = (None, None, None);
    let (mut dims, mut element) = (Vec::new(), None);
    for part in field.message()? {
        match &*part.name {
            "input_name" => part.put(&mut input, part.text()?.to_owned())?,
            "output_name" => part.put(&mut output, part.text()?.to_owned())?,
            "data_type" => element = Some(dtype(part)?),
            "dims" => dims.push(dim(part)?),
            "initial_state" => {
                let dims = initial_state(part)?;
                part.put(&mut initial, dims)?;
            }
            "use_same_buffer_for_input_output" | "use_growable_memory" => {
                notes.push(note(part, "where a state lies is decided here"));
            }
            _ => return Err(part.unknown()),
        }
    }
    let (Some(input), Some(output)) = (input, output) else {
        return Err(field.fault("needs `input_name` and `output_name`"));
    };
    Ok(State {
        line: field.line,
        input: input.value,
        output: output.value,
        dtype: element,
        dims,
        initial: initial.map(|initial| initial.value),
    })
}

fn initial_state(field: &Field) -> Result<Vec<Dim>, Fault> {
    let mut dims = Vec::new();
    for part in field.message()? {
        match &*part.name {
            "name" | "data_type" | "zero_data" => {}
            "dims" => dims.push(dim(part)?),
            "data_file" => {
                let message = "reads the first state from a file, which is not done here; use zero_data, and have the model \
                               make its first state of zeros";
                return Err(part.fault(message));
            }
            _ => return Err(part.unknown()),
        }
    }
    Ok(dims)
}
