//! [`Report`]: what the suite found, all of it.

use std::fmt;

use unruffled_model::Batching;

use super::compare::Difference;

/// What the suite found about one backend.
#[derive(Debug, Default)]
pub struct Report {
    /// The backend's name.
    pub backend: String,
    /// The models that were checked.
    pub models: Vec<ModelReport>,
    /// The models that were not.
    pub unchecked: Vec<Unchecked>,
    /// Whether a model that was not checked is a failure.
    pub require_all: bool,
}

/// What the suite found about one model.
#[derive(Debug, Default)]
pub struct ModelReport {
    /// The model's name.
    pub model: String,
    /// How many recorded cases there are.
    pub cases: usize,
    /// How many of these were rightly refused, since they need 64 bits.
    pub refused: usize,
    /// How the model takes batches; `None` if it was not loaded.
    pub batching: Option<Batching>,
    /// How far from the recorded answers the worst case was, run alone.
    pub recorded: Difference,
    /// How far from the answers alone the worst answer was in company.
    pub joined: Difference,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// One thing that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// What was checked.
    pub check: &'static str,
    /// What was found.
    pub message: String,
}

/// A model that was not checked.
#[derive(Debug)]
pub struct Unchecked {
    /// The model's name.
    pub model: String,
    /// Why not.
    pub reason: String,
}

impl Report {
    /// Whether nothing went wrong.
    pub fn is_passed(&self) -> bool {
        let complete = self.unchecked.is_empty() || !self.require_all;
        complete && !self.models.is_empty() && self.models.iter().all(|model| model.failures.is_empty())
    }

    /// Ends a test.
    ///
    /// # Panics
    ///
    /// With the whole report, if anything went wrong or no model was found.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.is_passed(), "the backend does not conform\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recorded, joined) = ("off recorded", "off alone");
        writeln!(
            f,
            "{:<18} cases  {:<10} {recorded:<13} {joined:<10} {}",
            "model", "batching", self.backend
        )?;
        for model in &self.models {
            let batching = model.batching.map_or_else(|| "-".into(), |batching| format!("{batching:?}"));
            let outcome = match model.failures.len() {
                0 => "passed".into(),
                failures => format!("{failures} FAILED"),
            };
            let refused = match model.refused {
                0 => String::new(),
                refused => format!(" ({refused} refused)"),
            };
            writeln!(
                f,
                "{:<18} {:>5}  {batching:<10} {:<13} {:<10} {outcome}{refused}",
                model.model,
                model.cases,
                model.recorded.to_string(),
                model.joined.to_string(),
            )?;
        }
        for unchecked in &self.unchecked {
            writeln!(f, "{:<18} not checked: {}", unchecked.model, unchecked.reason)?;
        }
        for model in &self.models {
            for Failure { check, message } in &model.failures {
                writeln!(f, "FAILED {}, {check}: {message}", model.model)?;
            }
        }
        Ok(())
    }
}
