//! A round trip to a Python process and back: a worker of ours beside Python's own `ProcessPoolExecutor` and a bare socket, in one
//! run. And how soon a worker that had to be killed is replaced.
//!
//! `cargo run --release -p benches --bin worker`, with the environment of `cargo xtask test setup`

#[cfg(unix)]
mod compare;

#[cfg(unix)]
fn main() {
    compare::main();
}

#[cfg(not(unix))]
fn main() {
    println!("there are no workers on this system");
}
