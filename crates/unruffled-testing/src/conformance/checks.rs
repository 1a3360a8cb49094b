//! The checks of one loaded model.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::thread;

use unruffled_model::{
    Batching, CancelToken, DType, Dim, ModelError, ModelErrorKind, Name, RowPlace, Signature, Tensor,
    TensorModel, TensorSpec, Tensors,
};

use super::compare::{Difference, compare};
use super::recording::Case;
use super::report::{Failure, ModelReport};
use crate::run::{Answers, run, run_on, run_one, run_under};

/// Checks a model, and writes what it finds into `report`.
pub(super) fn check_model(model: &TensorModel, cases: &[Case], report: &mut ModelReport) {
    let mut checks = Checks { model, answered: Vec::new(), report };
    checks.guard("signature", |checks| checks.signature(cases));
    checks.guard("alone", |checks| checks.alone(cases));
    checks.guard("refusals", |checks| checks.refusals(cases));
    checks.guard("two instances", Checks::two_instances);
    checks.guard("cancelled before", Checks::cancelled_before);
    if model.info().batching == Batching::Joint {
        checks.guard("joined", Checks::joined);
        checks.guard("row by row", Checks::row_by_row);
        checks.guard("no rows", Checks::no_rows);
    }
}

struct Checks<'a> {
    model: &'a TensorModel,
    /// The cases that were answered, with the answers that they got alone.
    answered: Vec<(&'a Case, Tensors)>,
    report: &'a mut ModelReport,
}

type Findings = Result<(), String>;

impl<'a> Checks<'a> {
    /// Makes one check; a panic is a finding like others.
    fn guard(&mut self, check: &'static str, make: impl FnOnce(&mut Self) -> Vec<String>) {
        let found = catch_unwind(AssertUnwindSafe(|| make(self)));
        let messages = found.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            vec![format!("panicked: {}", text.unwrap_or("without words"))]
        });
        let failures = messages.into_iter().map(|message| Failure { check, message });
        self.report.failures.extend(failures);
    }

    fn signature(&mut self, cases: &[Case]) -> Vec<String> {
        let info = self.model.info();
        let mut found = Vec::new();
        if info.batching == Batching::Joint && info.signature.row_symbol().is_none() {
            found.push("says `Joint`, but its signature has no common rows".into());
        }
        if info.threads == 0 {
            found.push("runs on no threads".into());
        }
        for case in cases {
            found.extend(info.signature.check(&case.inputs).err().map(|error| at(case, error)));
            for (name, output) in case.outputs.iter() {
                let spec = info.signature.outputs.iter().find(|spec| spec.name == *name);
                found.extend(fits(spec, output).err().map(|error| at(case, format!("`{name}`: {error}"))));
            }
        }
        found
    }

    fn alone(&mut self, cases: &'a [Case]) -> Vec<String> {
        let mut found = Vec::new();
        for case in cases {
            match run_one(self.model, &case.inputs) {
                Err(error) if case.is_wide() && error.kind() == ModelErrorKind::InvalidInput => {
                    self.report.refused += 1;
                }
                Err(error) => found.push(at(case, error)),
                Ok(answer) => {
                    // An answer that was not recorded is compared with itself.
                    let expected = if case.outputs.is_empty() { &answer } else { &case.outputs };
                    match compare(expected, &answer, &case.inputs) {
                        Ok(difference) => self.report.recorded = self.report.recorded.max(difference),
                        Err(error) => found.push(at(case, error)),
                    }
                    self.answered.push((case, answer));
                }
            }
        }
        found
    }

    fn refusals(&mut self, cases: &[Case]) -> Vec<String> {
        let Some(case) = cases.first() else {
            return vec!["there are no recorded cases".into()];
        };
        let unknown = case.inputs.clone().with("no such input", Tensor::scalar(0_u8));
        let mut wrong = vec![("an unknown input", "no such input".into(), unknown)];
        for spec in &self.model.info().signature.inputs {
            let Some(right) = case.inputs.get(&spec.name) else {
                continue;
            };
            let with = |tensor: Tensor| case.inputs.clone().with(spec.name.clone(), tensor);
            if spec.default.is_none() {
                let mut without = case.inputs.clone();
                without.remove(&spec.name);
                wrong.push(("a missing input", spec.name.clone(), without));
            }
            wrong.push(("another type", spec.name.clone(), with(of_another_type(right))));
            let Some(dims) = &spec.dims else { continue };
            let deeper = right.reshaped(&[&[1], right.shape()].concat()).expect("as many elements");
            wrong.push(("another rank", spec.name.clone(), with(deeper)));
            if let Some(axis) = dims.iter().position(|dim| matches!(dim, Dim::Fixed(_))) {
                wrong.push(("another size", spec.name.clone(), with(longer(right, axis))));
            }
        }
        let refused = |(what, name, inputs): (_, unruffled_model::Name, Tensors)| match self
            .model
            .admit(&inputs)
        {
            Err(error) if error.kind() == ModelErrorKind::InvalidInput && error.tensor() == Some(&name) => {
                None
            }
            Err(error) => Some(format!("{what}, `{name}`, is refused with {:?}: {error}", error.kind())),
            Ok(_) => Some(format!("{what}, `{name}`, is admitted")),
        };
        wrong.into_iter().filter_map(refused).collect()
    }

    /// Runs all cases on an instance, and once more on a second one in the meantime.
    fn two_instances(&mut self) -> Vec<String> {
        let run_all = |instance: &mut dyn unruffled_model::Model<Input = Tensors, Output = Tensors>| {
            let cases = self.answered.iter();
            let answers = cases
                .map(|(case, alone)| (case, alone, run_on(instance, &[&case.inputs], &CancelToken::new())));
            answers
                .filter_map(|(case, alone, answers)| same(case, slice::from_ref(alone), answers).err())
                .collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        let lent = self.model.with_instance(&mut |first| {
            thread::scope(|scope| {
                let second = scope.spawn(|| {
                    let mut found = Vec::new();
                    match self.model.with_instance(&mut |second| found = run_all(second)) {
                        Ok(()) => found,
                        Err(error) => vec![format!("no second instance: {error}")],
                    }
                });
                found.extend(run_all(first));
                found.extend(second.join().unwrap_or_else(|_| vec!["the second instance panicked".into()]));
            });
        });
        found.extend(lent.err().map(|error| error.to_string()));
        found
    }

    fn cancelled_before(&mut self) -> Vec<String> {
        let cancel = CancelToken::new();
        cancel.cancel();
        let Some((case, alone)) = self.answered.first() else {
            return Vec::new();
        };
        let answer = run_under(self.model, &[&case.inputs], &cancel).and_then(|mut answers| {
            answers.pop().unwrap_or_else(|| Err(ModelError::failed("the instance was not lent")))
        });
        match answer {
            Err(error) if error.kind() == ModelErrorKind::Cancelled => Vec::new(),
            answer => same(case, slice::from_ref(alone), vec![answer]).err().into_iter().collect(),
        }
    }

    /// Joins all cases that may share a run, the first of them twice.
    fn joined(&mut self) -> Vec<String> {
        let (mut groups, mut found) = (BTreeMap::<u64, Vec<_>>::new(), Vec::new());
        for (case, alone) in &self.answered {
            match self.model.admit(&case.inputs) {
                Ok(footprint) => groups.entry(footprint.bucket).or_default().push((*case, alone)),
                Err(error) => found.push(at(case, error)),
            }
        }
        for mut group in groups.into_values() {
            group.push(group[0]);
            let inputs: Vec<&Tensors> = group.iter().map(|(case, _)| &case.inputs).collect();
            let names: Vec<&str> = group.iter().map(|(case, _)| case.name.as_str()).collect();
            match run(self.model, &inputs) {
                Err(error) => found.push(format!("{names:?}: {error}")),
                Ok(answers) => {
                    for ((case, alone), answer) in group.into_iter().zip(answers) {
                        match same(case, slice::from_ref(alone), vec![answer]) {
                            Ok(difference) => self.report.joined = self.report.joined.max(difference),
                            Err(error) => found.push(format!("with {names:?}: {error}")),
                        }
                    }
                }
            }
        }
        found
    }

    /// Takes each case apart and joins its rows again as requests of their own.
    fn row_by_row(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for (case, alone) in &self.answered {
            let signature = &self.model.info().signature;
            let each = 0..rows(signature, &case.inputs);
            let requests: Vec<_> =
                each.clone().map(|i| of_inputs(signature, &case.inputs, i..i + 1)).collect();
            let expected: Vec<_> = each.map(|i| of_outputs(signature, alone, i..i + 1)).collect();
            match run(self.model, &requests.iter().collect::<Vec<_>>()) {
                Err(error) => found.push(at(case, error)),
                Ok(answers) => match same(case, &expected, answers) {
                    Ok(difference) => self.report.joined = self.report.joined.max(difference),
                    Err(error) => found.push(error),
                },
            }
        }
        found
    }

    /// A request without rows is refused, or gets an answer without rows and harms nobody in its batch.
    fn no_rows(&mut self) -> Vec<String> {
        let Some((case, alone)) = self.answered.first() else {
            return Vec::new();
        };
        let signature = &self.model.info().signature;
        let (empty, nothing) = (of_inputs(signature, &case.inputs, 0..0), of_outputs(signature, alone, 0..0));
        match self.model.admit(&empty) {
            Ok(_) => {}
            Err(error) if error.kind() == ModelErrorKind::InvalidInput => return Vec::new(),
            Err(error) => return vec![at(case, error)],
        }
        let mut found = Vec::new();
        if let Ok(answer) = run_one(self.model, &empty) {
            found.extend(same(case, slice::from_ref(&nothing), vec![Ok(answer)]).err());
        }
        match run(self.model, &[&case.inputs, &empty, &case.inputs]) {
            Err(error) => found.push(at(case, error)),
            Ok(answers) => found.extend(same(case, &[alone.clone(), nothing, alone.clone()], answers).err()),
        }
        found
    }
}

fn at(case: &Case, what: impl std::fmt::Display) -> String {
    format!("{}: {what}", case.name)
}

/// Compares the answers of a run with the expected ones.
fn same(case: &Case, expected: &[Tensors], answers: Answers) -> Result<Difference, String> {
    let mut worst = Difference::default();
    for (i, (expected, answer)) in expected.iter().zip(answers).enumerate() {
        let answer = answer.map_err(|error| at(case, format!("row {i}: {error}")))?;
        let difference = compare(expected, &answer, &Tensors::new());
        worst = worst.max(difference.map_err(|error| at(case, format!("row {i}: {error}")))?);
    }
    Ok(worst)
}

/// Whether a recorded output is what the signature says.
fn fits(spec: Option<&TensorSpec>, output: &Tensor) -> Findings {
    let spec = spec.ok_or("is not in the signature")?;
    let shape = output.shape();
    let dims = spec.dims.as_deref().is_none_or(|dims| {
        let sizes = dims.iter().zip(shape);
        dims.len() == shape.len()
            && sizes.into_iter().all(|(dim, size)| match dim {
                Dim::Fixed(fixed) => fixed == size,
                Dim::Symbolic(_) | Dim::Any => true,
            })
    });
    if spec.dtype == output.dtype() && dims {
        Ok(())
    } else {
        Err(format!("{} {shape:?} does not fit {spec}", output.dtype()))
    }
}

fn of_another_type(tensor: &Tensor) -> Tensor {
    let shape = tensor.shape();
    match tensor.dtype() {
        DType::U8 => Tensor::filled(shape, 0_f32),
        _ => Tensor::filled(shape, 0_u8),
    }
    .expect("the shape of a tensor")
}

/// A tensor that is longer by one along an axis, of the same type for the types that models here have.
fn longer(tensor: &Tensor, axis: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    shape[axis] += 1;
    fn zeros<T: unruffled_model::Element>(_: &[T], shape: &[usize]) -> Result<Tensor, ModelError> {
        Tensor::filled(shape, T::default())
    }
    unruffled_model::for_each_dtype!(tensor.data(), buffer => zeros(buffer, &shape)).expect("hardly larger")
}

/// How many rows a request has, where its signature says that they lie.
fn rows(signature: &Signature, inputs: &Tensors) -> usize {
    let count = |(spec, place): (&TensorSpec, RowPlace)| match place {
        RowPlace::Axis(axis) => inputs.get(&spec.name)?.shape().get(axis).copied(),
        RowPlace::Shared => None,
    };
    signature.input_rows().find_map(count).unwrap_or(0)
}

/// Some rows of a request.
fn of_inputs(signature: &Signature, inputs: &Tensors, rows: Range<usize>) -> Tensors {
    signature.input_rows().filter_map(|(spec, place)| part(spec, place, inputs, rows.clone())).collect()
}

/// Some rows of an answer.
fn of_outputs(signature: &Signature, outputs: &Tensors, rows: Range<usize>) -> Tensors {
    signature.output_rows().filter_map(|(spec, place)| part(spec, place, outputs, rows.clone())).collect()
}

fn part(spec: &TensorSpec, place: RowPlace, tensors: &Tensors, rows: Range<usize>) -> Option<(Name, Tensor)> {
    let tensor = tensors.get(&spec.name)?;
    let part = match place {
        RowPlace::Axis(axis) => tensor.part(axis, rows),
        RowPlace::Shared => tensor.clone(),
    };
    Some((spec.name.clone(), part))
}
