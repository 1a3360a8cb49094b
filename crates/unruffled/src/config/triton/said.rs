//! [`Said`]: what a `config.pbtxt` says, as plain data. What cannot be kept here is refused while it is read.

use unruffled_model::{DType, Dim};

use super::copies;
use super::field::{Said, dim, dtype, note};
use super::schedule::{self, Sequence};
use super::steps::{self, Step};
use super::text::{Fault, Field, Message};
use crate::config::typed::{Note, Versions};

/// The settings of one model, as Triton has them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) name: Option<Said<String>>,
    pub(super) platform: Option<Said<String>>,
    pub(super) backend: Option<Said<String>>,
    pub(super) max_batch: Option<Said<usize>>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) instances: Option<Said<usize>>,
    pub(super) versions: Option<Said<Versions>>,
    pub(super) queue_items: Option<usize>,
    pub(super) sequence: Option<Said<Sequence>>,
    pub(super) ensemble: Option<Said<Vec<Step>>>,
    pub(super) file: Option<Said<String>>,
    pub(super) threads: Option<usize>,
    pub(super) warm_up: usize,
    pub(super) caches: bool,
    /// What has no effect here.
    pub(super) notes: Vec<Note>,
}

/// An input or an output.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) dtype: Option<DType>,
    pub(super) dims: Vec<Dim>,
    /// The dimensions that the model itself has, where they are others.
    pub(super) reshape: Option<Said<Vec<Dim>>>,
    /// Where it is said that callers may leave it out.
    pub(super) optional: Option<usize>,
    pub(super) labels: Option<Said<String>>,
}

/// Fields that cannot change an answer, and why they have no effect.
const IDLE: [(&str, &str); 5] = [
    ("runtime", "what can run the file is chosen here"),
    ("optimization", "what runs the model optimises it as it does by itself"),
    ("cc_model_filenames", "it is for GPUs, and the model runs on the processor"),
    ("metric_tags", "metrics are labelled with model and version"),
    ("model_metrics", "the buckets of metrics are fixed"),
];

/// Fields without which answers would be others, why they cannot be kept, and what to do.
const REFUSED: [(&str, &str); 4] = [
    (
        "batch_input",
        "gives the model a tensor that says how requests were joined, which is not done here; export the model with a \
         batch dimension of its own",
    ),
    (
        "batch_output",
        "takes outputs apart by how requests were joined, which is not done here; export the model with a batch dimension \
         of its own",
    ),
    (
        "model_operations",
        "loads operators from a library, which is not done here; export the model with the standard's operators, or run it \
         from a model.py",
    ),
    (
        "model_repository_agents",
        "changes the files before they are loaded, which is not done here; have them changed before they are put here",
    ),
];

pub(super) fn read(fields: &Message) -> Result<Settings, Fault> {
    let mut said = Settings::default();
    for field in fields {
        let name = &*field.name;
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(field.fault(*why));
        }
        if let Some((_, why)) = IDLE.iter().find(|(idle, _)| *idle == name) {
            said.notes.push(note(field, why));
            continue;
        }
        match name {
            "name" => field.put(&mut said.name, field.text()?.to_owned())?,
            "platform" => field.put(&mut said.platform, field.text()?.to_owned())?,
            "backend" => field.put(&mut said.backend, field.text()?.to_owned())?,
            "max_batch_size" => field.put(&mut said.max_batch, field.count()?)?,
            "default_model_filename" => field.put(&mut said.file, field.text()?.to_owned())?,
            "input" => said.inputs.push(port(field, &mut said.notes)?),
            "output" => said.outputs.push(port(field, &mut said.notes)?),
            "version_policy" => field.put(&mut said.versions, copies::versions(field)?)?,
            "instance_group" => {
                let more = copies::group(field, &mut said.notes)?;
                let instances = said.instances.get_or_insert(Said { value: 0, line: field.line });
                instances.value = instances.value.saturating_add(more);
            }
            "dynamic_batching" => said.queue_items = schedule::batching(field, &mut said.notes)?,
            "sequence_batching" => {
                let sequence = schedule::sequence(field, &mut said.notes)?;
                field.put(&mut said.sequence, sequence)?;
            }
            "ensemble_scheduling" => {
                let steps = steps::ensemble(field, &mut said.notes)?;
                field.put(&mut said.ensemble, steps)?;
            }
            "parameters" => parameter(field, &mut said)?,
            "model_warmup" => {
                said.warm_up = said.warm_up.saturating_add(copies::warm_up(field, &mut said.notes)?);
            }
            "response_cache" => said.caches = flag(field, "enable")?.is_some_and(|enable| enable.value),
            "model_transaction_policy" => refuse_decoupled(field)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(said)
}

/// A message of one truth value.
fn flag(message: &Field, name: &str) -> Result<Option<Said<bool>>, Fault> {
    let mut flag = None;
    for field in message.message()? {
        match &*field.name {
            found if found == name => field.put(&mut flag, field.truth()?)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(flag)
}

fn refuse_decoupled(message: &Field) -> Result<(), Fault> {
    match flag(message, "decoupled")? {
        Some(Said { value: true, line }) => Err(Fault {
            line,
            key: Some(format!("{}.decoupled", message.key())),
            message:
                "an ONNX model gives one answer to one request; take it out, or write a model.py that yields"
                    .into(),
        }),
        _ => Ok(()),
    }
}

fn port(field: &Field, notes: &mut Vec<Note>) -> Result<Port, Fault> {
    let (mut name, mut labels, mut reshape) = (None, None, None);
    let mut port = Port {
        name: String::new(),
        line: field.line,
        dtype: None,
        dims: Vec::new(),
        reshape: None,
        optional: None,
        labels: None,
    };
    for part in field.message()? {
        match (&*field.name, &*part.name) {
            (_, "name") => part.put(&mut name, part.text()?.to_owned())?,
            (_, "data_type") => port.dtype = Some(dtype(part)?),
            (_, "dims") => port.dims.push(dim(part)?),
            (_, "reshape") => {
                let dims = shape(part)?;
                part.put(&mut reshape, dims)?;
            }
            ("input", "format") => match part.word()? {
                "FORMAT_NONE" => {}
                _ => notes.push(note(part, "the dimensions say it already")),
            },
            ("input", "allow_ragged_batch") if part.truth()? => {
                let message = "joins requests whose shapes differ, which needs a batch_input; take it out: such requests \
                               are run one by one";
                return Err(part.fault(message));
            }
            ("input", "optional") => port.optional = part.truth()?.then_some(part.line),
            ("output", "label_filename") => part.put(&mut labels, part.text()?.to_owned())?,
            (_, "is_shape_tensor" | "is_non_linear_format_io") if part.truth()? => {
                return Err(part.fault("is for TensorRT, which does not run models here; take it out"));
            }
            ("input", "allow_ragged_batch") | (_, "is_shape_tensor" | "is_non_linear_format_io") => {}
            _ => return Err(part.unknown()),
        }
    }
    if let Some(reshape) = &reshape
        && !is_same_size(&port.dims, &reshape.value)
    {
        let message = "has other elements than `dims`; as many sizes must be -1 in both, and the others have one product";
        return Err(Fault {
            line: reshape.line,
            key: Some(format!("{}.reshape", field.name)),
            message: message.into(),
        });
    }
    match name.map(|name| name.value) {
        Some(name) if !name.is_empty() => Ok(Port { name, labels, reshape, ..port }),
        _ => Err(field.fault("has no name; add that of the model's own")),
    }
}

/// The dimensions of a `reshape`, of which there may be none.
fn shape(field: &Field) -> Result<Vec<Dim>, Fault> {
    let mut dims = Vec::new();
    for part in field.message()? {
        match &*part.name {
            "shape" => dims.push(dim(part)?),
            _ => return Err(part.unknown()),
        }
    }
    Ok(dims)
}

/// Whether the sizes between those that are open hold as many elements in both.
fn is_same_size(one: &[Dim], other: &[Dim]) -> bool {
    let products = |dims: &[Dim]| {
        let product = |dims: &[Dim]| {
            dims.iter().try_fold(1_usize, |all, dim| match dim {
                Dim::Fixed(size) => all.checked_mul(*size),
                Dim::Symbolic(_) | Dim::Any => Some(all),
            })
        };
        dims.split(|dim| *dim == Dim::Any).map(product).collect::<Option<Vec<_>>>()
    };
    products(one).is_some_and(|products_of_one| products(other) == Some(products_of_one))
}

fn parameter(field: &Field, said: &mut Settings) -> Result<(), Fault> {
    let (key, value) = field.entry()?;
    let mut text = None;
    for part in value.map(Field::message).transpose()?.into_iter().flatten() {
        match &*part.name {
            "string_value" => part.put(&mut text, part.text()?)?,
            _ => return Err(part.unknown()),
        }
    }
    match (key, text) {
        ("intra_op_thread_count", Some(Said { value, line })) => {
            let count: usize = value.trim().parse().map_err(|_| Fault {
                line,
                key: Some(format!("{}.{key}", field.key())),
                message: format!("\"{value}\" is no number of threads"),
            })?;
            // 0: as the runtime likes.
            said.threads = Some(count).filter(|count| *count > 0);
        }
        _ => said.notes.push(Note {
            line: field.line,
            key: format!("{}.{key}", field.key()),
            why: "nothing that runs models here reads it".into(),
        }),
    }
    Ok(())
}
