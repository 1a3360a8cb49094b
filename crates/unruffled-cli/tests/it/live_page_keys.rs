//! The live page of a server that asks for keys.

use std::fs;

use serde_json::json;

use crate::browser::{Browser, ENTER};
use crate::live_page::LIVE;
use crate::program::{Server, run_in};

/// A server with the key of somebody who may do this, and that key.
fn start(scopes: &[&str]) -> (Server, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let key = run_in(folder.path(), &[&["keys", "new", "phone"], scopes].concat()).ok();
    (Server::start_in(folder.path(), &["--keys", "keys.toml"]), key.trim().to_owned(), folder)
}

const LOCKED: &str = "!document.querySelector('#door').hidden && document.querySelector('main').hidden";

/// Opens the page and gives it a key.
fn enter(server: &Server, key: &str) -> Browser {
    let browser = Browser::start();
    browser.open(server.url());
    browser.until(LOCKED);
    browser.type_into("#key", &format!("{key}{ENTER}"));
    browser
}

/// What the browser keeps of this page: of the tab, and for good; and its address.
fn kept(browser: &Browser) -> [String; 3] {
    let kept = browser.run("return [JSON.stringify(sessionStorage), JSON.stringify(localStorage), location.href + document.cookie]");
    [0, 1, 2].map(|at| kept[at].as_str().unwrap().to_owned())
}

#[test]
fn a_key_is_asked_for_and_forgotten() {
    let (server, key, _folder) = start(&["--infer", "*", "--admin"]);
    let browser = enter(&server, "unr_of-another-server");
    let told = browser.until("document.querySelector('#key-told').textContent.includes('none of') && document.querySelector('#key-told').textContent");
    assert!(told.as_str().unwrap().contains("withdrawn"), "{told}");
    assert_eq!(browser.run("return document.querySelectorAll('#models tr').length"), json!(0));
    assert_eq!(kept(&browser)[..2], ["{}", "{}"]);
    // What can be no key is not even sent.
    browser.type_into("#key", &format!("no key{ENTER}"));
    browser.until("document.querySelector('#key-told').textContent.includes('no blanks')");

    browser.run("document.querySelector('#key').value = ''");
    browser.type_into("#key", &format!("{key}{ENTER}"));
    browser.until(LIVE);
    browser.run("document.querySelector('.paper button').click()");
    browser.until("document.querySelector('.best').textContent === '3'");
    browser.until("document.querySelector('#requests [data-outcome=good] button')");
    browser.run("document.querySelector('#requests [data-outcome=good] button').click()");
    browser.until("document.querySelector('#story[open] pre')");
    browser.run("document.querySelector('#story-close').click()");
    // What a link could not bring is shown here.
    browser.run("document.querySelector('footer a').click()");
    browser.until("document.querySelector('#story[open] pre')?.textContent.includes('unruffled_build_info')");
    browser.run("document.querySelector('#story-close').click()");
    for place in kept(&browser) {
        assert!(!place.contains(&key[4..]), "{place}");
    }
    assert!(!browser.run("return document.documentElement.outerHTML").as_str().unwrap().contains(&key[4..]));
    assert_eq!(browser.run("return document.querySelector('#key').value"), "");

    browser.run("document.querySelector('#forget').click()");
    browser.until(&format!("{LOCKED} && !document.querySelector('#models tr')"));
    browser.refresh();
    browser.until(LOCKED);
    assert_eq!(browser.complaints_but(&[401]), Vec::<String>::new());
}

#[test]
fn a_tab_remembers_a_key_if_it_is_to() {
    let (server, key, folder) = start(&["--infer", "*", "--admin"]);
    let browser = Browser::start();
    browser.open(server.url());
    browser.until(LOCKED);
    browser.run("document.querySelector('#key-in-tab').click()");
    browser.type_into("#key", &format!("{key}{ENTER}"));
    browser.until(LIVE);
    browser.refresh();
    browser.until(LIVE);
    let [tab, good, address] = kept(&browser);
    assert!(tab.contains(&key) && !good.contains(&key) && !address.contains(&key), "{good} {address}");
    // Another tab knows nothing of it.
    browser.new_tab();
    browser.open(server.url());
    browser.until(LOCKED);
    browser.type_into("#key", &format!("{key}{ENTER}"));
    browser.until(LIVE);
    // Withdrawn, it opens nothing any more: the next look at the jobs finds out.
    let other = run_in(folder.path(), &["keys", "new", "other", "--file", "other.toml"]).ok();
    assert_ne!(other.trim(), key);
    fs::copy(folder.path().join("other.toml"), folder.path().join("keys.toml")).unwrap();
    server.signal("HUP");
    browser
        .until(&format!("{LOCKED} && document.querySelector('#key-told').textContent.includes('withdrawn')"));
    assert_eq!(browser.run("return document.querySelectorAll('#models tr').length"), json!(0));
    assert_eq!(kept(&browser)[0], "{}");
}

#[test]
fn without_metrics_models_can_be_tried() {
    let (server, key, _folder) = start(&["--infer", "dig*"]);
    let browser = Browser::start();
    browser.open(server.url());
    browser.until(LOCKED);
    browser.run("document.querySelector('#key-in-tab').click()");
    browser.type_into("#key", &format!("{key}{ENTER}"));
    let told = browser.until("!document.querySelector('#barred').hidden && document.querySelector('#models a') && document.querySelector('#barred').textContent");
    assert!(told.as_str().unwrap().contains("key `phone` lacks the scope `metrics`"), "{told}");
    let shown = "return ['water-figure', 'server', 'plots', 'last'].filter((id) => !document.getElementById(id).hidden)";
    assert_eq!(browser.run(shown), json!([]));
    browser.until("document.querySelector('.paper button')");
    browser.run("document.querySelector('.paper button').click()");
    browser.until("document.querySelector('.best').textContent === '3'");

    // Of the jobs, those of this tab are seen, also when the page has been left.
    let told = browser.until("document.querySelector('#jobs-told').textContent");
    assert!(told.as_str().unwrap().contains("key `phone` lacks the scope `admin`"), "{told}");
    browser.run("document.querySelector('#as-job').click()");
    browser.until("document.querySelector('#jobs [data-state=done]')");
    browser.refresh();
    browser.until("document.querySelector('#jobs [data-state=done]')");
    assert_eq!(browser.complaints_but(&[401, 403]), Vec::<String>::new());
}

#[test]
fn who_may_only_look_is_told_so() {
    let (server, key, _folder) = start(&["--metrics"]);
    let browser = enter(&server, &key);
    browser.until(LIVE);
    browser.run("document.querySelector('.paper button').click()");
    browser.until("document.querySelector('.reading .note').textContent.includes('lacks the scope `infer` for `digits`')");
    browser.run("document.querySelector('#as-job').click()");
    browser.until("document.querySelector('.as-job .note').textContent.includes('lacks the scope `infer`')");
    assert_eq!(browser.complaints_but(&[401, 403]), Vec::<String>::new());
}
