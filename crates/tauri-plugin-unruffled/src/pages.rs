//! [`Pages`]: what the pages of the windows have asked for and still wait for.
//!
//! Tauri neither cancels the commands of a page that is reloaded nor keeps them from being sent a second time. So each page has a
//! name of its own and numbers its calls: a number that was seen is refused, and a page that goes takes its calls with it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// So many numbers of a page are remembered one by one; those before them count as seen.
const REMEMBERED: usize = 4096;

/// So many pages of a window that have gone are remembered: their calls may still be on the way.
const GONE: usize = 64;

/// So many pages of a webview may be there at a time: it has one, and one for each frame in it.
const PAGES: usize = 64;

/// The calls of all windows. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<Mutex<HashMap<String, Webview>>>);

#[derive(Default)]
struct Webview {
    pages: HashMap<String, Page>,
    gone: VecDeque<String>,
}

#[derive(Default)]
struct Page {
    seen: Seen,
    /// Those that were given up before they came.
    given_up: BTreeSet<u64>,
    running: HashMap<u64, CancellationToken>,
    /// Cancelled when the page goes.
    life: CancellationToken,
}

/// Which numbers were seen.
#[derive(Default)]
struct Seen {
    /// All up to this one count as seen.
    floor: u64,
    above: BTreeSet<u64>,
}

impl Seen {
    /// Whether a number comes for the first time.
    fn is_new(&mut self, number: u64) -> bool {
        if number <= self.floor || !self.above.insert(number) {
            return false;
        }
        while self.above.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
        while self.above.len() > REMEMBERED
            && let Some(lowest) = self.above.pop_first()
        {
            self.floor = lowest;
        }
        true
    }
}

/// Where a call comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The label of the webview.
    pub(crate) webview: String,
    /// The name that the page has given itself.
    pub(crate) page: String,
    /// Its number there, from 1.
    pub(crate) call: u64,
}

/// A call that is under way; over when it is dropped.
pub(crate) struct Call {
    pages: Pages,
    origin: Origin,
    token: CancellationToken,
}

impl Pages {
    /// Begins a call.
    ///
    /// # Errors
    ///
    /// `duplicate` if it was made before; `cancelled` if its page has gone, or has given it up already.
    pub(crate) fn begin(&self, origin: Origin) -> Result<Call, Error> {
        let mut webviews = self.0.lock();
        let page = webviews.entry(origin.webview.clone()).or_default().page(&origin.page)?;
        if page.given_up.remove(&origin.call) {
            return Err(Error::cancelled());
        }
        if !page.seen.is_new(origin.call) {
            return Err(Error::duplicate(origin.call));
        }
        let token = page.life.child_token();
        page.running.insert(origin.call, token.clone());
        drop(webviews);
        Ok(Call { pages: self.clone(), origin, token })
    }

    /// What ends when this page does.
    pub(crate) fn life(&self, webview: &str, page: &str) -> Result<CancellationToken, Error> {
        let mut webviews = self.0.lock();
        Ok(webviews.entry(webview.to_owned()).or_default().page(page)?.life.clone())
    }

    /// Cancels calls; those that have not come yet are refused when they do.
    pub(crate) fn cancel(&self, webview: &str, page: &str, calls: &[u64]) {
        let mut webviews = self.0.lock();
        let Ok(page) = webviews.entry(webview.to_owned()).or_default().page(page) else { return };
        let running: Vec<_> = calls
            .iter()
            .filter_map(|call| match page.running.get(call) {
                Some(token) => Some(token.clone()),
                None => {
                    if page.seen.is_new(*call) {
                        page.given_up.insert(*call);
                    }
                    None
                }
            })
            .collect();
        while page.given_up.len() > REMEMBERED {
            page.given_up.pop_first();
        }
        // Whoever is woken may come back here.
        drop(webviews);
        running.iter().for_each(CancellationToken::cancel);
    }

    /// The pages of this webview have gone: it shows another one, or none any more.
    pub(crate) fn leave(&self, webview: &str) {
        let mut webviews = self.0.lock();
        let Some(known) = webviews.get_mut(webview) else { return };
        let pages = std::mem::take(&mut known.pages);
        for name in pages.keys() {
            if known.gone.len() == GONE {
                known.gone.pop_front();
            }
            known.gone.push_back(name.clone());
        }
        drop(webviews);
        pages.values().for_each(|page| page.life.cancel());
    }

    /// The webview has gone, and its label may be another's.
    pub(crate) fn close(&self, webview: &str) {
        self.leave(webview);
        self.0.lock().remove(webview);
    }

    /// The app ends.
    pub(crate) fn leave_all(&self) {
        let labels: Vec<String> = self.0.lock().keys().cloned().collect();
        labels.iter().for_each(|label| self.leave(label));
    }

    /// How many calls are under way.
    pub(crate) fn running(&self) -> usize {
        self.0.lock().values().flat_map(|webview| webview.pages.values()).map(|page| page.running.len()).sum()
    }
}

impl Webview {
    fn page(&mut self, name: &str) -> Result<&mut Page, Error> {
        if self.gone.iter().any(|gone| gone == name) {
            return Err(Error::cancelled());
        }
        if self.pages.len() >= PAGES && !self.pages.contains_key(name) {
            let message =
                format!("more than {PAGES} pages of one window ask; name the page once, when it is loaded");
            return Err(Error::invalid(message));
        }
        Ok(self.pages.entry(name.to_owned()).or_default())
    }
}

impl Call {
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What `work` gives, unless the page gives it up before: then it is dropped.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.token.cancelled() => Err(Error::cancelled()),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut webviews = self.pages.0.lock();
        let webview = webviews.get_mut(&self.origin.webview);
        if let Some(page) = webview.and_then(|webview| webview.pages.get_mut(&self.origin.page)) {
            page.running.remove(&self.origin.call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, PAGES, Pages, REMEMBERED, Seen};

    fn origin(page: &str, call: u64) -> Origin {
        Origin { webview: "main".into(), page: page.into(), call }
    }

    #[track_caller]
    fn assert_refused(pages: &Pages, page: &str, call: u64, code: &str) {
        assert_eq!(pages.begin(origin(page, call)).map(drop).unwrap_err().code(), code);
    }

    #[test]
    fn a_call_is_made_once() {
        let pages = Pages::default();
        let first = pages.begin(origin("a", 1)).unwrap();
        assert_refused(&pages, "a", 1, "duplicate");
        drop(first);
        assert_refused(&pages, "a", 1, "duplicate");
        assert!(pages.begin(origin("b", 1)).is_ok(), "another page counts for itself");
        assert_eq!(pages.running(), 0);
    }

    #[test]
    fn a_page_that_goes_takes_its_calls_along() {
        let pages = Pages::default();
        let (call, life) = (pages.begin(origin("a", 1)).unwrap(), pages.life("main", "a").unwrap());
        let other = Origin { webview: "other".into(), ..origin("a", 1) };
        let other = pages.begin(other).unwrap();
        pages.leave("main");
        assert!(call.token.is_cancelled() && life.is_cancelled() && !other.token.is_cancelled());
        assert_refused(&pages, "a", 1, "cancelled");
        assert_refused(&pages, "a", 2, "cancelled");
        assert!(pages.begin(origin("b", 1)).is_ok());
        pages.leave_all();
        pages.close("main");
        assert!(pages.0.lock().keys().eq(["other"]), "nothing is remembered of a window that is closed");
        assert!(other.token.is_cancelled());
    }

    #[test]
    fn what_is_given_up_before_it_comes_never_runs() {
        let pages = Pages::default();
        let call = pages.begin(origin("a", 2)).unwrap();
        pages.cancel("main", "a", &[1, 2, 9]);
        assert!(call.token.is_cancelled());
        assert_refused(&pages, "a", 1, "cancelled");
        assert_refused(&pages, "a", 1, "duplicate");
        assert_refused(&pages, "a", 9, "cancelled");
        assert!(pages.begin(origin("a", 3)).is_ok());
    }

    #[test]
    fn pages_are_bounded() {
        let pages = Pages::default();
        assert!((0..PAGES).all(|page| pages.begin(origin(&page.to_string(), 1)).is_ok()));
        assert_refused(&pages, "one more", 1, "invalid_input");
        assert!(pages.begin(origin("0", 2)).is_ok());
        pages.leave("main");
        assert!(pages.begin(origin("one more", 1)).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::default();
        assert!((1..=100_000).all(|number| seen.is_new(number)));
        assert!(seen.above.is_empty() && !seen.is_new(500));
        // A gap is kept open for a while.
        let end = 100_002 + u64::try_from(REMEMBERED).unwrap();
        assert!((100_002..end).all(|number| seen.is_new(number)));
        assert!(seen.is_new(100_001), "it was late");
        assert!((end + 2..).take(REMEMBERED + 1).all(|number| seen.is_new(number)));
        assert!(seen.above.len() <= REMEMBERED && !seen.is_new(end + 1));
    }
}
