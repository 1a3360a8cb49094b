//! Jobs on the live page.

use serde_json::json;

use crate::live_page::open;
use crate::program::Server;

#[test]
fn what_is_tried_can_be_run_as_a_job() {
    let server = Server::start(&[]);
    let browser = open(&server);
    // There is nothing on the paper yet.
    browser.run("document.querySelector('#as-job').click()");
    browser.until("document.querySelector('.as-job .note').textContent.includes('nothing to ask')");
    browser.run("document.querySelector('.paper button').click(); document.querySelector('#as-job').click()");
    browser.until("document.querySelector('#jobs [data-state=done]')");
    browser.run("document.querySelector('#ways input[value=JSON]').click()");
    browser.run("document.querySelector('#as-job').click()");
    browser.until("document.querySelectorAll('#jobs [data-state=done]').length === 2");
    // The newest is the first, and each has its result.
    let ids = browser.run("return [...document.querySelectorAll('#jobs tr')].map((row) => row.dataset.key)");
    assert!(ids[0].as_str().unwrap() > ids[1].as_str().unwrap(), "{ids}");
    browser.run("document.querySelector('#jobs tr:last-child button').click()");
    let shown = browser.until("document.querySelector('#story[open] .outputs')?.textContent");
    assert!(shown.as_str().unwrap().contains("label INT64"), "{shown}");
    let facts = browser.run("return document.querySelector('#story .facts').textContent");
    assert!(facts.as_str().unwrap().contains("Statedone"), "{facts}");
    browser.run("document.querySelector('#story-close').click()");
    // What cannot be run is told at once.
    browser
        .run("document.querySelector('#try-json').value = '{}'; document.querySelector('#as-job').click()");
    browser.until("document.querySelector('.as-job .note').textContent.includes('inputs')");
    assert_eq!(browser.complaints_but(&[400]), Vec::<String>::new());
}

#[test]
fn a_job_that_waits_is_cancelled() {
    let server = Server::start(&[]);
    let browser = open(&server);
    // Somebody else's, for tomorrow.
    let submit = "const data = new Array(64).fill(0);
        fetch('v1/jobs?model=digits&delay=86400', { method: 'POST', body: JSON.stringify({
            inputs: [{ name: 'image', shape: [1, 8, 8], datatype: 'FP32', data }] }) })";
    browser.run(submit);
    let id = browser.until("document.querySelector('#jobs [data-state=queued]')?.dataset.key");
    let cancel = "document.querySelector('#jobs [data-state=queued] .small')";
    let name = browser.run(&format!("return {cancel}.getAttribute('aria-label')"));
    assert_eq!(name, format!("Cancel job {}", id.as_str().unwrap()));
    // By keyboard; and the focus stays where it was.
    browser.run(&format!("{cancel}.focus()"));
    browser.press(crate::browser::ENTER);
    browser.until("document.querySelector('#jobs [data-state=cancelled]')");
    let focus = "return [document.activeElement.tagName, document.activeElement.closest('tr')?.dataset.key]";
    assert_eq!(browser.run(focus), json!(["BUTTON", id]));
    assert_eq!(browser.run("return document.querySelector('#jobs .small').hidden"), json!(true));
    browser.run("document.querySelector('#jobs button.link').click()");
    browser.until("document.querySelector('#story[open] .facts')?.textContent.includes('cancelled')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn jobs_fit_a_phone() {
    let server = Server::start(&[]);
    let browser = open(&server);
    browser.run("document.querySelector('.paper button').click(); document.querySelector('#as-job').click()");
    browser.until("document.querySelector('#jobs [data-state=done]')");
    let phone = json!({ "width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true });
    browser.cdp("Emulation.setDeviceMetricsOverride", &phone);
    browser.until("window.innerWidth === 360");
    browser.until("document.querySelector('#jobs-table').scrollWidth <= document.querySelector('#jobs-table').clientWidth");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), json!(360));
}
