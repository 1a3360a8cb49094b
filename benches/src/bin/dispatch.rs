//! What it costs to get a call to a model's thread and back: the engine beside a direct call, `spawn_blocking`, and a
//! bare channel with a thread, in one run.
//!
//! `cargo run --release -p benches --bin dispatch`

use std::time::{Duration, Instant};

use benches::{busy, cpu_time, histogram, machine, median, quantile, rate, record, runtime};
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use unruffled_engine::{Engine, Handle};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(300);
const WARM_UP: Duration = Duration::from_millis(100);

/// One way to call a model.
#[derive(Clone)]
enum Way {
    Direct,
    SpawnBlocking,
    Channel(crossbeam_channel::Sender<(u64, tokio::sync::oneshot::Sender<u64>)>),
    Engine(Handle<u64, u64>),
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Way::Direct => "direct call",
            Way::SpawnBlocking => "spawn_blocking",
            Way::Channel(_) => "channel + thread",
            Way::Engine(_) => "engine",
        }
    }

    async fn call(&self, cost: Duration, input: u64) -> u64 {
        match self {
            Way::Direct => {
                let output = busy(cost, input);
                tokio::task::yield_now().await;
                output
            }
            Way::SpawnBlocking => tokio::task::spawn_blocking(move || busy(cost, input))
                .await
                .expect("the model does not panic"),
            Way::Channel(sender) => {
                let (reply, answer) = tokio::sync::oneshot::channel();
                sender.send((input, reply)).expect("the thread lives as long as a sender");
                answer.await.expect("the thread answers")
            }
            Way::Engine(model) => model.infer(input).await.expect("the model does not fail").output,
        }
    }
}

fn channel(cost: Duration) -> Way {
    let (sender, receiver) = crossbeam_channel::bounded::<(u64, tokio::sync::oneshot::Sender<u64>)>(1024);
    #[allow(clippy::disallowed_methods, reason = "this is the rival: a bare thread")]
    std::thread::spawn(move || {
        for (input, reply) in receiver {
            // A caller that has gone is no concern of a bare channel.
            let _ = reply.send(busy(cost, input));
        }
    });
    Way::Channel(sender)
}

/// What one round gave.
struct Round {
    latency: Histogram<u64>,
    calls_per_second: f64,
    cpu_per_call: Option<Duration>,
}

fn round(runtime: &Runtime, way: &Way, cost: Duration, callers: usize) -> Round {
    runtime.block_on(async {
        let begin = Instant::now();
        let cpu_before = cpu_time();
        let end = begin + ROUND;
        let tasks: Vec<_> = (0..callers)
            .map(|caller| tokio::spawn(call_until(way.clone(), cost, caller as u64, end)))
            .collect();
        let mut latency = histogram();
        for task in tasks {
            latency.add(task.await.expect("no panic")).expect("same bounds");
        }
        let elapsed = begin.elapsed().as_secs_f64();
        let cpu = cpu_before.zip(cpu_time()).map(|(before, after)| after.saturating_sub(before));
        Round {
            calls_per_second: latency.len() as f64 / elapsed,
            cpu_per_call: cpu.map(|cpu| cpu.div_f64(latency.len().max(1) as f64)),
            latency,
        }
    })
}

async fn call_until(way: Way, cost: Duration, caller: u64, end: Instant) -> Histogram<u64> {
    let mut latency = histogram();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return latency;
        }
        let output = way.call(cost, caller).await;
        assert_eq!(output, caller, "an answer went astray");
        record(&mut latency, begin.elapsed());
    }
}

fn main() {
    let runtime = runtime();
    println!(
        "# Dispatch overhead\n\n{}; tokio with 2 workers; medians of {ROUNDS} interleaved rounds.",
        machine()
    );
    for cost in [0, 20, 1000].map(Duration::from_micros) {
        println!("\n## A model of {cost:?}\n");
        println!("| callers | way | p50 | p99 | calls | CPU per call | calls / channel | p50 / channel |");
        println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        for callers in [1, 16, 256] {
            compare(&runtime, cost, callers);
        }
    }
}

fn compare(runtime: &Runtime, cost: Duration, callers: usize) {
    let engine = Engine::new();
    let model = engine.wrap(move |input: u64| busy(cost, input)).build().expect("a thread starts");
    let ways = [Way::Direct, Way::SpawnBlocking, channel(cost), Way::Engine(model)];
    let mut rounds: Vec<Vec<Round>> = ways.iter().map(|_| Vec::new()).collect();
    for way in &ways {
        let end = Instant::now() + WARM_UP;
        runtime.block_on(call_until(way.clone(), cost, 0, end));
    }
    for _ in 0..ROUNDS {
        for (way, rounds) in ways.iter().zip(&mut rounds) {
            rounds.push(round(runtime, way, cost, callers));
        }
    }
    let figure = |rounds: &[Round], of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let p50 = |round: &Round| quantile(&round.latency, 0.5).as_secs_f64();
    let bare = &rounds[2];
    let (bare_calls, bare_p50) = (figure(bare, &|r| r.calls_per_second), figure(bare, &p50));
    for (way, rounds) in ways.iter().zip(&rounds) {
        let calls = figure(rounds, &|round| round.calls_per_second);
        let middle = figure(rounds, &p50);
        let late = figure(rounds, &|round| quantile(&round.latency, 0.99).as_secs_f64());
        let cpu = figure(rounds, &|round| round.cpu_per_call.map_or(f64::NAN, |cpu| cpu.as_secs_f64()));
        println!(
            "| {callers} | {} | {:.1?} | {:.1?} | {} | {:.2} us | {:.2} | {:.2} |",
            way.name(),
            Duration::from_secs_f64(middle),
            Duration::from_secs_f64(late),
            rate(calls),
            cpu * 1e6,
            calls / bare_calls,
            middle / bare_p50,
        );
    }
}
