//! Tokens against the Python package, and their mean against NumPy.

use unruffled_model::Tensors;
use unruffled_steps::{NoFiles, Pool, Step};
use unruffled_testing::npy;

use crate::{answer, path};

#[test]
fn means_are_those_of_numpy() {
    let array = |name: &str| npy::read_file(&path(&format!("assets/steps/pool.{name}.npy"))).unwrap();
    let inputs = Tensors::new().with("hidden", array("hidden")).with("mask", array("mask"));
    for (normalize, name) in [(false, "mean"), (true, "unit")] {
        let model = Step::Pool(Pool { normalize }).load(&NoFiles).unwrap();
        let out = answer(&model, inputs.clone()).unwrap();
        let (given, expected) = (out.get("embedding").unwrap(), array(name));
        assert_eq!(given.shape(), expected.shape());
        let pairs = given.elements::<f32>().unwrap().iter().zip(expected.elements::<f32>().unwrap());
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{name} is off by {worst}");
    }
}

#[cfg(feature = "text")]
mod tokens {
    use unruffled_model::{Bytes, ModelErrorKind, Tensor, TensorModel, Tensors};
    use unruffled_steps::{Step, Tokenize};

    use crate::{answer, files, recorded};

    fn load(options: Tokenize) -> TensorModel {
        Step::Tokenize(options)
            .load(&files("models/minilm"))
            .expect("no models/minilm; remedy: cargo xtask models minilm")
    }

    fn request(texts: &[&[u8]]) -> Tensors {
        let texts: Vec<_> = texts.iter().map(|text| Bytes::copy_from_slice(text)).collect();
        Tensors::new().with("text", Tensor::new(&[texts.len()], texts).unwrap())
    }

    #[test]
    fn tokens_are_those_of_the_python_package() {
        for case in recorded("tokens.json").as_array().unwrap() {
            let texts: Vec<&[u8]> = case["texts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|text| text.as_str().unwrap().as_bytes())
                .collect();
            let tokens_max = case["tokens_max"].as_u64().unwrap() as usize;
            let out = answer(&load(Tokenize { tokens_max, ..Tokenize::default() }), request(&texts)).unwrap();
            for name in ["input_ids", "attention_mask", "token_type_ids"] {
                let rows = case[name].as_array().unwrap();
                let expected: Vec<i64> = rows
                    .iter()
                    .flat_map(|row| row.as_array().unwrap())
                    .map(|id| id.as_i64().unwrap())
                    .collect();
                let given = out.get(name).unwrap();
                assert_eq!(given.elements::<i64>().unwrap(), expected, "{name} of {texts:?}");
                assert_eq!(given.shape(), [texts.len(), expected.len() / texts.len()]);
            }
        }
    }

    #[test]
    fn lengths_are_filled_up_so_that_texts_share_runs() {
        let model = load(Tokenize { multiple: 16, ..Tokenize::default() });
        let out = answer(&model, request(&[b"one two three", b""])).unwrap();
        let mask = out.get("attention_mask").unwrap();
        assert_eq!(mask.shape(), [2, 16]);
        assert_eq!(mask.elements::<i64>().unwrap().iter().sum::<i64>(), 5 + 2);
        assert_eq!(out.get("token_count").unwrap().elements::<i64>().unwrap(), [5, 2]);
        let none = answer(&model, request(&[])).unwrap();
        assert_eq!(none.get("input_ids").unwrap().shape(), [0, 0]);
    }

    #[test]
    fn what_is_no_text_or_too_much_of_it_is_refused() {
        let model = load(Tokenize { text_bytes_max: 4, ..Tokenize::default() });
        let refused = |texts: &[&[u8]]| {
            let error = answer(&model, request(texts)).unwrap_err();
            assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
            error.to_string()
        };
        assert_eq!(refused(&[b"good", b"longer"]), "`text`: text 1 has 6 bytes; the most is 4: cut it");
        assert!(refused(&[b"\xff"]).starts_with("`text`: text 0 is not UTF-8"));
    }

    #[test]
    fn a_text_must_have_room_beside_its_beginning_and_end() {
        let load = |tokens_max| {
            Step::Tokenize(Tokenize { tokens_max, ..Tokenize::default() }).load(&files("models/minilm"))
        };
        for few in [0, 1, 2] {
            let message = load(few).err().unwrap().to_string();
            let expected = "of which every text takes 2 for itself; expected more";
            assert_eq!(message, format!("`tokens_max`: is {few}, {expected}"));
        }
        assert!(load(3).is_ok());
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_named() {
        let step = Step::Tokenize(Tokenize::default());
        let message = step.load(&|_: &str| Ok(b"{}".to_vec())).err().unwrap().to_string();
        assert!(
            message.starts_with("`tokenizer`: \"tokenizer.json\" is not a tokenizer that can be used"),
            "{message}"
        );
    }
}
