//! [`Disk`]: the database of jobs and the files beside it. Blocks; one thread has it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
};
use unruffled_engine::job::{
    JobChange, JobChanges, JobId, JobRecord, JobState, JobTable, Payload, PayloadInfo,
};
use unruffled_model::Bytes;

use super::blobs::{Blobs, Side};
use super::record;

/// The database within the folder of a store.
pub(super) const FILE: &str = "jobs.redb";

/// The folder of large payloads within it.
const BLOBS: &str = "blobs";

/// The version of all that is written here. One that reads more than it wrote would lose jobs.
const FORMAT: u64 = 1;

/// Payloads of more bytes are files.
const INLINE_BYTES: u64 = 64 << 10;

/// What of the database is kept in memory. Records are there anyhow, and payloads are read once.
const CACHE_BYTES: usize = 16 << 20;

/// Numbers about the store itself.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const JOBS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("jobs");
const INPUTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("inputs");
const RESULTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("results");

const FORMAT_KEY: &str = "format";
/// How many results were ever stored.
const RESULTS_KEY: &str = "results";

/// What is wrong with a store.
#[derive(Debug)]
pub(super) enum DiskError {
    Locked,
    Newer(u64),
    Damaged(String),
    Io(io::Error),
    Other(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Locked => f.write_str(
                "is in use by another process, and only one may have it; end that one, or ask it instead",
            ),
            DiskError::Newer(format) => write!(
                f,
                "has format {format}, and this version reads format {FORMAT}; use the version that wrote it"
            ),
            DiskError::Damaged(why) => {
                write!(f, "is damaged: {why}; put a copy in its place, or move it away to begin anew")
            }
            DiskError::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                write!(f, "has no space left on its disk: {error}; free some and try again")
            }
            DiskError::Io(error) => write!(f, "cannot be read or written: {error}"),
            DiskError::Other(why) => write!(f, "cannot be read or written: {why}"),
        }
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => DiskError::Damaged(error.to_string()),
            _ => DiskError::Io(error),
        }
    }
}

impl From<DatabaseError> for DiskError {
    fn from(error: DatabaseError) -> Self {
        redb::Error::from(error).into()
    }
}

/// Every error of the database, through its one list of them.
impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => DiskError::Locked,
            redb::Error::Corrupted(why) => DiskError::Damaged(why),
            redb::Error::Io(error) => error.into(),
            other => DiskError::Other(other.to_string()),
        }
    }
}

macro_rules! through_the_list {
    ($($error:ty),*) => {$(
        impl From<$error> for DiskError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

through_the_list!(StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

/// Payloads that came with the changes that are to be written.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) inputs: HashMap<JobId, Payload>,
    pub(super) results: HashMap<JobId, Payload>,
}

/// The store as it is on disk.
#[derive(Debug)]
pub(super) struct Disk {
    database: Database,
    blobs: Blobs,
    results: u64,
}

impl Disk {
    /// Opens a store, or makes one: with all records that it holds.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<JobRecord>), DiskError> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(file(folder))?;
        let write = database.begin_write()?;
        let (format, results) = {
            let mut meta = write.open_table(META)?;
            let number = |key: &str| Ok::<_, DiskError>(meta.get(key)?.map(|number| number.value()));
            let (format, results) = (number(FORMAT_KEY)?, number(RESULTS_KEY)?);
            if format.is_none() {
                meta.insert(FORMAT_KEY, FORMAT)?;
            }
            (format.unwrap_or(FORMAT), results.unwrap_or(0))
        };
        if format != FORMAT {
            write.abort()?;
            return Err(DiskError::Newer(format));
        }
        // Made now, so that every later reader finds them.
        write.open_table(INPUTS)?;
        write.open_table(RESULTS)?;
        let records = {
            let jobs = write.open_table(JOBS)?;
            let mut records = Vec::new();
            for job in jobs.iter()? {
                let (id, bytes) = job?;
                let id = JobId::from(id.value());
                let record = record::decode(id, bytes.value());
                records.push(record.map_err(|why| DiskError::Damaged(format!("job {id}: {why}")))?);
            }
            records
        };
        write.commit()?;
        let blobs = Blobs::open(folder.join(BLOBS))?;
        blobs.sweep(&wanted(&records))?;
        Ok((Self { database, blobs, results }, records))
    }

    /// How many results were ever stored here.
    pub(super) fn results(&self) -> u64 {
        self.results
    }

    /// Writes what has changed, all or nothing: once this returns, it is there whatever happens.
    pub(super) fn write(
        &mut self,
        table: &JobTable,
        changes: &JobChanges,
        arrived: &Arrived,
    ) -> Result<(), DiskError> {
        let ids: BTreeSet<JobId> = changes
            .iter()
            .map(|change| match change {
                JobChange::Put(id) | JobChange::Gone(id) => id,
            })
            .collect();
        let mut unwanted = Vec::new();
        let mut results = self.results;
        let write = self.database.begin_write()?;
        {
            let mut jobs = write.open_table(JOBS)?;
            let mut inputs = write.open_table(INPUTS)?;
            let mut outputs = write.open_table(RESULTS)?;
            for id in ids {
                let key = id.as_u128();
                let record = table.get(id);
                match record {
                    Some(record) => jobs.insert(key, &*record::encode(record))?,
                    None => jobs.remove(key)?,
                };
                let is_done = record.is_some_and(|record| record.state == JobState::Done);
                for (side, rows, needed, payload) in [
                    (
                        Side::Input,
                        &mut inputs,
                        record.is_some_and(JobRecord::needs_input),
                        arrived.inputs.get(&id),
                    ),
                    (Side::Result, &mut outputs, is_done, arrived.results.get(&id)),
                ] {
                    match payload {
                        _ if !needed => {
                            rows.remove(key)?;
                            unwanted.push((id, side));
                        }
                        Some(payload) if payload.bytes.len() as u64 > INLINE_BYTES => {
                            self.blobs.write(id, side, &payload.bytes)?;
                        }
                        Some(payload) => {
                            rows.insert(key, &*payload.bytes)?;
                        }
                        None => {}
                    }
                }
                results += u64::from(is_done && arrived.results.contains_key(&id));
            }
            write.open_table(META)?.insert(RESULTS_KEY, results)?;
        }
        // The files before the records that name them.
        self.blobs.sync()?;
        write.commit()?;
        self.results = results;
        // After them: as long as a record may be read, its payload is there.
        for (id, side) in unwanted {
            self.blobs.remove(id, side);
        }
        Ok(())
    }

    /// A payload that is kept.
    pub(super) fn payload(&self, id: JobId, side: Side, info: &PayloadInfo) -> Result<Payload, DiskError> {
        let table = match side {
            Side::Input => INPUTS,
            Side::Result => RESULTS,
        };
        let inline = {
            let rows = self.database.begin_read()?.open_table(table)?;
            rows.get(id.as_u128())?.map(|bytes| Bytes::copy_from_slice(bytes.value()))
        };
        let bytes = match inline {
            Some(bytes) => bytes,
            None => self.blobs.read(id, side).map_err(|error| {
                DiskError::Damaged(format!("a payload of job {id} is not there: {error}"))
            })?,
        };
        if bytes.len() as u64 != info.bytes {
            let (got, expected) = (bytes.len(), info.bytes);
            let why = format!("a payload of job {id} has {got} bytes, not {expected}");
            return Err(DiskError::Damaged(why));
        }
        Ok(Payload::new(info.kind.clone(), bytes))
    }

    /// Every record, as the disk has it.
    pub(super) fn reopen(self, folder: &Path) -> Result<(Self, Vec<JobRecord>), DiskError> {
        // First let go: only one may have it.
        drop(self);
        Self::open(folder)
    }
}

/// The database of the store in this folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// The files that belong to these jobs.
fn wanted(records: &[JobRecord]) -> HashSet<(JobId, Side)> {
    let inputs = records.iter().filter(|record| record.needs_input()).map(|record| (record.id, Side::Input));
    let results = records
        .iter()
        .filter(|record| record.state == JobState::Done)
        .map(|record| (record.id, Side::Result));
    inputs.chain(results).collect()
}
