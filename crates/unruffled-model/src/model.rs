//! [`Model`]: the one trait that a synchronous model implements, and the [`Batch`] that it works on.

use std::fmt;

use crate::context::RunContext;
use crate::error::ModelError;
use crate::provenance::Provenance;

/// One copy of a model, owned by one thread, which takes a batch at a time and answers row by row.
///
/// It is built on the thread that will run it, so it need be neither `Send` nor `Sync`. A panic in it costs this copy, not
/// the process: the engine answers the unanswered rows, or has them run again, and builds another.
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
    /// An error concerns every row that is still unanswered. Where the model says that rows may be run again
    /// ([`Rerun`](crate::Rerun)), they are, in smaller batches, until it is known which of them it was.
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
        inputs.into_iter().map(Row::new).collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the order of [`RunContext::requests`] unless the model has moved them.
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

/// Rows that were part of a batch before keep their [`index`](Row::index): a model may take a batch apart and give it back.
impl<I, O> FromIterator<Row<I, O>> for Batch<I, O> {
    fn from_iter<T: IntoIterator<Item = Row<I, O>>>(rows: T) -> Self {
        let numbered =
            rows.into_iter().enumerate().map(|(at, row)| Row { index: row.index.or(Some(at)), ..row });
        Self { rows: numbered.collect() }
    }
}

/// Where the outputs of a row go while it is still being run.
pub trait OutputSink<O>: Send {
    /// Hands one output over; blocks while the caller is behind.
    ///
    /// # Errors
    ///
    /// `Cancelled`: nobody wants any more.
    fn send(&mut self, output: O) -> Result<(), ModelError>;
}

/// One request's place in a batch: its input, and the answer once there is one.
pub struct Row<I, O> {
    /// `None` until it is part of a batch.
    index: Option<usize>,
    input: Option<I>,
    answer: Option<Result<Option<O>, ModelError>>,
    sink: Option<Box<dyn OutputSink<O>>>,
    /// Whether running the row again would repeat what it has done.
    spent: bool,
    /// Most answers have none.
    provenance: Option<Box<Provenance>>,
}

impl<I, O> Row<I, O> {
    /// A row for one answer.
    pub fn new(input: I) -> Self {
        Self { index: None, input: Some(input), answer: None, sink: None, spent: false, provenance: None }
    }

    /// A row whose caller takes outputs as they come.
    pub fn with_sink(input: I, sink: Box<dyn OutputSink<O>>) -> Self {
        Self { sink: Some(sink), ..Self::new(input) }
    }

    /// Its place in [`RunContext::requests`], wherever in the batch it has been moved to.
    pub fn index(&self) -> usize {
        self.index.unwrap_or(0)
    }

    /// The input, unless it has been taken.
    pub fn input(&self) -> Option<&I> {
        self.input.as_ref()
    }

    /// Takes the input. A row whose input was taken cannot be run again after a failure.
    pub fn take_input(&mut self) -> Option<I> {
        self.input.take()
    }

    /// Says that the row has been begun and must not be begun again, though its input is still there.
    pub fn spend(&mut self) {
        self.spent = true;
    }

    /// The input, and the way out for several outputs.
    pub fn split(&mut self) -> (Option<&I>, Emitter<'_, O>) {
        (self.input.as_ref(), Emitter { sink: self.sink.as_deref_mut(), spent: &mut self.spent })
    }

    /// Answers the row, after whatever was emitted. The first answer counts.
    pub fn finish(&mut self, answer: Result<O, ModelError>) {
        self.answer.get_or_insert(answer.map(Some));
    }

    /// Says that there are no more outputs than those emitted.
    pub fn end(&mut self) {
        self.answer.get_or_insert(Ok(None));
    }

    /// Says where the answer comes from, if not simply from this model.
    pub fn came_from(&mut self, provenance: Provenance) {
        self.provenance = Some(Box::new(provenance));
    }

    /// Whether the row has its answer.
    pub fn is_finished(&self) -> bool {
        self.answer.is_some()
    }

    /// The error that the row was answered with.
    pub fn error(&self) -> Option<&ModelError> {
        self.answer.as_ref()?.as_ref().err()
    }

    /// Takes the row apart: the answer, if there is one.
    pub fn into_answer(self) -> Option<Result<O, ModelError>> {
        self.answer.and_then(Result::transpose)
    }

    /// Takes the row apart.
    pub fn into_parts(self) -> RowParts<I, O> {
        let Self { input, answer, sink, spent, provenance, .. } = self;
        RowParts { input, answer, sink, spent, provenance }
    }
}

/// What a row was made of, and what became of it.
#[non_exhaustive]
pub struct RowParts<I, O> {
    /// The input, unless it was taken.
    pub input: Option<I>,
    /// The answer, if there is one: the last output, or none after those emitted.
    pub answer: Option<Result<Option<O>, ModelError>>,
    /// Where outputs go that come before the last.
    pub sink: Option<Box<dyn OutputSink<O>>>,
    /// Whether running the row again would repeat what it has done.
    pub spent: bool,
    /// Where the answer comes from, if not simply from the model.
    pub provenance: Option<Box<Provenance>>,
}

impl<I: fmt::Debug, O: fmt::Debug> fmt::Debug for RowParts<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowParts")
            .field("input", &self.input)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl<I: fmt::Debug, O: fmt::Debug> fmt::Debug for Row<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("input", &self.input)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// Sends the outputs of a row on as they come.
pub struct Emitter<'a, O> {
    sink: Option<&'a mut (dyn OutputSink<O> + 'static)>,
    spent: &'a mut bool,
}

impl<O> Emitter<'_, O> {
    /// Whether the caller takes several outputs: one that asked for a single answer does not.
    pub fn is_open(&self) -> bool {
        self.sink.is_some()
    }

    /// Sends one output; blocks while the caller is behind, so that memory stays bounded.
    ///
    /// # Errors
    ///
    /// `Cancelled` when nobody wants any more; `InvalidInput` if the caller asked for one answer.
    pub fn emit(&mut self, output: O) -> Result<(), ModelError> {
        let Some(sink) = &mut self.sink else {
            return Err(ModelError::invalid_input("gives several outputs: ask for them with `outputs`"));
        };
        *self.spent = true;
        sink.send(output)
    }
}

impl<O> fmt::Debug for Emitter<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("emitted", &self.spent).finish_non_exhaustive()
    }
}
