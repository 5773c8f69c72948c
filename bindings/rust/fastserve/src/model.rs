//! Loaded models: text in, text out.
use crate::error::{call, fill, text_of, Error, Result};
use crate::generation::Generation;
use crate::handle::{release, Handle};
use crate::options::{string_of, Options, Prompt, Sampling};
use crate::pump::Shared;
use crate::session::Session;
use crate::sys;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One message of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// "system", "user", "assistant".
    pub role: &'a str,
    pub content: &'a str,
}

/// A model in its engine. After [`Model::close`] no new request can name it; running ones finish.
pub struct Model {
    shared: Arc<Shared>,
    handle: Handle<sys::fsv_model>,
}

impl Model {
    pub(crate) fn new(shared: Arc<Shared>, handle: *mut sys::fsv_model) -> Model {
        Model { shared, handle: Handle::new(handle, release!(fsv_model_release, sys::fsv_model)) }
    }

    /// Harmless twice.
    pub fn close(&self) {
        self.handle.close();
    }

    /// Begins an answer to `prompt`, and returns at once.
    pub fn generate<'a>(&self, prompt: impl Into<Prompt<'a>>, mut options: Options<'_>) -> Result<Generation> {
        match prompt.into() {
            Prompt::Text(text) => {
                options.config.text = text.as_ptr().cast();
                options.config.text_size = text.len();
            }
            Prompt::Tokens(ids) => {
                options.config.token_ids = ids.as_ptr();
                options.config.token_count = ids.len();
            }
        }
        self.submit(options, |config, request, error| {
            // SAFETY: what `config` points to outlives the call, which copies it; so below.
            unsafe { sys::fsv_submit_generate(self.shared.engine.get(), self.handle.get(), config, request, error) }
        })
    }

    /// Begins an answer to a conversation.
    pub fn chat(&self, messages: &[Message<'_>], options: Options<'_>) -> Result<Generation> {
        let messages = messages_of(messages);
        let chat = sys::fsv_chat { messages: messages.as_ptr(), message_count: messages.len(), ..Default::default() };
        self.submit(options, |config, request, error| unsafe {
            sys::fsv_submit_chat(self.shared.engine.get(), self.handle.get(), &chat, config, request, error)
        })
    }

    /// log p(token\[i\] | token\[0..i-1\]) of every token of `prompt`, computed now; the first value is 0.
    pub fn score<'a>(&self, prompt: impl Into<Prompt<'a>>) -> Result<Vec<f32>> {
        let mut config = sys::fsv_score_config::default();
        match prompt.into() {
            Prompt::Text(text) => {
                config.text = text.as_ptr().cast();
                config.text_size = text.len();
            }
            Prompt::Tokens(ids) => {
                config.token_ids = ids.as_ptr();
                config.token_count = ids.len();
            }
        }
        let scoring = self.begin(|key, request, error| {
            config.user_data = key;
            // SAFETY: what `config` points to outlives the call, which copies it.
            unsafe { sys::fsv_submit_score(self.shared.engine.get(), self.handle.get(), &config, request, error) }
        })?;
        let mut scores = Vec::new();
        for piece in scoring {
            scores.extend(piece?.logprobs);
        }
        Ok(scores)
    }

    fn submit(
        &self,
        mut options: Options<'_>,
        submit: impl FnOnce(&sys::fsv_generate_config, *mut sys::fsv_request, *mut sys::fsv_error) -> sys::fsv_status,
    ) -> Result<Generation> {
        let stops: Vec<_> = options.stop.iter().map(|stop| string_of(stop)).collect();
        let config = &mut options.config;
        config.stop_strings = stops.as_ptr();
        config.stop_string_count = stops.len();
        config.stop_token_ids = options.stop_token_ids.as_ptr();
        config.stop_token_count = options.stop_token_ids.len();
        if let Some(sampling) = &options.sampling {
            config.sampling = sampling;
        }
        if let Some(session) = options.session {
            config.session = session.handle.get();
        }
        self.begin(|key, request, error| {
            config.user_data = key;
            submit(config, request, error)
        })
    }

    /// A request that `submit(key, &request, &error)` makes; its events are to bring the key back.
    fn begin(
        &self,
        submit: impl FnOnce(u64, *mut sys::fsv_request, *mut sys::fsv_error) -> sys::fsv_status,
    ) -> Result<Generation> {
        let sink = self.shared.open();
        let mut request = 0;
        let submitted = call(|error| submit(sink.key, &mut request, error));
        if submitted.is_err() {
            self.shared.close(&sink);
        }
        submitted?;
        Ok(Generation { shared: self.shared.clone(), sink, request, end: None, is_over: false })
    }

    /// A new, empty session.
    pub fn session(&self) -> Result<Session> {
        self.made(|engine, model, made, error| unsafe { sys::fsv_session_create(engine, model, made, error) })
    }

    /// A session of a file that [`Session::save`] wrote.
    pub fn load_session(&self, path: impl AsRef<Path>) -> Result<Session> {
        let path = text_of_path(path.as_ref())?;
        self.made(|engine, model, made, error| unsafe {
            sys::fsv_session_load(engine, model, path.as_ptr().cast(), path.len(), made, error)
        })
    }

    /// A session of the bytes that [`Session::export`] gave.
    pub fn import_session(&self, bytes: &[u8]) -> Result<Session> {
        self.made(|engine, model, made, error| unsafe {
            sys::fsv_session_import(engine, model, bytes.as_ptr().cast(), bytes.len(), made, error)
        })
    }

    fn made(
        &self,
        make: impl FnOnce(
            *mut sys::fsv_engine,
            *mut sys::fsv_model,
            *mut *mut sys::fsv_session,
            *mut sys::fsv_error,
        ) -> sys::fsv_status,
    ) -> Result<Session> {
        let mut made = std::ptr::null_mut();
        call(|error| make(self.shared.engine.get(), self.handle.get(), &mut made, error))?;
        Ok(Session::new(made))
    }

    /// How the model's makers want it sampled: change this, and pass it in [`Options::sampling`].
    pub fn default_sampling(&self) -> Result<Sampling> {
        let mut sampling = Sampling::default();
        call(|error| unsafe { sys::fsv_model_default_sampling(self.handle.get(), &mut sampling, error) })?;
        Ok(sampling)
    }

    pub fn info(&self) -> Result<sys::fsv_model_info> {
        let mut info = sys::fsv_model_info::default();
        call(|error| unsafe { sys::fsv_model_get_info(self.handle.get(), &mut info, error) })?;
        Ok(info)
    }

    /// Gives its memory back now: the next request loads it again. [`crate::ErrorKind::WrongState`] with live requests,
    /// [`crate::ErrorKind::Unsupported`] where `sys::FSV_LOAD_PINNED` keeps it.
    pub fn evict(&self) -> Result<()> {
        call(|error| unsafe { sys::fsv_model_evict(self.shared.engine.get(), self.handle.get(), error) })
    }

    /// What it takes, and in `state` (`sys::FSV_MODEL_*`) whether it is there.
    pub fn memory(&self) -> Result<sys::fsv_model_memory> {
        let mut memory = sys::fsv_model_memory::default();
        call(|error| unsafe {
            sys::fsv_memory_get_model(self.shared.engine.get(), self.handle.get(), &mut memory, error)
        })?;
        Ok(memory)
    }

    /// The model's own name, or "".
    pub fn name(&self) -> Result<String> {
        Ok(text_of(&self.info()?.name))
    }

    /// "llama" and the like.
    pub fn architecture(&self) -> Result<String> {
        Ok(text_of(&self.info()?.architecture))
    }

    pub fn tokenize(&self, text: &str) -> Result<Vec<i32>> {
        fill(|ids, capacity, count, error| unsafe {
            let (handle, flags) = (self.handle.get(), sys::FSV_TOKENIZE_ADD_BOS);
            sys::fsv_tokenize(handle, text.as_ptr().cast(), text.len(), flags, ids, capacity, count, error)
        })
    }

    /// Token ids, and for each the range of bytes of `text` that it stands for.
    pub fn tokenize_ranges(&self, text: &str) -> Result<Vec<(i32, Range<usize>)>> {
        let mut count = 0;
        let tokenize = |ids: *mut i32, ranges: *mut sys::fsv_text_range, capacity, count: &mut usize| {
            call(|error| unsafe {
                let (handle, flags) = (self.handle.get(), sys::FSV_TOKENIZE_ADD_BOS);
                let (text, size) = (text.as_ptr().cast(), text.len());
                sys::fsv_tokenize_ranges(handle, text, size, flags, ids, ranges, capacity, count, error)
            })
        };
        tokenize(std::ptr::null_mut(), std::ptr::null_mut(), 0, &mut count)?;
        let mut ids = vec![0; count];
        let mut ranges = vec![sys::fsv_text_range { start: 0, end: 0 }; count];
        tokenize(ids.as_mut_ptr(), ranges.as_mut_ptr(), ids.len(), &mut count)?;
        Ok(ids.into_iter().zip(ranges).map(|(id, range)| (id, range.start as usize..range.end as usize)).collect())
    }

    /// The bytes of one token, and its attributes (`sys::FSV_TOKEN_*`).
    pub fn token(&self, id: i32) -> Result<(Vec<u8>, u32)> {
        let mut attributes = 0;
        let attributes_at = std::ptr::addr_of_mut!(attributes);
        let bytes = fill(|buffer: *mut u8, capacity, size, error| unsafe {
            sys::fsv_token_get(self.handle.get(), id, buffer.cast(), capacity, size, attributes_at, error)
        })?;
        Ok((bytes, attributes))
    }

    /// Bytes, since the ids may cut a code point.
    pub fn detokenize(&self, ids: &[i32]) -> Result<Vec<u8>> {
        fill(|buffer: *mut u8, capacity, size, error| unsafe {
            let (handle, flags) = (self.handle.get(), sys::FSV_DETOKENIZE_SKIP_SPECIAL);
            sys::fsv_detokenize(handle, ids.as_ptr(), ids.len(), flags, buffer.cast(), capacity, size, error)
        })
    }

    /// The conversation as the model's template writes it.
    pub fn render_chat(&self, messages: &[Message<'_>]) -> Result<String> {
        let messages = messages_of(messages);
        let bytes = fill(|buffer: *mut u8, capacity, size, error| unsafe {
            let (handle, flags) = (self.handle.get(), sys::FSV_CHAT_ADD_GENERATION_PROMPT);
            sys::fsv_chat_render(handle, messages.as_ptr(), messages.len(), flags, buffer.cast(), capacity, size, error)
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The same as token ids: control tokens are the template's own alone.
    pub fn tokenize_chat(&self, messages: &[Message<'_>]) -> Result<Vec<i32>> {
        let messages = messages_of(messages);
        fill(|ids, capacity, count, error| unsafe {
            let (handle, flags) = (self.handle.get(), sys::FSV_CHAT_ADD_GENERATION_PROMPT);
            sys::fsv_chat_tokenize(handle, messages.as_ptr(), messages.len(), flags, ids, capacity, count, error)
        })
    }
}

fn messages_of(messages: &[Message<'_>]) -> Vec<sys::fsv_chat_message> {
    let part = |message: &Message<'_>| sys::fsv_chat_message {
        role: message.role.as_ptr().cast(),
        role_size: message.role.len(),
        content: message.content.as_ptr().cast(),
        content_size: message.content.len(),
    };
    messages.iter().map(part).collect()
}

/// UTF-8, which is what the library takes.
pub(crate) fn text_of_path(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new(sys::FSV_ERROR_INVALID_ARGUMENT, format!("{path:?} is no UTF-8")))
}
