//! Files that people give as inputs: arrays, sounds, pictures, bytes; and what decodes them among the steps.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use unruffled::steps::{NoFiles, Settings, Step};
use unruffled::{InputReader, ModelConfig};
use unruffled_model::{
    Batch, CancelToken, DType, Dim, LoadedModel, RunContext, Signature, Tensor, TensorSpec, Tensors,
};

use crate::head::Head;

/// Settings under which a file is read, and the ending that says what it is.
const KINDS: [(&str, &str); 8] = [
    ("npy", ""),
    ("wav", "kind = 'audio'\nrate = 16000"),
    ("wav", "kind = 'audio'\nrate = 8000\nsamples = 64"),
    ("png", "kind = 'image'"),
    ("png", "kind = 'image'\nwidth = 8\nheight = 8\ncolor = 'gray'\nlayout = 'nhw'"),
    ("png", "kind = 'image'\nheight = 16\nside_max = 64\nmultiple = 32\nlayout = 'nhwc'"),
    ("bin", "kind = 'file'\nbegin = 8\nend = 8\nblock = 16\ntrim = true"),
    ("json", ""),
];

/// The most elements of what settings without sizes make of a small file.
const ELEMENTS: usize = 1 << 24;

/// A file is refused in few words, or becomes a tensor of the input's type and rank; a step gives what it promises, and no more
/// pixels or samples than it may.
pub fn files(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    match head.byte() % 10 {
        8 => step("decode-image", &Settings::new().with("pixels_max", 65536.0), "image", body, 3 * 65536),
        9 => step("decode-audio", &Settings::new().with("samples_max", 65536.0), "audio", body, 65536),
        kind => input(KINDS[usize::from(kind)], head.dtype(), head.byte(), body),
    }
}

/// One file at a time, on a disk in memory where there is one.
static FILE: Mutex<()> = Mutex::new(());

fn input((ending, settings): (&str, &str), dtype: DType, rank: u8, body: &[u8]) {
    let dtype = if dtype == DType::Bool { DType::F32 } else { dtype };
    let (rank, settings) = match settings {
        "" => (usize::from(rank % 4), String::new()),
        settings if settings.contains("'nhw'") => (3, format!("[inputs.x.from]\n{settings}")),
        settings if settings.contains("image") => (4, format!("[inputs.x.from]\n{settings}")),
        settings => (2, format!("[inputs.x.from]\n{settings}")),
    };
    let config =
        ModelConfig::parse(&settings, "model.toml".as_ref(), &|_| Err(std::io::ErrorKind::NotFound.into()));
    let config = config.expect("these settings make sense");
    let signature =
        Signature { inputs: vec![TensorSpec::new("x", dtype, vec![Dim::Any; rank])], outputs: vec![] };
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let path = folder.join(format!("unruffled-fuzz-{}.{ending}", std::process::id()));
    let read = {
        let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::write(&path, body).expect("there is room for a small file");
        let read = InputReader::new(&signature, &config).read([format!("x=@{}", path.display()).as_str()]);
        std::fs::remove_file(&path).expect("it was written");
        read
    };
    match read {
        Ok(inputs) => {
            let tensor = inputs.get("x").expect("it was read");
            assert!(tensor.len() <= ELEMENTS, "{:?}", tensor.shape());
            assert!(
                tensor.dtype() == dtype && tensor.shape().len() == rank,
                "{tensor:?} is no {rank} of {dtype}"
            );
        }
        Err(error) => assert!(error.to_string().len() <= 2000 + 4 * body.len(), "{error}"),
    }
}

fn step(kind: &str, settings: &Settings, name: &str, body: &[u8], most: usize) {
    let step = Step::parse(kind, settings).expect("these settings make sense");
    let model = step.load(&NoFiles).expect("it needs no file");
    let bytes = Tensor::new(&[1], vec![Bytes::copy_from_slice(body)]).expect("one of one");
    let (cancel, mut batch) = (CancelToken::new(), Batch::new([Tensors::new().with(name, bytes)]));
    let served = model.with_instance(&mut |instance| {
        let _ = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
    });
    served.expect("an instance can be had");
    match batch.into_rows().remove(0).into_answer() {
        Some(Ok(answer)) => {
            for spec in &model.info().signature.outputs {
                let output = answer.get(&spec.name).expect("what was promised is given");
                assert_eq!(output.dtype(), spec.dtype);
                assert!(output.len() <= most, "{} elements", output.len());
            }
        }
        Some(Err(error)) => assert!(error.to_string().len() <= 2000, "{error}"),
        None => panic!("a row without an answer"),
    }
}
