//! The Rust side of the demo: the plugin, files that the page asks for, and for contrast the ways to compute that freeze it.

mod contrast;
mod plain;

mod files;

mod hooks;

use tauri::{DragDropEvent, Manager as _, WindowEvent};
use tracing_subscriber::EnvFilter;

use files::Dropped;

/// Opens the window, and returns when it is closed.
///
/// # Panics
///
/// If there is no display, or the page is not part of the program.
pub fn run() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    app(tauri::Builder::default()).run(tauri::generate_context!()).expect("the window could not be opened");
}

/// The app, on any runtime.
pub fn app<R: tauri::Runtime>(builder: tauri::Builder<R>) -> tauri::Builder<R> {
    builder
        .plugin(
            tauri_plugin_unruffled::Builder::new()
                .resource_models("models")
                .with_engine(plain::register)
                .build(),
        )
        .manage(Dropped::default())
        .on_window_event(|window, event| {
            if let WindowEvent::DragDrop(DragDropEvent::Drop { paths, .. }) = event {
                window.state::<Dropped>().add(paths);
            }
        })
        .invoke_handler(tauri::generate_handler![
            contrast::block_inline,
            contrast::block_pool,
            contrast::block_usual,
            contrast::echo,
            contrast::ping,
            files::read_ends,
            files::read_file,
            files::sample,
            files::samples,
            hooks::close,
            hooks::pid,
        ])
}
