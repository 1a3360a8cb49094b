//! Steps around gathered models: text that is read out of a picture, sentences that are close.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use unruffled::model::Bytes;
use unruffled::{Engine, ErrorKind, Load, Tensor, TensorHandle, Tensors};
use unruffled_testing::npy;

const DET: &str = "sigmoid_0.tmp_0";
const REC: &str = "softmax_11.tmp_0";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn gathered(model: &str) -> PathBuf {
    let folder = root().join("models").join(model);
    assert!(folder.is_dir(), "there is no models/{model}; remedy: cargo xtask models {model}");
    folder
}

/// Models that are steps, each in a folder of its own, beside which lie copies of files.
struct Steps {
    engine: Engine,
    root: TempDir,
}

impl Steps {
    fn new() -> Self {
        Self { engine: Engine::new(), root: tempfile::tempdir().unwrap() }
    }

    async fn load(
        &self,
        kind: &str,
        settings: &str,
        files: &[PathBuf],
    ) -> Result<TensorHandle, unruffled::Error> {
        let folder = self.root.path().join(kind);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.toml"), format!("[step]\nkind = '{kind}'\n{settings}")).unwrap();
        for file in files {
            fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        }
        self.engine.load(folder).await
    }
}

async fn ask(model: &TensorHandle, inputs: Tensors) -> Tensors {
    model.infer(inputs).await.unwrap().output
}

fn texts(tensor: &Tensor) -> Vec<String> {
    let texts = tensor.elements::<Bytes>().unwrap();
    texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_picture_is_read() {
    let steps = Steps::new();
    let numbers = "color = 'bgr'\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n";
    let decode = steps.load("decode-image", "", &[]).await.unwrap();
    let sized = format!("side_max = 960\nmultiple = 32\n{numbers}");
    let resize = steps.load("resize", &sized, &[]).await.unwrap();
    let boxes = steps.load("text-boxes", "", &[]).await.unwrap();
    let crop = steps.load("crop", "", &[]).await.unwrap();
    let labels = gathered("ppocr-rec").join("labels.txt");
    let spell = steps.load("ctc-text", "labels = 'labels.txt'", &[labels]).await.unwrap();
    let detect = steps.engine.load(gathered("ppocr-det")).await.unwrap();
    let recognise = steps.engine.load(gathered("ppocr-rec")).await.unwrap();

    let file = Bytes::from(fs::read(root().join("assets/steps/page.png")).unwrap());
    let image = Tensors::new().with("image", Tensor::new(&[1], vec![file]).unwrap());
    let picture = ask(&decode, image).await;
    assert_eq!(picture.get("picture").unwrap().shape(), [360, 640, 3]);
    let resized = ask(&resize, picture.clone()).await;
    let map = ask(&detect, Tensors::new().with("x", resized.get("pixels").unwrap().clone())).await;
    let map = Tensors::new()
        .with("map", map.get(DET).unwrap().clone())
        .with("size", resized.get("size").unwrap().clone());
    let found = ask(&boxes, map).await;
    let all = picture.with("boxes", found.get("boxes").unwrap().clone());
    let crops = ask(&crop, all.clone()).await;
    let scores = ask(&recognise, Tensors::new().with("x", crops.get("crops").unwrap().clone())).await;
    let read = ask(&spell, Tensors::new().with("scores", scores.get(REC).unwrap().clone())).await;
    let lines = texts(read.get("text").unwrap());
    assert_eq!(lines, ["Invoice 2026-1129", "Total", "184.50", "Thank you for waiting", "never blocked"]);
    let least = read.get("score").unwrap().elements::<f32>().unwrap().iter().copied().fold(1.0, f32::min);
    assert!(least > 0.9, "the least sure line has {least}");
}

#[tokio::test]
async fn sentences_become_the_vectors_of_the_reference() {
    let steps = Steps::new();
    let file = gathered("minilm").join("tokenizer.json");
    let tokenize = steps.load("tokenize", "", &[file]).await.unwrap();
    let embed = steps.engine.load(gathered("minilm")).await.unwrap();
    let expected = npy::read_file(&root().join("assets/steps/embeddings.npy")).unwrap();
    let given = ["A cat sits on the mat.", "Unruffled: any synchronous model behind an async API!", ""];
    let given = given.map(|text| Bytes::from_static(text.as_bytes())).to_vec();
    let mut tokens = ask(&tokenize, Tensors::new().with("text", Tensor::new(&[3], given).unwrap())).await;
    assert!(tokens.remove("token_count").is_some(), "it is for people, not for the model");
    let vectors = ask(&embed, tokens).await;
    let vectors = vectors.get("sentence_embedding").unwrap();
    assert_eq!(vectors.shape(), expected.shape());
    let pairs = vectors.elements::<f32>().unwrap().iter().zip(expected.elements::<f32>().unwrap());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "off by {worst}");
}

#[tokio::test]
async fn a_step_that_cannot_be_made_names_file_line_and_key() {
    let steps = Steps::new();
    let error = steps.load("tokenize", "tokens_max = 9\ntokenizer = 'gone.json'", &[]).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Engine(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("tokenize/model.toml:4: `step.tokenizer`: cannot read \"gone.json\""), "{text}");
    let outside = steps.load("ctc-text", "labels = '../tokenize/model.toml'", &[]).await.unwrap_err();
    assert!(outside.to_string().contains("is not the name of a file in the model's own folder"), "{outside}");
}
