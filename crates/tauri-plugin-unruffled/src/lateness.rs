//! How late the two loops of an app are: the main thread, which draws, and the runtime of its commands.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tauri::{AppHandle, Runtime};
use unruffled::Engine;
use unruffled::engine::{Heartbeat, LoopWatch, WatchOptions};

/// How often the loops are looked at.
const BEAT: Duration = Duration::from_millis(100);

/// The watches of both loops; dropped, they end.
pub(crate) struct Loops {
    pub(crate) main_thread: LoopWatch,
    pub(crate) runtime: LoopWatch,
}

impl Loops {
    pub(crate) fn watch<R: Runtime>(app: &AppHandle<R>, engine: &Engine) -> Self {
        let options = || WatchOptions::default().with_beat(BEAT);
        let main_thread = engine.watch_loop("main thread", options());
        let runtime = engine.watch_loop("runtime", options());
        MainThread::poll_there(&Arc::new(MainThread {
            app: app.clone(),
            heartbeat: Mutex::new(Some(Box::pin(main_thread.heartbeat()))),
        }));
        tauri::async_runtime::spawn(runtime.heartbeat());
        Self { main_thread, runtime }
    }
}

/// Polls a heartbeat on the main thread, whose loop is no executor.
struct MainThread<R: Runtime> {
    app: AppHandle<R>,
    heartbeat: Mutex<Option<Pin<Box<Heartbeat>>>>,
}

impl<R: Runtime> MainThread<R> {
    fn poll_there(this: &Arc<Self>) {
        let there = Arc::clone(this);
        let sent = this.app.run_on_main_thread(move || {
            let waker = Waker::from(Arc::clone(&there));
            let mut heartbeat = there.heartbeat.lock();
            let is_over = heartbeat
                .as_mut()
                .is_none_or(|beat| beat.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            if is_over {
                *heartbeat = None;
            }
        });
        if sent.is_err() {
            // The loop has ended: nobody is late any more.
            *this.heartbeat.lock() = None;
        }
    }
}

impl<R: Runtime> Wake for MainThread<R> {
    fn wake(self: Arc<Self>) {
        Self::poll_there(&self);
    }
}
