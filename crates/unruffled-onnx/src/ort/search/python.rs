//! The Python package `onnxruntime`, which has the plain library in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::library;

/// Prints the folder of the package. Does not import it, which would take half a second, and does not take for a package
/// what happens to lie in the working folder.
const PROGRAM: &str = "
import sys, importlib.util
sys.path = [place for place in sys.path if place]
package = importlib.util.find_spec('onnxruntime')
print(package.submodule_search_locations[0] if package else '')
";

/// The libraries in a virtual environment.
pub(super) fn in_environment(environment: &Path) -> Vec<PathBuf> {
    let mut packages = vec![environment.join("Lib").join("site-packages")];
    for lib in ["lib", "lib64"] {
        let versions = std::fs::read_dir(environment.join(lib)).into_iter().flatten().flatten();
        packages.extend(versions.map(|version| version.path().join("site-packages")));
    }
    let mut found: Vec<PathBuf> =
        packages.iter().flat_map(|packages| in_package(&packages.join("onnxruntime"))).collect();
    // One of them may be a link to another.
    let mut seen = Vec::new();
    found.retain(|path| {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    });
    found
}

fn in_package(package: &Path) -> Vec<PathBuf> {
    library::in_folder(&package.join("capi"))
}

/// The libraries among the packages of an interpreter.
///
/// # Errors
///
/// Why it gave no answer, in words for people.
pub(super) fn ask(interpreter: &Path, timeout: Duration) -> Result<Vec<PathBuf>, String> {
    let answer = answer(Command::new(interpreter).args(["-c", PROGRAM]), timeout)?;
    let package = answer.trim();
    Ok(if package.is_empty() { Vec::new() } else { in_package(Path::new(package)) })
}

/// What a program prints before it ends, if it does so in time.
fn answer(program: &mut Command, timeout: Duration) -> Result<String, String> {
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = program.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let mut output = child.stdout.take().expect("its output was asked for");
    let (send, receive) = mpsc::channel();
    let reader = std::thread::Builder::new().name("ask-python".into()).spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| text);
        // Whoever asked may have given up.
        let _ = send.send(read);
    });
    let answer = match reader {
        Ok(_) => receive.recv_timeout(timeout).map_err(|_| format!("it gave no answer in {timeout:?}")),
        Err(error) => Err(format!("it cannot be listened to: {error}")),
    };
    // It has answered and is about to end, or never will.
    let ended = child.kill().and_then(|()| child.wait());
    let text = answer?.map_err(|error| format!("its answer cannot be read: {error}"))?;
    ended.map_err(|error| format!("it cannot be ended: {error}"))?;
    Ok(text)
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::answer;

    #[test]
    fn a_program_that_hangs_is_ended() {
        let answer = |text, timeout| answer(Command::new("sh").args(["-c", text]), timeout);
        assert_eq!(answer("echo here", Duration::from_secs(60)).unwrap(), "here\n");
        let hangs = answer("exec tail -f /dev/null", Duration::from_millis(50));
        assert_eq!(hangs.unwrap_err(), "it gave no answer in 50ms");
        let missing = super::answer(&mut Command::new("no-such-python"), Duration::from_secs(60));
        assert!(missing.unwrap_err().starts_with("it cannot be started: "));
    }
}
