//! The live page, in a real browser.

use serde_json::{Value, json};

use crate::browser::{Browser, ENTER, TAB};
use crate::program::{Server, typed};

/// The model that the page shows is there, and its plots have something to show.
pub(crate) const LIVE: &str = "document.querySelector('#models a[aria-current]') && document.querySelectorAll('#plots canvas').length === 5";

pub(crate) fn open(server: &Server) -> Browser {
    let browser = Browser::start();
    browser.open(server.url());
    browser.until(LIVE);
    browser
}

/// Draws a line through these points of the pad, each a part of its side.
fn draw(browser: &Browser, points: &[(f64, f64)]) {
    let pad = browser.run("const { left, top, width } = document.querySelector('.pad').getBoundingClientRect(); return [left, top, width]");
    let [left, top, side] = [0, 1, 2].map(|at| pad[at].as_f64().unwrap());
    let points: Vec<_> = points.iter().map(|(x, y)| (left + x * side, top + y * side)).collect();
    browser.draw(&points);
}

#[test]
fn a_stroke_gets_a_digit_and_its_story() {
    let server = Server::start(&[]);
    let browser = open(&server);
    assert_eq!(browser.run("return document.title"), "Unruffled");
    browser.run("document.querySelector('.pad').scrollIntoView({ block: 'center' })");
    draw(&browser, &[(0.5, 0.1), (0.5, 0.3), (0.5, 0.5), (0.5, 0.7), (0.5, 0.9)]);
    browser.until("document.querySelector('.best').textContent === '1'");
    let spoken = browser.until("document.querySelector('.reading [aria-live=polite]').textContent");
    assert!(spoken.as_str().unwrap().starts_with("It reads 1, "), "{spoken}");
    draw(&browser, &[(0.2, 0.1), (0.35, 0.1), (0.5, 0.1)]);

    // The plots have data: the last requests were counted.
    browser.until("[...document.querySelectorAll('#plots .plot:first-child b')].some((one) => one.textContent.endsWith('/s') && one.textContent !== '0 /s')");
    let drawn = "const canvas = document.querySelector('#plots .plot:nth-child(4) canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value > 0)";
    assert_eq!(browser.run(drawn), json!(true));

    // The last requests are listed, and each has its story.
    browser.until("document.querySelector('#requests [data-outcome=good] button')");
    browser.run("document.querySelector('#requests [data-outcome=good] button').click()");
    let story = browser.until("document.querySelector('#story[open] pre')?.textContent");
    assert!(story.as_str().unwrap().contains("to `digits`: answered after"), "{story}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_request_as_json_is_answered_and_a_wrong_one_told() {
    let server = Server::start(&[]);
    let browser = open(&server);
    browser.run("document.querySelector('#ways input[value=JSON]').click()");
    let send = "document.querySelector('.try button[type=submit]').click()";
    browser.run(send);
    browser.until("document.querySelector('.answer[data-state=good] .bars')");
    browser.run("document.querySelector('#try-json').value = '{}'");
    browser.run(send);
    let said = browser.until("document.querySelector('.answer[data-state=bad] .note')?.textContent");
    assert!(said.as_str().unwrap().contains("inputs"), "{said}");
}

#[test]
fn a_file_goes_to_a_model_that_takes_bytes() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("picture");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.toml"), "[step]\nkind = \"decode-image\"\n").unwrap();
    // The digits beside it have a line to paste.
    let server =
        Server::start(&["--models", &root.path().display().to_string(), &typed("assets/models/digits")]);
    let browser = open(&server);
    browser.run("location.hash = '#model/picture'");
    browser.until("document.querySelector('#try-file')");
    browser.type_into("#try-file", &typed("assets/models/digits/samples/seven.png"));
    let said = browser.until("document.querySelector('.answer[data-state] .note')?.textContent.includes('answered in') && document.querySelector('.outputs').textContent");
    assert!(said.as_str().unwrap().contains("picture"), "{said}");
    // The request came as raw bytes, and is among the last.
    browser.until("document.querySelector('#requests [data-outcome=good]')");
    // And back.
    browser.run("location.hash = '#model/digits'");
    browser.until("document.querySelector('.pad')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn all_is_reached_by_keyboard() {
    let server = Server::start(&[]);
    let browser = open(&server);
    let mut reached: Vec<Value> = Vec::new();
    for _ in 0..18 {
        browser.press(TAB);
        let focused = "const one = document.activeElement;
            const ring = one.matches('.ways input') ? one.nextElementSibling : one;
            return [one.id || one.className || one.textContent.trim(), getComputedStyle(ring).outlineStyle]";
        reached.push(browser.run(focused));
    }
    for name in ["skip", "theme", "digits", "pad", "Sample", "as-job"] {
        let found = reached.iter().find(|one| one[0] == name);
        assert!(found.is_some_and(|one| one[1] != "none"), "{name} is not among {reached:?}");
    }
    // The pad has an answer without a pen.
    browser.type_into(".paper button", ENTER);
    browser.until("document.querySelector('.best').textContent === '3'");
    // Whatever asks for something has a name.
    let nameless = "return [...document.querySelectorAll('button, input, textarea, canvas[tabindex]')]
        .filter((one) => !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-label')))
        .map((one) => one.outerHTML)";
    assert_eq!(browser.run(nameless), json!([]));
}

#[test]
fn it_is_dark_where_the_system_is_and_fits_a_phone() {
    let server = Server::start(&[]);
    let browser = open(&server);
    let paper = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(paper);
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.cdp("Emulation.setEmulatedMedia", &dark);
    let automatic = browser.run(paper);
    assert_ne!(light, automatic);
    // Switched to light whatever the system says, and remembered.
    browser.run("document.querySelector('#theme').click()");
    assert_eq!(browser.run(paper), light);
    browser.refresh();
    browser.until(LIVE);
    assert_eq!(browser.run(paper), light);
    browser.run("document.querySelector('#theme').click()");
    assert_eq!(browser.run(paper), automatic);
    assert_eq!(browser.run("return document.cookie"), "");

    let phone = json!({ "width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true });
    browser.cdp("Emulation.setDeviceMetricsOverride", &phone);
    browser.until("window.innerWidth === 360");
    browser.until("document.querySelector('#plots canvas').getBoundingClientRect().width < 340");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), json!(360));
    let wide = "return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 361 && !one.closest('.scroll')).map((one) => one.outerHTML.slice(0, 80))";
    assert_eq!(browser.run(wide), json!([]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
