//! The end of the app while models run: by its window, by a signal, by force. Nothing is left.

use std::path::Path;

use crate::support::{PATIENCE, Window};
use rustix::process::{Pid, Signal, kill_process};

/// Processes that run this program, or were started by one of them.
fn family(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut at = 0;
    while let Some(&of) = all.get(at) {
        all.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    all
}

fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// A window with a request that runs for a minute, and the processes of its app.
fn busy() -> (Window, Vec<u32>) {
    let window = Window::open();
    let pid = window.call(
        "const model = await api.load('demo-wait');
         void model.infer({ ms: 60_000 }).catch(() => {});
         const running = async () => (await api.metrics()).models.find(({ name }) => name === 'demo-wait').running;
         while (await running() === 0);
         return await window.__demo.pid();",
    );
    let pid = u32::try_from(pid.as_u64().unwrap()).unwrap();
    assert!(Path::new("/proc").join(pid.to_string()).exists());
    let family = family(pid);
    assert!(family.len() > 1, "the page has a process of its own");
    (window, family)
}

#[track_caller]
fn assert_ends(family: &[u32]) {
    let begin = std::time::Instant::now();
    while let Some(alive) = family.iter().find(|pid| is_alive(**pid)) {
        assert!(begin.elapsed() < PATIENCE, "process {alive} is left");
        std::thread::yield_now();
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn closing_the_window_ends_the_app() {
    let (window, family) = busy();
    window.run_last("window.__demo.close();");
    assert_ends(&family);
}

#[test]
fn a_signal_ends_it() {
    let (_window, family) = busy();
    signal(family[0], Signal::TERM);
    assert_ends(&family);
}

#[test]
fn killed_it_leaves_nothing() {
    let (_window, family) = busy();
    signal(family[0], Signal::KILL);
    assert_ends(&family);
}
