//! [`Model`]: the one trait that a synchronous model implements, and the [`Batch`] that it works on.

use crate::context::RunContext;
use crate::error::ModelError;

/// One copy of a model, owned by one thread, which takes a batch at a time and answers row by row.
///
/// It is built on the thread that will run it, so it need be neither `Send` nor `Sync`. A panic in it costs this copy, not
/// the process: the engine answers the unanswered rows and builds another.
pub trait Model {
    /// What one request brings.
    type Input;
    /// What one request gets.
    type Output;

    /// Answers the rows of `batch`, each with [`Row::finish`], in any order. A row that is left unanswered fails.
    ///
    /// Work that takes long should watch [`RunContext::is_cancelled`], or register [`RunContext::on_cancel`].
    ///
    /// # Errors
    ///
    /// An error answers every row that is still unanswered.
    fn run(
        &mut self,
        batch: &mut Batch<Self::Input, Self::Output>,
        ctx: &RunContext<'_>,
    ) -> Result<(), ModelError>;
}

/// The rows of one run: one per request.
#[derive(Debug)]
pub struct Batch<I, O> {
    rows: Vec<Row<I, O>>,
}

impl<I, O> Batch<I, O> {
    /// A batch over these inputs.
    pub fn new(inputs: impl IntoIterator<Item = I>) -> Self {
        Self { rows: inputs.into_iter().map(Row::new).collect() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the order of [`RunContext::requests`].
    pub fn rows(&self) -> &[Row<I, O>] {
        &self.rows
    }

    /// The rows, to be answered.
    pub fn rows_mut(&mut self) -> &mut [Row<I, O>] {
        &mut self.rows
    }

    /// Takes the batch apart.
    pub fn into_rows(self) -> Vec<Row<I, O>> {
        self.rows
    }
}

/// One request's place in a batch: its input, and the answer once there is one.
#[derive(Debug)]
pub struct Row<I, O> {
    input: Option<I>,
    answer: Option<Result<O, ModelError>>,
}

impl<I, O> Row<I, O> {
    fn new(input: I) -> Self {
        Self { input: Some(input), answer: None }
    }

    /// The input, unless it has been taken.
    pub fn input(&self) -> Option<&I> {
        self.input.as_ref()
    }

    /// Takes the input. A row whose input was taken cannot be run again after a failure.
    pub fn take_input(&mut self) -> Option<I> {
        self.input.take()
    }

    /// Answers the row. The first answer counts.
    pub fn finish(&mut self, answer: Result<O, ModelError>) {
        self.answer.get_or_insert(answer);
    }

    /// Whether the row has its answer.
    pub fn is_finished(&self) -> bool {
        self.answer.is_some()
    }

    /// Takes the row apart: the answer, if there is one.
    pub fn into_answer(self) -> Option<Result<O, ModelError>> {
        self.answer
    }
}
