//! The live page, in a real browser.

use std::time::Duration;

use fantoccini::Locator;
use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::program::{Server, typed};

/// The model that the page shows is there, and its plots have something to show.
const LIVE: &str = "document.querySelector('#models a[aria-current]') && document.querySelectorAll('#plots canvas').length === 5";

async fn open(server: &Server) -> Browser {
    let browser = Browser::start().await;
    browser.client.goto(server.url()).await.unwrap();
    browser.until(LIVE).await;
    browser
}

/// Draws a line through these points of the pad, each a part of its side.
async fn draw(browser: &Browser, points: &[(f64, f64)]) {
    let pad = browser.run("const { left, top, width } = document.querySelector('.pad').getBoundingClientRect(); return [left, top, width]").await;
    let [left, top, side] = [0, 1, 2].map(|at| pad[at].as_f64().unwrap());
    let move_to = |&(x, y): &(f64, f64)| PointerAction::MoveTo {
        duration: Some(Duration::from_millis(30)),
        x: (left + x * side).round(),
        y: (top + y * side).round(),
    };
    let mut mouse =
        MouseActions::new("mouse".into()).then(move_to(&points[0])).then(PointerAction::Down { button: 0 });
    for point in &points[1..] {
        mouse = mouse.then(move_to(point));
    }
    let up = mouse.then(PointerAction::Up { button: 0 });
    browser.client.perform_actions(up).await.unwrap();
}

#[tokio::test]
async fn a_stroke_gets_a_digit_and_its_story() {
    let server = Server::start(&[]);
    let browser = open(&server).await;
    assert_eq!(browser.client.title().await.unwrap(), "Unruffled");
    browser.run("document.querySelector('.pad').scrollIntoView({ block: 'center' })").await;
    draw(&browser, &[(0.5, 0.1), (0.5, 0.3), (0.5, 0.5), (0.5, 0.7), (0.5, 0.9)]).await;
    browser.until("document.querySelector('.best').textContent === '1'").await;
    let spoken = browser.until("document.querySelector('.reading [aria-live=polite]').textContent").await;
    assert!(spoken.as_str().unwrap().starts_with("It reads 1, "), "{spoken}");
    draw(&browser, &[(0.2, 0.1), (0.35, 0.1), (0.5, 0.1)]).await;

    // The plots have data: the last requests were counted.
    browser.until("[...document.querySelectorAll('#plots .plot:first-child b')].some((one) => one.textContent.endsWith('/s') && one.textContent !== '0 /s')").await;
    let drawn = "const canvas = document.querySelector('#plots .plot:nth-child(4) canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value > 0)";
    assert_eq!(browser.run(drawn).await, json!(true));

    // The last requests are listed, and each has its story.
    browser.until("document.querySelector('#requests [data-outcome=good] button')").await;
    browser.run("document.querySelector('#requests [data-outcome=good] button').click()").await;
    let story = browser.until("document.querySelector('#story[open] pre')?.textContent").await;
    assert!(story.as_str().unwrap().contains("to `digits`: answered after"), "{story}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test]
async fn a_request_as_json_is_answered_and_a_wrong_one_told() {
    let server = Server::start(&[]);
    let browser = open(&server).await;
    browser.run("document.querySelector('#ways input[value=JSON]').click()").await;
    let send = "document.querySelector('.try button[type=submit]').click()";
    browser.run(send).await;
    browser.until("document.querySelector('.answer[data-state=good] .bars')").await;
    browser.run("document.querySelector('#try-json').value = '{}'").await;
    browser.run(send).await;
    let said = browser.until("document.querySelector('.answer[data-state=bad] .note')?.textContent").await;
    assert!(said.as_str().unwrap().contains("inputs"), "{said}");
    browser.end().await;
}

#[tokio::test]
async fn a_file_goes_to_a_model_that_takes_bytes() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("picture");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.toml"), "[step]\nkind = \"decode-image\"\n").unwrap();
    // The digits beside it have a line to paste.
    let server =
        Server::start(&["--models", &root.path().display().to_string(), &typed("assets/models/digits")]);
    let browser = open(&server).await;
    browser.run("location.hash = '#model/picture'").await;
    browser.until("document.querySelector('#try-file')").await;
    let input = browser.client.find(Locator::Css("#try-file")).await.unwrap();
    input.send_keys(&typed("assets/models/digits/samples/seven.png")).await.unwrap();
    let said = browser.until("document.querySelector('.answer[data-state] .note')?.textContent.includes('answered in') && document.querySelector('.outputs').textContent").await;
    assert!(said.as_str().unwrap().contains("picture"), "{said}");
    // The request came as raw bytes, and is among the last.
    browser.until("document.querySelector('#requests [data-outcome=good]')").await;
    // And back.
    browser.run("location.hash = '#model/digits'").await;
    browser.until("document.querySelector('.pad')").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test]
async fn all_is_reached_by_keyboard() {
    let server = Server::start(&[]);
    let browser = open(&server).await;
    let mut reached: Vec<Value> = Vec::new();
    for _ in 0..16 {
        browser
            .client
            .active_element()
            .await
            .unwrap()
            .send_keys(&char::from(Key::Tab).to_string())
            .await
            .unwrap();
        let focused = "const one = document.activeElement;
            const ring = one.matches('.ways input') ? one.nextElementSibling : one;
            return [one.id || one.className || one.textContent.trim(), getComputedStyle(ring).outlineStyle]";
        reached.push(browser.run(focused).await);
    }
    for name in ["skip", "theme", "digits", "pad", "Sample"] {
        let found = reached.iter().find(|one| one[0] == name);
        assert!(found.is_some_and(|one| one[1] != "none"), "{name} is not among {reached:?}");
    }
    // The pad has an answer without a pen.
    let sample = browser.client.find(Locator::Css(".paper button")).await.unwrap();
    sample.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
    browser.until("document.querySelector('.best').textContent === '3'").await;
    // Whatever asks for something has a name.
    let nameless = "return [...document.querySelectorAll('button, input, textarea, canvas[tabindex]')]
        .filter((one) => !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-label')))
        .map((one) => one.outerHTML)";
    assert_eq!(browser.run(nameless).await, json!([]));
    browser.end().await;
}

#[tokio::test]
async fn it_is_dark_where_the_system_is_and_fits_a_phone() {
    let server = Server::start(&[]);
    let browser = open(&server).await;
    let paper = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(paper).await;
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.cdp("Emulation.setEmulatedMedia", dark).await;
    let automatic = browser.run(paper).await;
    assert_ne!(light, automatic);
    // Switched to light whatever the system says, and remembered.
    browser.run("document.querySelector('#theme').click()").await;
    assert_eq!(browser.run(paper).await, light);
    browser.client.refresh().await.unwrap();
    browser.until(LIVE).await;
    assert_eq!(browser.run(paper).await, light);
    browser.run("document.querySelector('#theme').click()").await;
    assert_eq!(browser.run(paper).await, automatic);
    assert_eq!(browser.client.get_all_cookies().await.unwrap().len(), 0);

    let phone = json!({ "width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true });
    browser.cdp("Emulation.setDeviceMetricsOverride", phone).await;
    browser.until("window.innerWidth === 360").await;
    browser.until("document.querySelector('#plots canvas').getBoundingClientRect().width < 340").await;
    assert_eq!(browser.run("return document.documentElement.scrollWidth").await, json!(360));
    let wide = "return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 361 && !one.closest('.scroll')).map((one) => one.outerHTML.slice(0, 80))";
    assert_eq!(browser.run(wide).await, json!([]));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.end().await;
}
