//! Which files settings may name.

use std::path::{Component, Path};

/// Whether a name is that of a file in the folder where the settings are. They come from strangers: nothing else may be
/// reached through them.
pub(crate) fn is_beside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
}
