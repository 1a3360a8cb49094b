//! Writes the permissions of the commands, and the schema of their scope, beside the sources.

/// Which models are meant.
#[derive(schemars::JsonSchema)]
#[allow(dead_code, reason = "only its schema is wanted; the plugin reads entries as its own type")]
struct Entry {
    /// The name of a model; `*` stands for any letters, `?` for one.
    model: String,
}

const COMMANDS: &[&str] = &[
    "cancel",
    "infer",
    "infer_batch",
    "job",
    "job_cancel",
    "job_result",
    "load",
    "metrics",
    "models",
    "session",
    "stream",
    "submit",
    "unload",
];

/// For apps without a bundler; made of the guest package.
const SCRIPT: &str = "api-iife.js";

fn main() {
    let mut plugin = tauri_plugin::Builder::new(COMMANDS).global_scope_schema(schemars::schema_for!(Entry));
    // By its full path: apps read the permissions where this ran, and a clone whose build outputs are shared may have gone.
    let script = std::path::absolute(SCRIPT).expect("this runs in a folder");
    println!("cargo:rerun-if-changed={}", script.display());
    if script.exists() {
        plugin = plugin.global_api_script_path(format!("./{SCRIPT}"));
    }
    plugin.build();
}
