//! [`SharedMemory`]: regions that clients on the same machine have made, and asked to be known by a name.
//!
//! Nothing is mapped: parts are copied in and out by the kernel, so that a client who cuts its object short, or changes
//! it while it is read, gets an error or other data, and hurts nobody else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use unruffled_protocol::{NoRegions, ProtocolError, Region, Regions, Span};

use crate::budget::Part;
use crate::refusal::Refusal;

/// The most regions at a time.
const REGIONS: usize = 1024;

/// The most bytes of a name.
const NAME_BYTES: usize = 255;

/// The regions that are known. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SharedMemory(Arc<Inner>);

struct Inner {
    allowed: bool,
    regions: Mutex<BTreeMap<String, Arc<Open>>>,
}

/// A region, its object open.
struct Open {
    region: Region,
    file: File,
}

impl SharedMemory {
    pub(crate) fn new(allowed: bool) -> Self {
        Self(Arc::new(Inner { allowed, regions: Mutex::default() }))
    }

    pub(crate) fn is_allowed(&self) -> bool {
        self.0.allowed
    }

    /// Makes a region known.
    pub(crate) fn register(&self, region: Region) -> Result<(), Refusal> {
        if !self.is_allowed() {
            return Err(Refusal::unsupported(
                "shared memory is off here; the server's operator can allow it: `unruffled serve --shared-memory`",
            ));
        }
        let Region { name, key, .. } = &region;
        if name.is_empty() || name.len() > NAME_BYTES {
            let message = format!("the name of a region has 1 to {NAME_BYTES} bytes, not {}", name.len());
            return Err(Refusal::bad_request(message));
        }
        let bare = key.strip_prefix('/').unwrap_or(key);
        if bare.is_empty()
            || bare.len() > NAME_BYTES
            || bare.contains(['/', '\0'])
            || [".", ".."].contains(&bare)
        {
            let shown: String = key.chars().take(80).collect();
            let message =
                format!("key `{shown}` of region `{name}` is no name of shared memory, such as `/name`");
            return Err(Refusal::bad_request(message));
        }
        let file = open(bare).map_err(|reason| {
            Refusal::bad_request(format!("region `{name}`: shared memory `{key}` cannot be opened: {reason}"))
        })?;
        let open = Open { region, file };
        open.check(0, open.region.byte_size).map_err(Refusal::bad_request)?;
        let mut regions = self.regions();
        let name = &open.region.name;
        if regions.contains_key(name) {
            let message = format!("region `{name}` is registered already; unregister it first");
            return Err(Refusal::bad_request(message));
        }
        if regions.len() >= REGIONS {
            let message = format!("{REGIONS} regions are registered, which is the most; unregister some");
            return Err(Refusal::overloaded(message));
        }
        regions.insert(name.clone(), Arc::new(open));
        Ok(())
    }

    /// The region of that name, or all.
    pub(crate) fn status(&self, name: Option<&str>) -> Result<Vec<Region>, Refusal> {
        match name {
            Some(name) => Ok(vec![self.find(name).map_err(Refusal::not_found)?.region.clone()]),
            None => Ok(self.regions().values().map(|open| open.region.clone()).collect()),
        }
    }

    /// Forgets a region, or all; one that is not known is forgotten already.
    pub(crate) fn unregister(&self, name: Option<&str>) {
        let mut regions = self.regions();
        match name {
            Some(name) => drop(regions.remove(name)),
            None => regions.clear(),
        }
    }

    /// Whether requests may name any region: those that do are larger than they look.
    pub(crate) fn is_used(&self) -> bool {
        self.is_allowed() && !self.regions().is_empty()
    }

    /// Puts what a model gave where its client wants it.
    pub(crate) fn write(&self, span: &Span, data: &[u8]) -> Result<(), Refusal> {
        if data.len() > span.bytes {
            return Err(Refusal::bad_request(format!(
                "the output has {} bytes; `shared_memory_byte_size` of region `{}` is {}",
                data.len(),
                span.region,
                span.bytes
            )));
        }
        let open = self.find(&span.region).map_err(Refusal::bad_request)?;
        let at = open.check(span.offset, span.bytes).map_err(Refusal::bad_request)?;
        write_at(&open.file, data, at).map_err(|error| Refusal::bad_request(open.lost(&error)))
    }

    fn find(&self, name: &str) -> Result<Arc<Open>, String> {
        let shown = || name.chars().take(80).collect::<String>();
        self.regions()
            .get(name)
            .cloned()
            .ok_or_else(|| format!("there is no region `{}` of shared memory; register it first", shown()))
    }

    fn regions(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Open>>> {
        self.0.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Where a part begins in the object, if the region, and the object now, have that part.
    fn check(&self, offset: usize, bytes: usize) -> Result<u64, String> {
        let Region { name, offset: begin, byte_size, .. } = &self.region;
        if offset.checked_add(bytes).is_none_or(|end| end > *byte_size) {
            return Err(format!(
                "region `{name}` has {byte_size} bytes; asked for are {bytes} from {offset}"
            ));
        }
        let object = self.file.metadata().map_err(|error| self.lost(&error))?.len();
        let at = (*begin as u64).checked_add(offset as u64);
        match at.filter(|at| at.checked_add(bytes as u64).is_some_and(|end| end <= object)) {
            Some(at) => Ok(at),
            None => Err(format!(
                "the shared memory of region `{name}` has {object} bytes; it would need {bytes} from {begin} + {offset}"
            )),
        }
    }

    fn lost(&self, error: &std::io::Error) -> String {
        format!("the shared memory of region `{}` cannot be used any more: {error}", self.region.name)
    }
}

/// Reads regions for one request, and counts what it copies.
pub(crate) struct Reader<'a> {
    memory: &'a SharedMemory,
    limit: usize,
    /// What was copied so far, and where it is counted.
    read: RefCell<(usize, &'a mut Part)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(memory: &'a SharedMemory, limit: usize, part: &'a mut Part) -> Self {
        Self { memory, limit, read: RefCell::new((0, part)) }
    }
}

impl Regions for Reader<'_> {
    fn read(&self, span: &Span) -> Result<Bytes, ProtocolError> {
        let refused = ProtocolError::invalid_parameter;
        if !self.memory.is_allowed() {
            return NoRegions.read(span);
        }
        let open = self.memory.find(&span.region).map_err(refused)?;
        let at = open.check(span.offset, span.bytes).map_err(refused)?;
        let mut counted = self.read.borrow_mut();
        let (all, part) = &mut *counted;
        *all = all.saturating_add(span.bytes);
        if *all > self.limit {
            let message =
                format!("the inputs in shared memory have {all} bytes; the limit is {}", self.limit);
            return Err(refused(message));
        }
        part.grow_by(span.bytes).map_err(|refusal| refused(refusal.message().to_owned()))?;
        let mut data = vec![0; span.bytes];
        read_at(&open.file, &mut data, at).map_err(|error| refused(open.lost(&error)))?;
        Ok(data.into())
    }
}

#[cfg(unix)]
fn open(key: &str) -> Result<File, String> {
    use rustix::shm::{Mode, OFlags};

    let file = rustix::shm::open(format!("/{key}"), OFlags::RDWR, Mode::empty());
    file.map(File::from).map_err(|error| error.to_string())
}

#[cfg(unix)]
fn read_at(file: &File, data: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, data, at)
}

#[cfg(unix)]
fn write_at(file: &File, data: &[u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, at)
}

#[cfg(not(unix))]
fn open(_: &str) -> Result<File, String> {
    Err("this system has no POSIX shared memory".into())
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write_at(_: &File, _: &[u8], _: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
