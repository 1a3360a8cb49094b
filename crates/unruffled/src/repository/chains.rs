//! Chains among the models of a repository: whom they ask must be there, and must not ask them in turn.

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
    circle(models, model, &mut path)
        .then(|| refuse(format!("would ask itself: {}; take one of them out", path.join(" -> "))))
}

/// Whether a model asks the first of the path, by way of whomever; the path is the way then.
fn circle<'a>(models: &'a [ModelFolder], model: &'a ModelFolder, path: &mut Vec<&'a str>) -> bool {
    for name in asked(model) {
        path.push(name);
        if **name == *path[0] {
            return true;
        }
        // Another circle further on is that of others.
        let is_new = !path[..path.len() - 1].contains(&&**name);
        if is_new && find(models, name).is_some_and(|next| circle(models, next, path)) {
            return true;
        }
        path.pop();
    }
    false
}

/// The models, chains after those that they ask. What asks in a circle comes last.
pub(super) fn in_order(models: &[ModelFolder]) -> Vec<&ModelFolder> {
    let mut ordered: Vec<&ModelFolder> = Vec::with_capacity(models.len());
    let mut left: Vec<&ModelFolder> = models.iter().collect();
    loop {
        let is_ready = |model: &&ModelFolder| {
            asked(model).iter().all(|name| ordered.iter().any(|known| *known.name == **name))
        };
        let (ready, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(is_ready);
        if ready.is_empty() {
            ordered.extend(rest);
            return ordered;
        }
        ordered.extend(ready);
        left = rest;
    }
}

fn asked(model: &ModelFolder) -> &[String] {
    model.config.fallback.as_ref().map_or(&[], |fallback| &fallback.chain)
}

fn find<'a>(models: &'a [ModelFolder], name: &str) -> Option<&'a ModelFolder> {
    models.iter().find(|model| *model.name == *name)
}
