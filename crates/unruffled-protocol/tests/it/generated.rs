//! What is made from `proto` is what is checked in, so that nobody needs a compiler of protocol buffers to build.

use std::fs;
use std::path::Path;

use prost_build::Config;
use prost_types::FileDescriptorSet;
use protox::{Compiler, prost::Message as _};

const HEAD: &str = "\
//! The messages of the protocol over gRPC. Made from `proto` by the test in `tests/it/generated.rs`: not to be edited.

";

#[test]
fn messages_are_those_of_the_protocol_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Compiler::new([root.join("proto")]).unwrap();
    compiler.include_imports(true).open_file("inference.proto").unwrap();
    let documented = compiler.include_source_info(true).encode_file_descriptor_set();
    let documented = FileDescriptorSet::decode(&*documented).unwrap();
    let descriptors = compiler.include_source_info(false).encode_file_descriptor_set();

    let folder = tempfile::tempdir().unwrap();
    Config::new().bytes(["."]).btree_map(["."]).out_dir(folder.path()).compile_fds(documented).unwrap();
    let messages = fs::read_to_string(folder.path().join("inference.rs")).unwrap();
    let head = HEAD.to_owned();

    let made =
        [("src/grpc/generated.rs", (head + &messages).into_bytes()), ("proto/descriptors.bin", descriptors)];
    let stale: Vec<_> = made
        .into_iter()
        .filter(|(path, content)| fs::read(root.join(path)).ok().as_ref() != Some(content))
        .map(|(path, content)| {
            fs::write(root.join(path), content).unwrap();
            path
        })
        .collect();
    assert!(stale.is_empty(), "{stale:?} were not made from the files in `proto`; they are now: commit them");
}
