//! Python models in worker processes, with the Python of the repository's environment.

mod logs;
mod python;

mod cancel;
mod context;
mod crashes;
mod estimators;
mod faults;
mod loading;
mod orphans;
mod protocol;
mod reload;
mod runs;
mod streams;
