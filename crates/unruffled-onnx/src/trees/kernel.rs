//! [`Kernel`]: what one operator does when a plan runs, and what it is built from.

use unruffled_model::{ModelError, RunContext, Tensor};

use super::settings::Settings;
use super::shape::Type;

/// An operator that is ready to run.
pub(super) trait Kernel: Send + Sync {
    /// Computes the outputs from the inputs and pushes them onto `outputs`, in order.
    ///
    /// # Errors
    ///
    /// Why there is no answer to these inputs.
    fn run(
        &self,
        inputs: &[&Tensor],
        ctx: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError>;
}

/// An input of an operator that is being built.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) r#type: Type,
    /// What it is, if that is known already.
    pub(super) constant: Option<Tensor>,
}

/// What an operator is built from.
pub(super) struct Site<'a> {
    pub(super) settings: &'a Settings<'a>,
    pub(super) inputs: &'a [Operand],
    /// The version of the operator set.
    pub(super) version: i64,
}

impl<'a> Site<'a> {
    /// The inputs, if there are exactly so many.
    ///
    /// # Errors
    ///
    /// A reason, if there are not.
    pub(super) fn exactly<const N: usize>(&self) -> Result<&'a [Operand; N], String> {
        let given = self.inputs.len();
        self.inputs.try_into().map_err(|_| format!("takes {N} inputs, not {given}"))
    }
}

impl Operand {
    /// The constant integers of this operand.
    ///
    /// # Errors
    ///
    /// A reason, if it is computed, or is something else.
    pub(super) fn integers(&self) -> Result<Vec<i64>, String> {
        let constant = self.constant.as_ref().ok_or("takes a constant here")?;
        match constant.elements::<i64>() {
            Ok(integers) => Ok(integers.to_vec()),
            Err(_) => match constant.elements::<i32>() {
                Ok(integers) => Ok(integers.iter().map(|&i| i.into()).collect()),
                Err(_) => Err(format!("takes integers here, not {}", self.r#type)),
            },
        }
    }
}

/// A kernel, and the types of its outputs.
pub(super) struct Built {
    pub(super) kernel: Box<dyn Kernel>,
    pub(super) outputs: Vec<Type>,
}

impl Built {
    pub(super) fn new(kernel: impl Kernel + 'static, outputs: impl Into<Vec<Type>>) -> Self {
        Self { kernel: Box::new(kernel), outputs: outputs.into() }
    }
}

/// The rows and columns of a tensor that the plan knows to be rows of columns.
///
/// # Errors
///
/// `InvalidInput` if it is of another shape after all.
pub(super) fn rows_columns(tensor: &Tensor) -> Result<(usize, usize), ModelError> {
    match *tensor.shape() {
        [rows, columns] => Ok((rows, columns)),
        ref shape => Err(ModelError::invalid_input(format!("expected rows of columns, got {shape:?}"))),
    }
}

/// Checks a number of columns that the file left open.
///
/// # Errors
///
/// `InvalidInput` that says how many there should be.
pub(super) fn check_columns(given: usize, expected: usize) -> Result<(), ModelError> {
    if given == expected {
        return Ok(());
    }
    Err(ModelError::invalid_input(format!("expected {expected} columns, got {given}")))
}
