//! Ensembles of trees: read, checked, laid out, walked, added up.

mod forest;

mod listed;

mod compact;

mod keys;

mod layout;

mod walk;

mod scores;

mod evaluate;

mod finish;

mod operators;

pub(super) use operators::{classifier, ensemble, regressor};
