//! What is asked of the app from outside: where it runs, and its end.

/// The number of this process.
#[tauri::command]
pub(crate) async fn pid() -> u32 {
    std::process::id()
}

/// Closes the window, as its button does.
#[tauri::command]
pub(crate) async fn close<R: tauri::Runtime>(window: tauri::Window<R>) -> Result<(), String> {
    window.close().map_err(|error| error.to_string())
}
