//! Instances live on named threads, and those of costly models give way to the application's.

use unruffled_engine::Engine;

/// The calling thread's name and nice value, as the kernel has them.
#[cfg(target_os = "linux")]
fn whoami() -> (String, i32) {
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim().to_owned();
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Field 19; the command, which may hold blanks, is the second.
    let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();
    (name, nice)
}

/// How long the calling thread has been on a core.
#[cfg(target_os = "linux")]
fn on_core() -> std::time::Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_costly_model_gives_way_and_every_instance_has_a_name() {
    use std::time::Duration;

    let engine = Engine::new();
    let model = engine
        .wrap(|cost: Duration| {
            // Time on the core, however many others want it.
            let begin = on_core();
            while on_core() - begin < cost {
                std::hint::spin_loop();
            }
            whoami()
        })
        .name("text-classifier")
        .build()
        .unwrap();
    let (name, before) = model.infer(Duration::from_millis(20)).await.unwrap().output;
    assert_eq!(name, "xt-classifier/0", "the kernel keeps 15 bytes: the end, which tells instances apart");
    let (_, own) = whoami();
    assert_eq!(before, own, "nothing is known of the cost yet");
    // It took long; the next run shows that it also kept the core busy.
    model.infer(Duration::from_millis(40)).await.unwrap();
    let (_, after) = model.infer(Duration::ZERO).await.unwrap().output;
    assert_eq!(after, own.max(5));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thread_that_has_run_bulk_work_is_idle_where_that_is_wanted() {
    use unruffled_engine::{EngineOptions, Priority, ThreadPriority};

    /// Field 41 of what the kernel tells: 5 is `SCHED_IDLE`.
    fn policy() -> u32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    let options = EngineOptions::default().with_thread_priority(ThreadPriority::BulkIdle);
    let model = Engine::with_options(options).wrap(|(): ()| policy()).build().unwrap();
    let run = async |priority| model.infer(()).priority(priority).await.unwrap().output;
    assert_eq!(run(Priority::Interactive).await, policy());
    assert_eq!(run(Priority::Bulk).await, 5);
    assert_eq!(run(Priority::Interactive).await, 5, "only a privileged user could take it back");
}
