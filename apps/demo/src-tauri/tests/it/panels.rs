//! The panels of the demo, with the real models, by clicks and keys.

use serde_json::{Value, json};

use crate::support::Window;

/// A window in which the model of this panel is ready.
fn panel(id: &str) -> Window {
    let window = Window::open();
    window.until(&format!("document.getElementById('{id}').dataset.state === 'ready'"));
    window
}

/// Waits until the work of a panel is done.
fn done(window: &Window, id: &str) {
    let work = window.until(&format!(
        "['done', 'failed'].includes(document.getElementById('{id}').dataset.work) && document.getElementById('{id}').dataset.work"
    ));
    assert_eq!(work, "done");
}

/// What the page says of all elements of a selector.
fn all(window: &Window, selector: &str, of: &str) -> Vec<Value> {
    let script = format!("return [...document.querySelectorAll('{selector}')].map((one) => {of});");
    window.run(&script).as_array().unwrap().clone()
}

#[test]
fn files_are_told_by_what_is_in_them() {
    let window = panel("files");
    window.click("#files-sample");
    done(&window, "files");
    let told = all(&window, "[data-testid=file]", "[one.dataset.name, one.dataset.label]");
    let of = |name: &str| told.iter().find(|file| file[0] == name).map(|file| file[1].clone());
    for (name, label) in
        [("bundle.zip", "zip"), ("words.rs", "rust"), ("moving_average.py", "python"), ("note.pdf", "pdf")]
    {
        assert_eq!(of(name), Some(json!(label)), "{name} among {told:?}");
    }
    window.show("files");
}

#[test]
fn a_search_finds_what_is_meant() {
    let window = panel("search");
    window.click("#search-sample");
    done(&window, "search");
    window.type_into("#search-query", "keeping a blade sharp");
    window.until("document.getElementById('search-results').dataset.query === 'keeping a blade sharp'");
    let found = all(&window, "[data-testid=result]", "one.textContent");
    assert!(found[0].as_str().unwrap().contains("knife"), "{found:?}");
    window.show("search");
}

#[test]
fn a_picture_is_read_line_by_line() {
    let window = panel("ocr");
    window.click("#ocr-sample");
    done(&window, "ocr");
    let lines = all(&window, "[data-testid=ocr-line]", "one.textContent");
    let text = lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
    assert!(text.contains("Harbour Notes") && text.contains("Dogs travel free of charge"), "{text}");
    assert_eq!(window.run("return Number(document.getElementById('ocr').dataset.boxes);"), lines.len());
    window.show("ocr");
}

#[test]
fn speech_is_found_in_a_recording() {
    let window = panel("speech");
    window.click("#speech-sample");
    done(&window, "speech");
    let segments =
        all(&window, "[data-testid=segment]", "[Number(one.dataset.from), Number(one.dataset.to)]");
    assert_eq!(segments.len(), 3, "{segments:?}");
    window.show("speech");
}

#[test]
fn all_at_once() {
    let window = Window::open();
    for id in ["files", "search", "ocr", "speech"] {
        window.until(&format!("document.getElementById('{id}').dataset.state === 'ready'"));
    }
    let backend = window.call("return (await api.models()).find(({ name }) => name === 'magika').backend;");
    // The package brings ONNX Runtime along.
    let is_installed = std::env::var_os("UNRUFFLED_DEMO").is_some();
    assert_eq!(backend, if is_installed { "ort" } else { "rten" });
    window.click("#try-all");
    for id in ["files", "search", "ocr", "speech"] {
        done(&window, id);
    }
    window.show("all");
}
