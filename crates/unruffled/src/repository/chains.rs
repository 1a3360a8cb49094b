//! Chains among the models of a repository: whom they ask must be there, and must not ask them in turn.

use std::collections::HashSet;

use super::ModelFolder;
use crate::config::FILE_NAME;
use crate::error::{Error, ErrorKind};

/// The first chain that cannot work, and why.
pub(super) fn broken(models: &[ModelFolder]) -> Option<(usize, Error)> {
    models.iter().enumerate().find_map(|(at, model)| Some((at, trouble(models, model)?)))
}

fn trouble(models: &[ModelFolder], model: &ModelFolder) -> Option<Error> {
    let refuse = |message| {
        let error = Error::new(ErrorKind::InvalidConfig, message).at_key("fallback.chain");
        match &model.config.file {
            Some(file) => error.in_file(file),
            None => error.in_file(FILE_NAME.as_ref()),
        }
    };
    if let Some(unknown) = asked(model).iter().find(|name| find(models, name).is_none()) {
        return Some(refuse(format!(
            "asks `{unknown}`, and there is no such model here; add it, or name another"
        )));
    }
    let mut path = vec![&*model.name];
    circle(models, model, &mut path, &mut HashSet::new())
        .then(|| refuse(format!("would ask itself: {}; take one of them out", path.join(" -> "))))
}

/// Whether a model asks the first of the path, by way of whomever; the path is the way then. Who has been seen does not: each is
/// looked at once, however many ways there are to it.
fn circle<'a>(
    models: &'a [ModelFolder],
    model: &'a ModelFolder,
    path: &mut Vec<&'a str>,
    seen: &mut HashSet<&'a str>,
) -> bool {
    for name in asked(model) {
        path.push(name);
        if **name == *path[0] {
            return true;
        }
        if seen.insert(name) && find(models, name).is_some_and(|next| circle(models, next, path, seen)) {
            return true;
        }
        path.pop();
    }
    false
}

fn asked(model: &ModelFolder) -> &[String] {
    model.config.fallback.as_ref().map_or(&[], |fallback| &fallback.chain)
}

fn find<'a>(models: &'a [ModelFolder], name: &str) -> Option<&'a ModelFolder> {
    models.iter().find(|model| *model.name == *name)
}
