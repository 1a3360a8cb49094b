//! Which versions are served, in how many copies, and how those are warmed up.

use super::field::note;
use super::text::{Fault, Field};
use crate::config::typed::{Note, Versions};

/// What a GPU is said for.
const GPU: &str =
    "the model runs on the processor; for a GPU write a model.toml, with providers under [onnxruntime]";

pub(super) fn versions(field: &Field) -> Result<Versions, Fault> {
    let mut versions = None;
    for policy in field.message()? {
        let parts = policy.message()?;
        let mut said = match &*policy.name {
            "all" => Versions::All,
            "latest" => Versions::Latest(1),
            "specific" => Versions::These(Vec::new()),
            _ => return Err(policy.unknown()),
        };
        for part in parts {
            match (&mut said, &*part.name) {
                (Versions::Latest(count), "num_versions") => *count = part.count()?.max(1),
                (Versions::These(list), "versions") => list.push(part.count()? as u64),
                _ => return Err(part.unknown()),
            }
        }
        policy.put(&mut versions, said)?;
    }
    Ok(versions.map_or(Versions::Latest(1), |versions| versions.value))
}

/// How many instances a group adds.
pub(super) fn group(field: &Field, notes: &mut Vec<Note>) -> Result<usize, Fault> {
    let (mut count, mut is_passive) = (1, false);
    for part in field.message()? {
        match &*part.name {
            "name" => {}
            // 0 is what the field is when it is not said.
            "count" => count = part.count()?.max(1),
            "kind" => match part.word()? {
                "KIND_AUTO" | "KIND_CPU" | "KIND_MODEL" => {}
                "KIND_GPU" => notes.push(note(part, GPU)),
                other => {
                    let message = format!("unknown kind {other}; expected KIND_AUTO, KIND_CPU or KIND_GPU");
                    return Err(part.fault(message));
                }
            },
            "gpus" => notes.push(note(part, GPU)),
            "passive" => {
                is_passive = part.truth()?;
                if is_passive {
                    notes.push(note(part, "instances that take no requests are not made"));
                }
            }
            "rate_limiter" => notes.push(note(part, "cores are shared out among models by one budget")),
            "profile" | "host_policy" | "secondary_devices" => {
                notes.push(note(part, "it is for devices that are not used"));
            }
            _ => return Err(part.unknown()),
        }
    }
    Ok(if is_passive { 0 } else { count })
}

/// How many runs a sample is for.
pub(super) fn warm_up(field: &Field, notes: &mut Vec<Note>) -> Result<usize, Fault> {
    let mut runs = 1;
    for part in field.message()? {
        match &*part.name {
            "name" | "batch_size" => {}
            "count" => runs = part.count()?.max(1),
            "inputs" => notes
                .push(note(part, "a copy is warmed up with zeros of the least size that the model takes")),
            _ => return Err(part.unknown()),
        }
    }
    Ok(runs)
}
