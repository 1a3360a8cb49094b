//! How late deadlines fire: requests that expire in the queue while every core is busy with the model, beside a timer of
//! tokio under the same load.
//!
//! `cargo run --release -p benches --bin expiry`

use std::time::{Duration, Instant};

use benches::{busy, histogram, machine, quantile, record, runtime};
use hdrhistogram::Histogram;
use unruffled_engine::{Engine, ErrorKind};

const TIMEOUTS: u32 = 500;
const TIMEOUT: Duration = Duration::from_millis(5);
const COST: Duration = Duration::from_millis(200);

fn main() {
    let runtime = runtime();
    let engine = Engine::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = engine.wrap(|input: u64| busy(COST, input)).instances(cores).build().expect("threads start");
    println!("# Lateness of deadlines\n\n{}; tokio with 2 workers.", machine());
    println!("{TIMEOUTS} deadlines of {TIMEOUT:?}, {cores} instances busy with runs of {COST:?}.\n");
    println!("| what | late by p50 | p99 | max |\n| --- | ---: | ---: | ---: |");
    let (deadlines, timer) = runtime.block_on(async {
        let load: Vec<_> = (0..cores as u64)
            .map(|input| {
                let model = model.clone();
                tokio::spawn(async move { while model.infer(input).await.is_ok() {} })
            })
            .collect();
        let measured = tokio::spawn(async move {
            let (mut deadlines, mut timer) = (histogram(), histogram());
            for _ in 0..TIMEOUTS {
                let due = Instant::now() + TIMEOUT;
                match model.infer(0).deadline(due).await {
                    Err(error) if error.kind() == ErrorKind::DeadlineExceeded => {
                        record(&mut deadlines, due.elapsed());
                    }
                    // An instance was free just then.
                    Ok(_) => {}
                    Err(error) => panic!("{error}"),
                }
                let due = Instant::now() + TIMEOUT;
                tokio::time::sleep_until(due.into()).await;
                record(&mut timer, due.elapsed());
            }
            (deadlines, timer)
        });
        let measured = measured.await.expect("no panic");
        load.iter().for_each(tokio::task::JoinHandle::abort);
        measured
    });
    let row = |what: &str, late: &Histogram<u64>| {
        let (p50, p99) = (quantile(late, 0.5), quantile(late, 0.99));
        println!("| {what} | {p50:.1?} | {p99:.1?} | {:.1?} |", Duration::from_nanos(late.max()));
    };
    row("deadline in the queue", &deadlines);
    row("tokio's timer", &timer);
}
