//! [`Routes`]: which version of a model a request goes to; plain data.

use std::sync::Arc;

use unruffled_model::Name;

use crate::error::{Error, ErrorKind};

/// How many versions of one model there may be at a time.
const VERSIONS_MAX: usize = 16;

/// What becomes of a version that has been loaded beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// It takes the place of the one that answers now, which finishes what it has and goes.
    Replace,
    /// It answers this part of the requests in percent; the other goes on answering the rest.
    Canary(u8),
    /// It answers those who ask for it.
    Beside,
}

/// The versions of a model, each called something, and who gets which.
#[derive(Debug)]
pub(super) struct Routes<V> {
    all: Vec<(Name, Arc<V>)>,
    /// The one for those who do not say.
    main: usize,
    canary: Option<Canary>,
}

#[derive(Clone, Copy, Debug)]
struct Canary {
    at: usize,
    percent: u8,
}

impl<V> Clone for Routes<V> {
    fn clone(&self) -> Self {
        Self { all: self.all.clone(), main: self.main, canary: self.canary }
    }
}

/// A request, as far as the choice of a version goes.
pub(super) struct Wish<'a> {
    pub(super) version: Option<&'a Name>,
    pub(super) caller: Option<&'a str>,
}

impl<V> Routes<V> {
    pub(super) fn only(name: Name, version: Arc<V>) -> Self {
        Self { all: vec![(name, version)], main: 0, canary: None }
    }

    /// The version for a request. `turn` numbers the requests of which a canary gets its share.
    pub(super) fn pick(&self, wish: &Wish<'_>, turn: impl FnOnce() -> u64) -> Result<&Arc<V>, Error> {
        if let Some(version) = wish.version {
            return self.find(version).map(|at| &self.all[at].1);
        }
        let at = match self.canary {
            Some(Canary { at, percent }) if is_canaries(percent, wish.caller, turn) => at,
            _ => self.main,
        };
        Ok(&self.all[at].1)
    }

    pub(super) fn main(&self) -> &Arc<V> {
        &self.all[self.main].1
    }

    /// Each with its part of the requests in percent.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&Name, &Arc<V>, u8)> {
        let canary = self.canary.map_or(0, |canary| canary.percent);
        self.all.iter().enumerate().map(move |(at, (name, version))| {
            let share = match self.canary {
                Some(canary) if canary.at == at => canary.percent,
                _ if at == self.main => 100 - canary,
                _ => 0,
            };
            (name, version, share)
        })
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<V>> {
        self.all.iter().map(|(_, version)| version)
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, version: &Arc<V>) -> bool {
        self.versions().any(|known| Arc::ptr_eq(known, version))
    }

    /// With one more, or another under a name that there is, and those that have to go for it.
    pub(super) fn with(&self, name: Name, version: Arc<V>, rollout: Rollout) -> Result<Change<V>, Error> {
        let mut routes = self.clone();
        let mut gone = Vec::new();
        let at = match routes.all.iter().position(|(known, _)| *known == name) {
            Some(at) => {
                gone.push(std::mem::replace(&mut routes.all[at].1, version));
                at
            }
            None if routes.all.len() == VERSIONS_MAX => {
                let message = format!("there are {VERSIONS_MAX} versions already; remove one first");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            None => {
                routes.all.push((name, version));
                routes.all.len() - 1
            }
        };
        match rollout {
            Rollout::Replace if at != routes.main => {
                let main = std::mem::replace(&mut routes.main, at);
                if routes.canary.is_some_and(|canary| canary.at == at) {
                    routes.canary = None;
                }
                gone.push(routes.take(main));
            }
            Rollout::Replace | Rollout::Beside => {}
            Rollout::Canary(percent) => routes.set_canary(at, percent)?,
        }
        Ok(Change { routes, gone })
    }

    /// With this one for those who do not say. The one that was, stays for those who ask for it.
    pub(super) fn promoted(&self, version: &str) -> Result<Self, Error> {
        let mut routes = self.clone();
        routes.main = self.find(version)?;
        routes.canary = routes.canary.filter(|canary| canary.at != routes.main);
        Ok(routes)
    }

    /// With a share for this one.
    pub(super) fn shared(&self, version: &str, percent: u8) -> Result<Self, Error> {
        let mut routes = self.clone();
        routes.set_canary(self.find(version)?, percent)?;
        Ok(routes)
    }

    /// Without this one.
    pub(super) fn without(&self, version: &str) -> Result<Change<V>, Error> {
        let mut routes = self.clone();
        let at = self.find(version)?;
        if at == self.main {
            let message = format!(
                "version {version} answers those who name none; promote another first, or unload all"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let gone = vec![routes.take(at)];
        Ok(Change { routes, gone })
    }

    fn set_canary(&mut self, at: usize, percent: u8) -> Result<(), Error> {
        if percent > 100 {
            let message = format!("a share of {percent} percent is none; give it 0 to 100");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if at == self.main {
            let message = format!(
                "version {} answers those who name none, and can have no share beside",
                self.all[at].0
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.canary = (percent > 0).then_some(Canary { at, percent });
        Ok(())
    }

    /// Takes one out that is not the main one.
    fn take(&mut self, at: usize) -> Arc<V> {
        let (_, version) = self.all.remove(at);
        if self.main > at {
            self.main -= 1;
        }
        self.canary = self.canary.filter(|canary| canary.at != at).map(|mut canary| {
            if canary.at > at {
                canary.at -= 1;
            }
            canary
        });
        version
    }

    fn find(&self, version: &str) -> Result<usize, Error> {
        self.all.iter().position(|(known, _)| **known == *version).ok_or_else(|| {
            let known: Vec<_> = self.all.iter().map(|(name, _)| &**name).collect();
            let message = format!("has no version {}; it has {}", version.escape_debug(), known.join(", "));
            Error::new(ErrorKind::NotFound, message)
        })
    }
}

/// What becomes of routes, and who is in them no more.
pub(super) struct Change<V> {
    pub(super) routes: Routes<V>,
    pub(super) gone: Vec<Arc<V>>,
}

/// Whether a canary answers: of a hundred requests in a row as many as its share says, spread evenly. A caller that has a
/// name always gets the same.
fn is_canaries(percent: u8, caller: Option<&str>, turn: impl FnOnce() -> u64) -> bool {
    let percent = u64::from(percent);
    match caller {
        Some(caller) => hash(caller) % 100 < percent,
        None => {
            let turn = turn() % 100;
            (turn + 1) * percent / 100 > turn * percent / 100
        }
    }
}

/// The same for a text in every process: FNV-1a, and what it leaves uneven in the last digits mixed away.
fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Rollout, Routes, Wish};
    use crate::error::ErrorKind;

    /// Versions that are their own names.
    type Names = Routes<String>;

    fn arc(name: &str) -> Arc<String> {
        Arc::new(name.to_owned())
    }

    fn one() -> Names {
        Routes::only("1".into(), arc("1"))
    }

    fn with(routes: &Names, name: &str, rollout: Rollout) -> Names {
        routes.with(name.into(), arc(name), rollout).map_err(|error| error.to_string()).unwrap().routes
    }

    fn shares(routes: &Names) -> Vec<(String, u8)> {
        routes.shares().map(|(name, _, share)| (name.to_string(), share)).collect()
    }

    #[track_caller]
    fn check(routes: &Names, expected: &[(&str, u8)]) {
        let found = shares(routes);
        let found: Vec<_> = found.iter().map(|(name, share)| (name.as_str(), *share)).collect();
        assert_eq!(found, expected);
        // Of each hundred in a row as many as the share says.
        for (name, share) in expected {
            let wish = Wish { version: None, caller: None };
            let hits = (700..800).filter(|turn| **routes.pick(&wish, || *turn).unwrap() == **name);
            assert_eq!(hits.count(), usize::from(*share), "version {name}");
        }
    }

    #[test]
    fn a_new_version_replaces_shares_or_waits_to_be_asked() {
        check(&one(), &[("1", 100)]);
        check(&with(&one(), "2", Rollout::Replace), &[("2", 100)]);
        check(&with(&one(), "1", Rollout::Replace), &[("1", 100)]);
        check(&with(&one(), "2", Rollout::Beside), &[("1", 100), ("2", 0)]);
        let canary = with(&one(), "2", Rollout::Canary(7));
        check(&canary, &[("1", 93), ("2", 7)]);
        check(&canary.promoted("2").unwrap(), &[("1", 0), ("2", 100)]);
        check(&canary.shared("2", 50).unwrap(), &[("1", 50), ("2", 50)]);
        check(&canary.shared("2", 0).unwrap(), &[("1", 100), ("2", 0)]);
        check(&canary.without("2").unwrap_or_else(|_| panic!()).routes, &[("1", 100)]);
        let third = with(&canary, "3", Rollout::Replace);
        check(&third, &[("2", 7), ("3", 93)]);
        check(&with(&canary, "2", Rollout::Replace), &[("2", 100)]);
    }

    #[test]
    fn a_version_that_is_asked_for_answers() {
        let canary = with(&one(), "2", Rollout::Canary(50));
        for version in ["1", "2"] {
            let (name, turn) = (version.into(), || panic!("no chance is taken"));
            assert_eq!(**canary.pick(&Wish { version: Some(&name), caller: None }, turn).unwrap(), *version);
        }
        let error = canary.pick(&Wish { version: Some(&"3".into()), caller: None }, || 0).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "has no version 3; it has 1, 2"));
    }

    #[test]
    fn a_caller_keeps_its_version_and_callers_keep_the_share() {
        let canary = with(&one(), "2", Rollout::Canary(20));
        let mut hits = 0;
        for caller in 0..1_000 {
            let caller = format!("caller {caller}");
            let pick = |turn| {
                Arc::clone(canary.pick(&Wish { version: None, caller: Some(&caller) }, || turn).unwrap())
            };
            assert!((0..100).all(|turn| pick(turn) == pick(0)));
            hits += usize::from(*pick(0) == "2");
        }
        assert!((150..250).contains(&hits), "{hits} of 1,000");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let kind = |result: Result<Names, crate::error::Error>| result.map(drop).unwrap_err().kind();
        let canary = with(&one(), "2", Rollout::Canary(50));
        assert_eq!(kind(canary.shared("1", 10)), ErrorKind::InvalidInput);
        assert_eq!(kind(canary.shared("2", 101)), ErrorKind::InvalidInput);
        assert_eq!(kind(canary.shared("3", 10)), ErrorKind::NotFound);
        assert_eq!(kind(canary.without("1").map(|change| change.routes)), ErrorKind::InvalidInput);
        let mut all = one();
        for version in 2..=16 {
            all = with(&all, &version.to_string(), Rollout::Beside);
        }
        assert_eq!(
            kind(all.with("17".into(), arc("17"), Rollout::Beside).map(|change| change.routes)),
            ErrorKind::InvalidInput
        );
    }
}
