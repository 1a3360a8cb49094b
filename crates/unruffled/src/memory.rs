//! How much memory models take, as the system sees it: what an engine with a budget measures by.

use std::fs;

use unruffled_engine::MemoryBudget;

/// A budget of so many bytes for the models of an engine, measured: by [`resident`].
///
/// ```
/// use unruffled::Engine;
/// use unruffled::engine::EngineOptions;
///
/// let engine = Engine::with_options(EngineOptions::default().with_memory(unruffled::memory::budget(2 << 30)));
/// assert_eq!(engine.memory().map(|memory| (memory.budget, memory.used)), Some((2 << 30, 0)));
/// ```
pub fn budget(bytes: usize) -> MemoryBudget {
    MemoryBudget::new(bytes).measured_by(resident)
}

/// The resident memory of this process and of all that it has begun, Python workers among them; `None` where the system does
/// not tell. Reads a few small files for each process of the machine: some milliseconds.
pub fn resident() -> Option<usize> {
    let own = std::process::id();
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let process = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        parents.extend(process.and_then(|process| Some((process, parent(process)?))));
    }
    let mut family = vec![own];
    for at in 0.. {
        let Some(&parent) = family.get(at) else { break };
        family.extend(parents.iter().filter(|(_, known)| *known == parent).map(|(process, _)| *process));
    }
    // One that ends meanwhile takes nothing any more.
    let own = resident_of(own)?;
    Some(family[1..].iter().filter_map(|process| resident_of(*process)).fold(own, usize::saturating_add))
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in brackets, and may have brackets in it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn resident_of(process: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::{resident, resident_of};

    #[test]
    fn what_is_taken_is_seen_and_so_is_what_comes_back() {
        const BYTES: usize = 64 << 20;
        let own = || resident_of(std::process::id()).unwrap();
        let before = own();
        let taken = vec![1_u8; BYTES];
        let with = own();
        assert!(with >= before + BYTES / 2, "{before} {with}");
        drop(taken);
        assert!(own() <= with - BYTES / 2);
    }

    #[test]
    fn processes_that_were_begun_count() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let theirs = resident_of(child.id()).unwrap();
        let (own, all) = (resident_of(std::process::id()).unwrap(), resident().unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(theirs > 0 && all > own - own / 4, "{own} {theirs} {all}");
    }
}
