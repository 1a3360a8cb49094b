//! Text: in as tokens, out as one vector.

mod pool;
#[cfg(feature = "text")]
mod tokenize;

pub use pool::Pool;
#[cfg(feature = "text")]
pub use tokenize::Tokenize;
