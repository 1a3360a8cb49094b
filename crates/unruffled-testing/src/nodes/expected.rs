//! [`Expected`]: the counts that are known, so that a change is seen, and the exceptions, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use toml::{Table, Value};
use unruffled_model::ModelError;

use super::outcome::{Tally, Verdict};

/// What is known of how backends fare.
///
/// ```toml
/// random = ["test_bernoulli"]
/// varying = ["test_strnormalizer_export_monday_casesensintive_lower"]
///
/// [rten]
/// passed = 1
///
/// [rten.known]
/// test_asin = "its kernel is off by one in the last place"
/// ```
#[derive(Clone, Debug)]
pub struct Expected {
    table: Table,
}

impl Expected {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it cannot be read or is not TOML.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let invalid = |why: String| ModelError::invalid_input(format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
        let table = text.parse().map_err(|error: toml::de::Error| invalid(error.to_string()))?;
        Ok(Self { table })
    }

    /// The tests whose answers are drawn at random.
    pub fn random(&self) -> impl Iterator<Item = String> {
        self.names("random").map(str::to_owned)
    }

    fn names(&self, key: &str) -> impl Iterator<Item = &str> {
        self.table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Tests of a backend that are wrong for a reason that is known.
    fn known(&self, backend: &str) -> BTreeMap<&str, &str> {
        let known = self.table.get(backend).and_then(|of| of.get("known")).and_then(Value::as_table);
        let all = known.into_iter().flatten();
        all.filter_map(|(name, reason)| Some((name.as_str(), reason.as_str()?))).collect()
    }

    /// Ends a test.
    ///
    /// # Panics
    ///
    /// If something is wrong without a known reason, if a test with a known reason is not run any more, or if the counts
    /// differ, with those that the file should have. Tests with a known reason count as wrong. Tests that the file calls `varying`, since some machines lack what
    /// they need, must not be wrong, and are not counted.
    #[track_caller]
    pub fn assert_met(&self, backend: &str, tally: &Tally) {
        let known = self.known(backend);
        let wrong: Vec<String> = tally
            .of(Verdict::Wrong)
            .filter(|(name, _)| !known.contains_key(name))
            .map(|(name, reason)| format!("{name}: {reason}"))
            .collect();
        assert!(wrong.is_empty(), "{backend} is wrong in {} tests:\n{}", wrong.len(), wrong.join("\n"));
        let is_stale = |name: &&&str| {
            let verdict = tally.get(name).map(|outcome| outcome.verdict);
            !matches!(verdict, Some(Verdict::Wrong | Verdict::Passed))
        };
        let stale: Vec<_> = known.keys().filter(is_stale).collect();
        assert!(stale.is_empty(), "{backend} does not run {stale:?} any more: take them out of `known`");
        let varying: BTreeSet<&str> = self.names("varying").collect();
        let found = |verdict: Verdict| match verdict {
            // Another processor may round otherwise, and be right.
            Verdict::Wrong => known.len(),
            _ => {
                let counted = |name: &str| !varying.contains(name) && !known.contains_key(name);
                tally.of(verdict).filter(|(name, _)| counted(name)).count()
            }
        };
        let count = |verdict: Verdict| {
            let count = self.table.get(backend).and_then(|of| of.get(verdict.name()));
            count.and_then(Value::as_integer).and_then(|count| usize::try_from(count).ok())
        };
        if Verdict::ALL.iter().any(|verdict| count(*verdict) != Some(found(*verdict))) {
            let mut now = format!("[{backend}]\n");
            for verdict in Verdict::ALL {
                // Writing to a string cannot fail.
                let _ = writeln!(now, "{} = {}", verdict.name(), found(verdict));
            }
            panic!("the counts have changed; if that is right, write into the file:\n{now}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;
    use crate::nodes::Tally;

    #[test]
    fn stale_counts_say_what_they_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("expected.toml");
        let counts = |passed| {
            format!("[b]\npassed = {passed}\nunsupported = 0\nunfit = 0\nrefused = 0\nfailed = 0\nwrong = 0")
        };
        std::fs::write(&path, counts(0)).unwrap();
        Expected::read(&path).unwrap().assert_met("b", &Tally::default());
        std::fs::write(&path, counts(1)).unwrap();
        let expected = Expected::read(&path).unwrap();
        let stale = std::panic::catch_unwind(|| expected.assert_met("b", &Tally::default())).unwrap_err();
        assert!(stale.downcast_ref::<String>().unwrap().contains("passed = 0"));
    }
}
