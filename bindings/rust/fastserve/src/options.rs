//! Settings: the C structs with the library's defaults in them, and what they point to as Rust values.
use crate::session::Session;
use crate::sys;

/// Settings of an engine: change fields of a `Default`.
pub type EngineConfig = sys::fsv_engine_config;
/// Settings of a load; its path is set by [`crate::Engine::load`].
pub type LoadConfig = sys::fsv_load_config;
/// How tokens are drawn.
pub type Sampling = sys::fsv_sampling;

/// Settings of a request.
#[derive(Clone)]
pub struct Options<'a> {
    /// `max_tokens` and the like. Prompt, stop rules and session are set from elsewhere.
    pub config: sys::fsv_generate_config,
    /// None: as the model's makers want it ([`crate::Model::default_sampling`]).
    pub sampling: Option<Sampling>,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    pub stop_token_ids: Vec<i32>,
    pub session: Option<&'a Session>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            config: Default::default(),
            sampling: None,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            session: None,
        }
    }
}

impl Options<'_> {
    pub fn max_tokens(mut self, count: u32) -> Self {
        self.config.max_tokens = count;
        self
    }

    /// Always the most likely token.
    pub fn greedy(mut self) -> Self {
        self.sampling.get_or_insert_with(Default::default).temperature = 0.0;
        self
    }
}

/// What a request begins with: text, or token ids.
pub enum Prompt<'a> {
    Text(&'a str),
    Tokens(&'a [i32]),
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Prompt::Text(text)
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Prompt::Text(text)
    }
}

impl<'a> From<&'a [i32]> for Prompt<'a> {
    fn from(ids: &'a [i32]) -> Self {
        Prompt::Tokens(ids)
    }
}

impl<'a> From<&'a Vec<i32>> for Prompt<'a> {
    fn from(ids: &'a Vec<i32>) -> Self {
        Prompt::Tokens(ids)
    }
}

pub(crate) fn string_of(text: &str) -> sys::fsv_string {
    sys::fsv_string { data: text.as_ptr().cast(), size: text.len() }
}
