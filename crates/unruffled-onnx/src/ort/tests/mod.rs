//! The backend as its callers see it.

mod values;

mod runs;

mod errors;

use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, Model, ModelError, ModelSource, RunContext,
    TensorModel, Tensors,
};

use super::{OrtBackend, OrtRuntime, OrtSearch};

fn backend() -> OrtBackend {
    let search = OrtSearch::default().with_folder(env!("CARGO_MANIFEST_DIR")).only_given();
    match OrtRuntime::find(&search) {
        Ok(runtime) => OrtBackend::new(runtime),
        Err(missing) => panic!("{missing}; for the tests: `cargo xtask test setup`"),
    }
}

fn load_with(source: &ModelSource, options: &BackendOptions) -> Result<TensorModel, ModelError> {
    let cancel = CancelToken::new();
    backend().load(source, options, &LoadContext::new(&cancel, &|_| ()))
}

fn load(source: &ModelSource) -> Result<TensorModel, ModelError> {
    load_with(source, &BackendOptions::default())
}

type Instance<'a> = &'a mut dyn Model<Input = Tensors, Output = Tensors>;

/// Runs once on an instance that is there already.
fn run_on(instance: Instance<'_>, inputs: Tensors, cancel: &CancelToken) -> Result<Tensors, ModelError> {
    let mut batch = Batch::new([inputs]);
    instance.run(&mut batch, &RunContext::new(cancel, None, &[]))?;
    batch.into_rows().remove(0).into_answer().unwrap()
}

/// Runs once on an instance of its own.
fn run(model: &TensorModel, inputs: Tensors) -> Result<Tensors, ModelError> {
    let (mut inputs, mut answer) = (Some(inputs), None);
    let serve = &mut |instance: Instance<'_>| {
        answer = Some(run_on(instance, inputs.take().unwrap(), &CancelToken::new()));
    };
    model.with_instance(serve).unwrap();
    answer.unwrap()
}
