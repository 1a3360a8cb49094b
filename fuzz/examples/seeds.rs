//! Makes the seeds that are no text from those that are: `cargo run --no-default-features --example seeds`.

use std::fs;
use std::path::{Path, PathBuf};

use unruffled_model::Bytes;
use unruffled_protocol::{Form, InferRequest, InferResponse, Limits, grpc};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    requests(&seeds)?;
    Ok(())
}

/// The requests in JSON as messages of gRPC, and as texts with bytes behind them.
fn requests(seeds: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for name in files(&seeds.join("json_request"))? {
        let bytes = fs::read(&name)?;
        let Ok(request) = InferRequest::from_json(&bytes[1..], &Limits::default()) else { continue };
        let name = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        write(&seeds.join("grpc_messages").join(&name), 0, &grpc::encode(&request.to_grpc("m", "1")?))?;

        let outputs = || request.inputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
        let id = request.id.as_deref();
        let answer = InferResponse::write_grpc("m", None, id, &request.parameters, outputs())?;
        write(&seeds.join("grpc_messages").join(format!("{name}-answer")), 1, &grpc::encode(&answer))?;

        let sent = InferResponse::write("m", None, id, &request.parameters, outputs())?;
        let (text, behind) = sent.bytes.split_at(sent.json_bytes.unwrap_or(sent.bytes.len()));
        let line = [text, b"\n", behind].concat();
        write(&seeds.join("response").join(format!("{name}-binary")), 1, &line)?;
        let asked = String::from_utf8(text.to_vec())?.replace("\"outputs\":", "\"inputs\":");
        let behind = Bytes::copy_from_slice(behind);
        let whole = [asked.as_bytes(), b"\n", &behind].concat();
        write(&seeds.join("binary_request").join(name), 0, &whole)?;
    }
    Ok(())
}

/// Writes a seed whose head, after the ordinary limits, is one choice.
fn write(path: &Path, choice: u8, body: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let head: &[u8] = if choice == 0 { &[0] } else { &[2, 0, choice] };
    fs::write(path, [head, body].concat())
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}
