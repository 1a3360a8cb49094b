//! Puts the page, the icons and the models where the program finds them.

fn main() {
    tauri_build::build();
}
