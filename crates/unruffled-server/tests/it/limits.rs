//! How much one client may ask.

use std::num::NonZeroUsize;

use unruffled_engine::PoolOptions;
use unruffled_server::{Keys, NewKey, ServerOptions};
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Answer, ONE_ROW, TestServer, wait_until};

#[track_caller]
fn assert_too_much(answer: &Answer, parts: &[&str], waits: std::ops::RangeInclusive<u64>) {
    answer.assert_error(429, parts);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(waits.contains(&seconds), "{seconds}");
}

#[test]
fn an_address_asks_too_often() {
    let options = ServerOptions::default().with_client_rate("2/h".parse().unwrap());
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.infer(ONE_ROW).assert_doubled();
    assert_eq!(server.client().get("/v2").status, 200);
    // Room for the next is made in half an hour, and the test has taken some of it.
    assert_too_much(&client.infer(ONE_ROW), &["too often", "1800s"], 1700..=1800);
    assert_too_much(&server.client().get("/v2"), &["too often"], 1700..=1800);
    assert_eq!(client.get("/v2/health/live").status, 200);
}

#[test]
fn an_address_asks_too_much_at_once() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_client_concurrency(NonZeroUsize::new(2).unwrap());
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let (mut running, mut sending, mut third) = (server.client(), server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    sending.write(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!(sending.answer().status, 100, "it is in flight now");
    assert_too_much(&third.infer(ONE_ROW), &["2 requests", "in flight"], 1..=1);
    assert_eq!(third.get("/v2/health/live").status, 200);
    sending.write("{");
    sending.answer().assert_error(400, &["not JSON"]);
    wait_until("its place", || server.client().get("/v2").status == 200);
    gate.open();
    running.answer().assert_doubled();
}

#[test]
fn keys_have_limits_of_their_own() {
    let keys: Vec<_> = (0..3).map(|_| NewKey::generate().unwrap()).collect();
    let entry = |number: usize, limits: &str| {
        let hash = keys[number].hash();
        format!("[[key]]\nname = \"key {number}\"\nhash = \"{hash}\"\ninfer = [\"m\"]\n{limits}\n")
    };
    let file = [entry(0, "rate = \"1/h\""), entry(1, "rate = \"1/h\"\nburst = 3"), entry(2, "")].concat();
    let options = ServerOptions::default()
        .with_keys(Keys::from_toml(&file).unwrap())
        .with_client_rate("2/h".parse().unwrap());
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    for (key, times) in keys.iter().zip([1, 3, 2]) {
        let header = format!("X-API-Key: {}\r\n", key.reveal());
        let mut ask = || client.request("POST", "/v2/models/m/infer", &header, ONE_ROW);
        for _ in 0..times {
            ask().assert_doubled();
        }
        assert_too_much(&ask(), &["too often"], 1700..=3600);
    }
}
