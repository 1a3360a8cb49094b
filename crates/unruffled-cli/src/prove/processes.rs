//! What other processes there are and how much memory they take, where the system tells.

use std::fs;

/// The bytes of memory that a process takes; `None` where the system does not tell. 0 is this one.
pub(super) fn resident(process: u32) -> Option<u64> {
    bytes_of(process, "VmRSS:")
}

/// The most that it ever took.
pub(super) fn resident_max(process: u32) -> Option<u64> {
    bytes_of(process, "VmHWM:")
}

fn bytes_of(process: u32, entry: &str) -> Option<u64> {
    let place = if process == 0 { "self".to_owned() } else { process.to_string() };
    let status = fs::read_to_string(format!("/proc/{place}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(entry))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The processes that a process has begun, and those that these have; `None` where the system does not tell.
pub(super) fn descendants(of: u32) -> Option<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ends meanwhile is none any more.
        if let Some((parent, _)) = parent_and_state(process) {
            parents.push((process, parent));
        }
    }
    let mut found = vec![of];
    for at in 0.. {
        let Some(&parent) = found.get(at) else { break };
        found.extend(parents.iter().filter(|(_, known)| *known == parent).map(|(process, _)| *process));
    }
    Some(found.split_off(1))
}

/// Whether a process runs; one that has ended, and whose end nobody has taken note of, does not.
pub(super) fn is_alive(process: u32) -> bool {
    parent_and_state(process).is_some_and(|(_, state)| state != 'Z' && state != 'X')
}

fn parent_and_state(process: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in brackets, and may have brackets in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}
