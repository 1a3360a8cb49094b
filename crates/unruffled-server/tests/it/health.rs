//! Health on an address of its own.

use unruffled_engine::PoolOptions;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Client, ONE_ROW, TestServer, wait_until};

#[test]
fn it_is_told_while_no_connection_is_free_and_while_the_server_drains() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_connections(1);
    let (mut server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let address = server.health;
    let mut busy = server.client();
    busy.send_infer(ONE_ROW);
    gate.entered();
    let mut health = Client::connect(address);
    assert_eq!(health.get("/v2/health/ready").status, 200, "on a connection of its own");
    assert!(health.get("/metrics").body.contains("unruffled_"));
    health.get("/v2").assert_error(404, &["`/v2`"]);
    assert_eq!(health.request("POST", "/v2/health/live", "", "").status, 405);

    server.stop();
    // The stop is heard on the server's own event loop.
    wait_until("the drain", || Client::connect(address).get("/v2/health/ready").status == 503);
    assert_eq!(health.get("/v2/health/live").status, 200);
    gate.open();
    busy.answer().assert_doubled();
    assert_eq!(server.served().cut, 0);
}
