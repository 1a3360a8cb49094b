//! Python models in worker processes, with the Python of the repository's environment.

mod python;

mod runs;
