//! The demo: a window that draws every frame while models run beside it.

// No console beside the window on Windows.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() {
    unruffled_demo::run();
}
