//! Models that are tried on the live page: pictures, recordings, texts, files.

use std::path::Path;

use serde_json::Value;

use crate::browser::{Browser, ENTER};
use crate::live_page::{LIVE, open};
use crate::program::{Server, run_in, typed};

/// The folder of gathered models; what is not there fails a test, with the remedy.
#[track_caller]
fn models() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    for model in ["magika", "minilm", "ppocr-det", "ppocr-rec", "silero-vad"] {
        let is_here = folder.join(model).join("1/model.onnx").is_file();
        assert!(is_here, "models/{model} is not there: run `cargo xtask models` first");
    }
    folder.canonicalize().unwrap().display().to_string()
}

const GOOD: &str = "document.querySelector('.answer[data-state=good]')";

/// Goes to a model, and waits for the panel that it has got.
fn choose(browser: &Browser, model: &str, way: &str) {
    browser.run(&format!("location.hash = '#model/{model}'"));
    browser.until(&format!(
        "document.querySelector('#model-title').textContent === '{model}' && document.querySelector('#ways :checked')?.value === '{way}'"
    ));
}

/// Counts what sockets are told from now on.
const COUNT: &str = "const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        this.addEventListener('message', () => (window.told = (window.told ?? 0) + 1));
        return send.call(this, data);
    }";

#[test]
fn a_picture_is_read_with_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = run_in(folder.path(), &["keys", "new", "phone", "--infer", "ocr", "--metrics"]).ok();
    let server = Server::start_in(folder.path(), &["--keys", "keys.toml", "--models", &models()]);
    let browser = Browser::start();
    browser.open(server.url());
    browser.type_into("#key", &format!("{}{ENTER}", key.trim()));
    browser.until(LIVE);
    browser.run(COUNT);
    choose(&browser, "ocr", "Picture");
    browser.type_into("#try-file", &typed("assets/steps/page.png"));
    browser.until(GOOD);
    let label = browser.run("return document.querySelector('canvas.shown').getAttribute('aria-label')");
    for part in ["5 boxes", "Invoice 2026-1129", "never blocked"] {
        assert!(label.as_str().unwrap().contains(part), "{label}");
    }
    let texts = browser
        .run("return [...document.querySelectorAll('.outputs .texts li')].map((one) => one.textContent)");
    assert_eq!(texts.as_array().map(Vec::len), Some(5), "{texts}");
    // Box by box, and its words in the colour of what was found.
    let told = browser.run("return window.told").as_u64();
    assert!(told.is_some_and(|told| told > 5), "{told:?}");
    let drawn = "const canvas = document.querySelector('canvas.shown');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const [red, green, blue] = [0xa9, 0x60, 0x1a];
        return data.filter((value, at) => at % 4 === 0 && Math.abs(value - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < 12).length";
    assert!(browser.run(drawn).as_u64().unwrap() > 200);
    // What is no picture is told, and shown by nothing.
    browser.type_into("#try-file", &typed("assets/samples/words.rs"));
    browser.until("document.querySelector('.answer[data-state=bad]')");
    assert_eq!(browser.run("return document.querySelector('canvas.shown').hidden"), true);
    // A model that this key may not ask: its socket does not open, and the reason is told all the same.
    choose(&browser, "speech", "Recording");
    browser.type_into("#try-file", &typed("assets/steps/tone.ogg"));
    browser.until("document.querySelector('.answer[data-state=bad] .note')?.textContent.includes('lacks the scope `infer` for `speech`')");
    let complaints = browser.complaints_but(&[401, 403]);
    let complaints: Vec<_> = complaints.iter().filter(|one| !one.contains("WebSocket")).collect();
    assert_eq!(complaints, Vec::<&String>::new());
}

#[test]
fn a_recording_is_listened_to() {
    let models = models();
    let recording = Path::new(&models).join(".cache/pipelines/speech.wav");
    assert!(recording.is_file(), "the recording is not there: run `cargo xtask models pipelines` first");
    let server = Server::start(&["--models", &models]);
    let browser = open(&server);
    browser.run(COUNT);
    choose(&browser, "speech", "Recording");
    browser.type_into("#try-file", recording.to_str().unwrap());
    browser.until(GOOD);
    let stretches =
        browser.run("return [...document.querySelectorAll('.stretches li')].map((one) => one.textContent)");
    let count = stretches.as_array().unwrap().len();
    assert!(count >= 2 && stretches[0].as_str().unwrap().contains(" s to "), "{stretches}");
    assert!(browser.run("return window.told").as_u64().unwrap() > 2);
    let label = browser.run("return document.querySelector('canvas.shown').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().contains(&format!("with {count} stretches")), "{label}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn two_texts_are_compared() {
    let server = Server::start(&["--models", &models()]);
    let browser = open(&server);
    choose(&browser, "sentence-embedding", "Two texts");
    let near = |first: &str, second: &str| -> f64 {
        let write = format!(
            "document.querySelector('.near').textContent = '?';
             document.querySelector('#try-first').value = '{first}'; document.querySelector('#try-second').value = '{second}';
             document.querySelector('.try button[type=submit]').click()"
        );
        browser.run(&write);
        let near = browser.until("document.querySelector('.near').textContent !== '?' && document.querySelector('.near').textContent");
        near.as_str().unwrap().parse().unwrap()
    };
    let alike = near("A cat sits on the mat.", "A cat is sitting on a rug.");
    let apart = near("A cat sits on the mat.", "Stock prices fell.");
    assert!(alike > apart + 0.3, "{alike} {apart}");
    assert_eq!(near("the same", "the same").to_string(), "1");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_ends_of_a_file_are_looked_at() {
    let server = Server::start(&["--models", &models()]);
    let browser = open(&server);
    choose(&browser, "magika", "File");
    for (file, kind) in [("words.rs", "rust"), ("bundle.zip", "zip"), ("digit.png", "png")] {
        browser.type_into("#try-file", &typed(&format!("assets/samples/{file}")));
        let best: Value = browser.until(&format!("{GOOD} && document.querySelector('.drop').textContent.startsWith('{file}') && document.querySelector('.answer .bars li .digit').textContent === '{kind}'"));
        assert_eq!(best, true, "{file}");
    }
    // As a job, too.
    browser.run("document.querySelector('#as-job').click()");
    browser.until("document.querySelector('#jobs [data-state=done]')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
