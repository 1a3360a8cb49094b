//! Workers that speak nonsense: a program in place of the interpreter.

use std::os::unix::fs::PermissionsExt;

use unruffled_model::{ModelErrorKind, Tensor, Tensors};

use crate::python::{environment, options, run, try_load};

/// A program that stands in for the interpreter, and does `body` with its end `s` of the socket.
fn impostor(body: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("impostor");
    let python = environment().join("bin/python");
    let source = format!(
        r#"#!{}
import json, os, socket, struct, sys, time
if sys.argv[-1] == "unruffled-guardian":
    os.read(0, 1)
    sys.exit()
s = socket.socket(fileno=os.dup(0))

def read(count):
    data = b""
    while len(data) < count:
        data += s.recv(count - len(data)) or sys.exit()
    return data

def read_frame():
    _, _, _, header, body = struct.unpack("<BBHII", read(12))
    read(header + body)

for _ in range(2 * int.from_bytes(read(4), "little")):
    read(int.from_bytes(read(4), "little"))

def send(kind, header, body=b"", version=1):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    s.sendall(struct.pack("<BBHII", kind, version, 0, len(header), len(body)) + header + body)
HELLO = {{"python": "4", "numpy": "3", "executable": "me"}}
SPEC = {{"name": "x", "dtype": "f32", "dims": [None]}}
LOADED = {{"signature": {{"inputs": [SPEC], "outputs": [SPEC]}}, "joint": False, "state": [], "resident": 0, "libraries": {{}}}}
def load(loaded):
    send(16, HELLO)
    # The byte that the shared file comes with.
    read(1)
    read_frame()
    send(17, loaded)

def answer(kind, header, body=b""):
    load(LOADED)
    read_frame()
    send(kind, header, body)
{body}
time.sleep(1000)
"#,
        python.display()
    );
    std::fs::write(&path, source).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

#[track_caller]
fn check_load(body: &str, message: &str) {
    let (_folder, path) = impostor(body);
    let error = try_load("", options().with_python(path)).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(message), "{body}: {error}");
}

#[track_caller]
fn check_run(body: &str, message: &str) {
    let (_folder, path) = impostor(body);
    let python = try_load("", options().with_python(path).with_spare(unruffled_worker::Spare::None))
        .unwrap_or_else(|error| panic!("{body}: {error}"));
    python.serve(|instance| {
        let inputs = Tensors::new().with("x", Tensor::filled(&[3], 1_f32).unwrap());
        let error = run(instance, inputs).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Crashed);
        assert!(error.to_string().contains(message), "{body}: {error}");
    });
}

#[test]
fn nonsense_while_loading_is_told() {
    check_load("s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')", "speaks version 69 of the worker protocol");
    check_load(
        "send(16, HELLO, version=2)",
        "speaks version 2 of the worker protocol, this program version 1",
    );
    check_load("send(16, b'{')", "sent a header that says nothing");
    check_load("send(20, HELLO)", "sent a frame of kind Some(Item) where Hello belongs");
    check_load(
        "load(dict(LOADED, signature={'inputs': [dict(SPEC, dtype='f33')], 'outputs': []}))",
        "`f33`, which is no element type",
    );
    check_load("os._exit(9)", "exited with status 9");
    check_load("s.sendall(b'\\x10\\x01'); os._exit(9)", "exited with status 9");
}

#[test]
fn nonsense_during_a_run_is_told() {
    check_run("answer(19, {'run': 9, 'outputs': []})", "answered run 9 instead of 1");
    check_run("answer(16, HELLO)", "sent a frame of kind Hello during a run");
    check_run("answer(20, {'run': 1, 'outputs': None})", "sent an output that is none");
    check_run(
        "answer(19, {'run': 1, 'outputs': [['x', 'f32', [3], 0, 0, 12]]}, b'abc')",
        "sent no bytes for `x`",
    );
    check_run(
        "answer(19, {'run': 1, 'outputs': [['x', 'f32', [3], 1, 0, 11]]})",
        "sent 11 bytes for f32 [3]",
    );
    check_run(
        "answer(19, {'run': 1, 'outputs': [['x', 'f32', [1 << 28], 1, 0, 1 << 30]]})",
        "sent more bytes than there are for `x`",
    );
    check_run("answer(19, {'run': 1, 'outputs': []}); send(19, {})", "");
}
