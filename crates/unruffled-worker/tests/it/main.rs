//! Python models in worker processes, with the Python of the repository's environment.

mod logs;
mod python;

mod context;
mod runs;
mod streams;
