//! `unruffled keys`: makes keys for a server.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use unruffled_server::{Keys, NewKey};

use crate::exit::{Exit, Failure};
use crate::terminal::{self, FAINT};

/// Make keys for a server
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A server that is started with --keys FILE answers only those that send one of
the keys. The file holds hashes: a key is shown once, when it is made. What a
key may do stands there too, and can be changed; the server sees it in seconds.

Examples:
  unruffled keys new phone --infer digits --infer 'ocr-*'
  unruffled keys new operator --admin --metrics
  KEY=$(unruffled keys new ci --infer '*' --rate 10/s --file keys.toml)
  curl -H \"X-API-Key: $KEY\" http://127.0.0.1:8000/v2"
)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key, add its hash to a file, and print it
    New(NewKeyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// What its bearer is called, in logs and refusals
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// A model that it may ask, * standing for any letters; give this once for each
    #[arg(long, value_name = "MODEL")]
    pub(crate) infer: Vec<String>,

    /// It may read metrics
    #[arg(long)]
    pub(crate) metrics: bool,

    /// It may load and unload models, and change settings
    #[arg(long)]
    pub(crate) admin: bool,

    /// How often it may ask: 50/s, 600/m or 1000/h
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<String>,

    /// The file to add it to
    #[arg(long, value_name = "FILE", default_value = "keys.toml")]
    pub(crate) file: PathBuf,
}

pub(crate) fn run(args: &KeysArgs) -> Result<(), Failure> {
    match &args.action {
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
