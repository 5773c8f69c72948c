//! Language models in your own process.
//!
//! ```no_run
//! # fn main() -> fastserve::Result<()> {
//! let engine = fastserve::Engine::new(Default::default())?;
//! let model = engine.load("model.gguf")?;
//! for piece in model.generate("The capital of France is", Default::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(()) }
//! ```
//!
//! Everything may be used from any thread, and ends in any order. After `close()` calls fail with
//! [`ErrorKind::Stale`].

mod engine;
mod error;
mod generated;
mod generation;
mod handle;
mod hooks;
mod machine;
mod model;
mod options;
mod pump;
mod session;
#[cfg(feature = "stream")]
mod stream;

pub use engine::Engine;
pub use error::{Error, Result};
pub use fastserve_sys as sys;
pub use generated::{ErrorKind, FinishReason};
pub use generation::{Alternative, Canceller, End, Generation, Piece};
pub use hooks::{Hooks, MemoryEvent};
pub use machine::{devices, estimate, inspect, inspect_json, machine, measure_machine, plan_json};
pub use model::{Message, Model};
pub use options::{EngineConfig, LoadConfig, Options, Prompt, Sampling};
pub use session::Session;

/// The version of the library in use.
pub fn version() -> &'static str {
    // SAFETY: a static NUL-terminated string.
    unsafe { std::ffi::CStr::from_ptr(sys::fsv_version_string()) }.to_str().unwrap_or("unknown")
}
