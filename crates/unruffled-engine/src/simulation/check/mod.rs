//! The judges: each reads a trace and knows nothing of the engine but its promises.

mod ledger;

mod answers;
mod fair;
mod leases;
mod order;
mod runs;
mod scopes;

use super::trace::Trace;

/// Judges one trace.
pub(super) type Checker = fn(&Trace) -> Result<(), String>;

/// Every judge, and what it judges.
pub(super) const CHECKERS: [(&str, Checker); 20] = [
    ("P3, one answer per request", answers::one_answer),
    ("P3, each row back to its own caller", answers::own_row),
    ("P2, bounds kept", answers::bounds),
    ("P7, deadlines", answers::deadlines),
    ("P7, who is refused", answers::refusals),
    ("supersede: one live request per key", answers::newest),
    ("P4, who is told to stop", runs::cancellation),
    ("P4, a stop is waited for", runs::stops),
    ("P5, slots and cores", runs::slots),
    ("P6, only the bad fail", runs::neighbours),
    ("P6, few extra runs", runs::extra_runs),
    ("P10, contexts are not mixed", runs::contexts),
    ("P8, scopes", scopes::groups),
    ("P9, streams", scopes::streams),
    ("order, batches, ageing", order::order),
    ("fair between callers", fair::callers),
    ("fair between models", fair::models),
    ("leases: nobody else runs there", leases::exclusive),
    ("leases: taken back when forgotten, and only then", leases::forgotten),
    ("every permit home", answers::all_home),
];

pub(super) fn judge(trace: &Trace) -> Result<(), String> {
    for (name, checker) in CHECKERS {
        checker(trace).map_err(|violation| format!("{name}: {violation}"))?;
    }
    Ok(())
}
