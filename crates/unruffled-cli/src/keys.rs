//! `unruffled keys`: makes keys for a server.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use unruffled_server::{Keys, NewKey};

use crate::args::{KeysAction, NewKeyArgs};
use crate::exit::{Exit, Failure};
use crate::terminal::{self, FAINT};

pub(crate) fn run(action: &KeysAction) -> Result<(), Failure> {
    match action {
        KeysAction::New(new) => make(new),
    }
}

/// Makes a key, writes what stands for it into the file, and prints it, alone: a script can take it as it is.
fn make(new: &NewKeyArgs) -> Result<(), Failure> {
    let file = new.file.as_path();
    let key = NewKey::generate()
        .map_err(|error| Failure::new(Exit::Failed, format!("the system has no random numbers: {error}")))?;
    let entry = entry(new, &key)?;
    let known = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unwritable(file, &error)),
    };
    // Checked as a whole, so that a server which looks at it meanwhile finds nothing wrong.
    let space = if known.is_empty() || known.ends_with("\n\n") { "" } else { "\n" };
    Keys::from_toml(&format!("{known}{space}{entry}"))
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    let added = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut opened| opened.write_all(format!("{space}{entry}").as_bytes()));
    added.map_err(|error| unwritable(file, &error))?;

    anstream::eprintln!("The key of {} stands in {} as a hash. This is the key:", new.name, file.display());
    terminal::print(&format!("{}\n", key.reveal()));
    anstream::eprintln!("{FAINT}It is shown this once. unruffled serve --keys {}{FAINT:#}", file.display());
    Ok(())
}

fn entry(new: &NewKeyArgs, key: &NewKey) -> Result<String, Failure> {
    let NewKeyArgs { name, infer, metrics, admin, rate, .. } = new;
    // What JSON writes as a text, TOML reads as the same.
    let text = |text: &str| {
        serde_json::to_string(text).map_err(|error| Failure::new(Exit::Usage, format!("{text:?}: {error}")))
    };
    let mut entry = format!("[[key]]\nname = {}\nhash = \"{}\"\n", text(name)?, key.hash());
    if !infer.is_empty() {
        let models: Vec<_> = infer.iter().map(|model| text(model)).collect::<Result<_, _>>()?;
        entry.push_str(&format!("infer = [{}]\n", models.join(", ")));
    }
    if *metrics {
        entry.push_str("metrics = true\n");
    }
    if *admin {
        entry.push_str("admin = true\n");
    }
    if let Some(rate) = rate {
        entry.push_str(&format!("rate = {}\n", text(rate)?));
    }
    Ok(entry)
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}", file.display()))
}
