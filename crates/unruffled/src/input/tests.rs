//! What a person may give, and what is said about the rest.

use std::fs;
use std::path::{Path, PathBuf};

use unruffled_model::{DType, Dim, Signature, Tensor, TensorSpec, Tensors};

use super::InputReader;
use crate::config::ModelConfig;
use crate::sample;

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn batch(rest: &[usize]) -> Vec<Dim> {
    let rest = rest.iter().map(|size| Dim::Fixed(*size));
    std::iter::once(Dim::Symbolic("batch".into())).chain(rest).collect()
}

fn digits() -> (Signature, ModelConfig) {
    let signature =
        Signature { inputs: vec![TensorSpec::new("image", DType::F32, batch(&[8, 8]))], outputs: Vec::new() };
    (signature, sample::digits().config)
}

/// Two inputs; the second has a default.
fn pair() -> (Signature, ModelConfig) {
    let signature = Signature {
        inputs: vec![
            TensorSpec::new("ids", DType::I64, batch(&[3])),
            TensorSpec::new("mask", DType::I64, batch(&[3])),
        ],
        outputs: Vec::new(),
    };
    let config = ModelConfig::parse("[inputs.mask]\ndefault = 1", Path::new("m"), &|_| unreachable!());
    (signature, config.unwrap())
}

fn read((signature, config): &(Signature, ModelConfig), given: &[&str]) -> Result<Tensors, String> {
    let reader = InputReader::new(signature, config);
    reader.read(given.iter().copied()).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(model: &(Signature, ModelConfig), given: &[&str], message: &str) {
    assert_eq!(read(model, given).unwrap_err(), message);
}

#[test]
fn names_may_be_left_out_where_one_input_is_required() {
    let expected = Tensors::new().with("ids", Tensor::new(&[1, 3], vec![1_i64, 2, 3]).unwrap());
    for given in ["1,2,3", "ids=1,2,3", "[1,2,3]", "ids=[[1,2,3]]"] {
        assert_eq!(read(&pair(), &[given]).unwrap(), expected, "{given}");
    }
    let both = read(&pair(), &["1,2,3", "mask=1,1,0"]).unwrap();
    assert_eq!(both.len(), 2);
    let required = pair();
    let mut required = (required.0, ModelConfig::default());
    check_refused(
        &required,
        &["1,2,3"],
        "the model has several inputs: ids: i64 [batch, 3], mask: i64 [batch, 3]; write NAME=VALUE to say which one is meant",
    );
    required.0.inputs.truncate(1);
    check_refused(&required, &["idz=1,2,3"], "`idz`: no such input; the model takes ids: i64 [batch, 3]");
}

#[test]
fn given_again_means_another_row() {
    let rows = read(&pair(), &["ids=1,2,3", "ids=4,5,6"]).unwrap();
    assert_eq!(rows.get("ids").unwrap().shape(), [2, 3]);
}

#[test]
fn a_whole_request_brings_all_inputs() {
    let path = assets().join("models/digits/samples/seven.json");
    assert_eq!(read(&digits(), &[&format!("@{}", path.display())]).unwrap(), sample::seven());
}

#[test]
fn a_picture_is_read_as_it_was_in_training() {
    for name in ["three", "seven", "nine"] {
        let path = assets().join(format!("models/digits/samples/{name}.png"));
        let inputs = read(&digits(), &[&format!("image=@{}", path.display())]).unwrap();
        let image = inputs.get("image").unwrap();
        assert_eq!(image.shape(), [1, 8, 8]);
        let ink = image.elements::<f32>().unwrap();
        let picture = image::open(&path).unwrap().to_luma8();
        for (at, ink) in ink.iter().enumerate() {
            let (row, column) = (at as u32 / 8 * 16, at as u32 % 8 * 16);
            let area = (row..row + 16).flat_map(|y| (column..column + 16).map(move |x| (x, y)));
            let sum: u32 = area.map(|(x, y)| u32::from(picture[(x, y)].0[0])).sum();
            let expected = (1.0 - sum as f32 / 256.0 / 255.0) * 16.0;
            assert!((ink - expected).abs() < 1e-3, "{name}: pixel {at} is {ink}, not {expected}");
        }
    }
}

#[test]
fn files_are_read_as_magika_reads_them() {
    let bytes = TensorSpec::new("bytes", DType::I32, batch(&[2048]));
    let signature = Signature { inputs: vec![bytes], outputs: Vec::new() };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/models/magika");
    let model = (signature, ModelConfig::read(&folder).unwrap());
    for name in ["digit.png", "note.pdf", "words.rs", "moving_average.py", "bundle.zip"] {
        let read_one = |path: PathBuf| read(&model, &[&format!("@{}", path.display())]).unwrap();
        let ours = read_one(assets().join("samples").join(name));
        let recorded = assets().join(format!("conformance/magika/file-{name}/in.bytes.npy"));
        let (elements, shape) = super::npy::read(&fs::read(recorded).unwrap()).unwrap();
        let theirs = elements.into_tensor(DType::I32, &shape).unwrap();
        assert!(*ours.get("bytes").unwrap() == theirs, "{name} differs");
    }
}

#[test]
fn what_is_wrong_is_named_with_the_input() {
    check_refused(
        &digits(),
        &["image=1,2"],
        "`image`: 2 numbers do not fill image: f32 [batch, 8, 8]; give 64, or a multiple of it for several rows",
    );
    check_refused(
        &digits(),
        &["image=seven"],
        "`image`: `seven` is not a number; write numbers as 1,2,3, or @FILE for a file",
    );
    check_refused(&digits(), &["@gone.png"], "gone.png: `image`: there is no such file");
    check_refused(&pair(), &["ids=1.5,2,3"], "`ids`: 1.5 is not a value of type i64");
    let here = tempfile::tempdir().unwrap();
    let text = here.path().join("notes.txt");
    fs::write(&text, "hello").unwrap();
    let message = read(&pair(), &[&format!("@{}", text.display())]).unwrap_err();
    assert!(message.contains("`ids`: nothing says how to read this file; give numbers"), "{message}");
    let message = read(&digits(), &[&format!("@{}", text.display())]).unwrap_err();
    assert!(message.contains("is not a picture that can be read"), "{message}");
}

#[test]
fn what_takes_bytes_takes_any_file() {
    let spec = TensorSpec::new("image", DType::Bytes, [Dim::Fixed(1)]);
    let model = (Signature { inputs: vec![spec], outputs: Vec::new() }, ModelConfig::default());
    let path = assets().join("samples/digit.png");
    let inputs = read(&model, &[&format!("@{}", path.display())]).unwrap();
    let image = inputs.get("image").unwrap();
    assert_eq!(image.shape(), [1]);
    assert_eq!(image.elements::<unruffled_model::Bytes>().unwrap()[0], fs::read(path).unwrap());
}
