//! Answers as they come.
use crate::error::{call, Error, Result};
use crate::generated::FinishReason;
use crate::hooks::MemoryEvent;
use crate::pump::{Shared, Sink};
use crate::sys;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// New tokens, and the text that they complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    pub text: String,
    pub token_ids: Vec<i32>,
    /// One for each token, if asked for.
    pub logprobs: Vec<f32>,
    /// For each token those that were most likely in its place, as many as `config.logprob_count` asked for, the
    /// most likely first.
    pub top_logprobs: Vec<Vec<Alternative>>,
    /// Which of several answers.
    pub choice: u32,
}

/// A token that could have come, and its log-probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    pub token_id: i32,
    pub logprob: f32,
}

/// # Safety
/// An event's pointers and counts go together.
unsafe fn alternatives(event: &sys::fsv_event) -> Vec<Vec<Alternative>> {
    let all = copied(event.top_logprobs, event.token_count * event.top_logprob_count);
    let row = |row: &[sys::fsv_logprob]| {
        row.iter().map(|one| Alternative { token_id: one.token_id, logprob: one.logprob }).collect()
    };
    all.chunks(event.top_logprob_count.max(1)).map(row).collect()
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct End {
    pub reason: FinishReason,
    pub prompt_tokens: u32,
    pub generated_tokens: u32,
    /// Of the prompt, that came with the session's keys and values.
    pub cached_tokens: u32,
    pub first_token: Duration,
    pub total: Duration,
    pub(crate) failure: Option<Error>,
    pub(crate) bytes: (u64, u64), // of a load
}

pub(crate) enum Item {
    Piece(Piece),
    Progress(u64, u64),
    Memory(MemoryEvent),
    End(End),
}

/// # Safety
/// `values` is NULL or points to `count` of them.
unsafe fn copied<T: Clone>(values: *const T, count: usize) -> Vec<T> {
    if values.is_null() {
        return Vec::new();
    }
    std::slice::from_raw_parts(values, count).to_vec()
}

/// # Safety
/// As for `copied`.
unsafe fn text(bytes: *const std::ffi::c_char, size: usize) -> String {
    String::from_utf8_lossy(&copied(bytes.cast::<u8>(), size)).into_owned()
}

impl Piece {
    pub(crate) fn copied(event: &sys::fsv_event) -> Piece {
        // SAFETY: an event's pointers and counts go together.
        unsafe {
            Piece {
                text: text(event.text, event.text_size),
                token_ids: copied(event.token_ids, event.token_count),
                logprobs: copied(event.logprobs, event.token_count),
                top_logprobs: alternatives(event),
                choice: event.choice,
            }
        }
    }
}

impl End {
    pub(crate) fn copied(event: &sys::fsv_event) -> End {
        // SAFETY: an event's pointers and counts go together.
        let message = unsafe { text(event.message, event.message_size) };
        End {
            reason: FinishReason::from_number(event.finish_reason),
            prompt_tokens: event.prompt_token_count,
            generated_tokens: event.generated_token_count,
            cached_tokens: event.cached_token_count,
            first_token: Duration::from_micros(event.first_token_us),
            total: Duration::from_micros(event.total_us),
            failure: (event.status != sys::FSV_OK).then(|| Error::new(event.status, message)),
            bytes: (event.bytes_done, event.bytes_total),
        }
    }
}

/// A running request: an iterator of its pieces. Dropping it cancels what still runs.
pub struct Generation {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sink: Arc<Sink>,
    pub(crate) request: sys::fsv_request,
    pub(crate) end: Option<End>,
    pub(crate) is_over: bool,
}

impl Generation {
    /// The next piece, waiting at most `timeout` for it ([`crate::ErrorKind::Timeout`]; one may go on). None at the end.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Piece>> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<Result<Piece>> {
        while !self.is_over {
            match self.shared.next(&self.sink, deadline) {
                Ok(item) => {
                    if let Some(piece) = self.accept(item) {
                        return Some(piece);
                    }
                }
                Err(error) => {
                    self.is_over = error.status() != sys::FSV_ERROR_TIMEOUT;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// What an item is to the iteration: a piece, a failure, or nothing.
    pub(crate) fn accept(&mut self, item: Item) -> Option<Result<Piece>> {
        match item {
            Item::Piece(piece) => Some(Ok(piece)),
            Item::Progress(..) | Item::Memory(_) => None,
            Item::End(end) => {
                self.is_over = true;
                let failure = end.failure.clone();
                self.end = Some(end);
                failure.map(Err)
            }
        }
    }

    /// Waits for the end: the text that is left (of the first choice).
    pub fn text(&mut self) -> Result<String> {
        let mut all = String::new();
        for piece in self.by_ref() {
            let piece = piece?;
            if piece.choice == 0 {
                all += &piece.text;
            }
        }
        Ok(all)
    }

    /// How it ended; None before.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Asks the request to end; the iteration goes on to its end.
    pub fn cancel(&self) {
        self.canceller().cancel();
    }

    /// How far it is; [`crate::ErrorKind::Stale`] some time after its end.
    pub fn info(&self) -> Result<sys::fsv_request_info> {
        let mut info = sys::fsv_request_info::default();
        // SAFETY: numbers, and a place for the result.
        call(|error| unsafe { sys::fsv_request_get_info(self.shared.engine.get(), self.request, &mut info, error) })?;
        Ok(info)
    }

    /// Of a live request, from the next step on.
    pub fn set_priority(&self, priority: i32) -> Result<()> {
        // SAFETY: numbers; a request that has ended is a status.
        call(|error| unsafe {
            sys::fsv_request_set_priority(self.shared.engine.get(), self.request, priority, error)
        })
    }

    /// To cancel from another thread while this one iterates.
    pub fn canceller(&self) -> Canceller {
        Canceller { shared: self.shared.clone(), request: self.request }
    }

    /// Cancels, and forgets the rest.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.cancel();
            self.shared.close(&self.sink);
        }
    }
}

impl Iterator for Generation {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        self.next_until(None)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.close();
    }
}

/// Cancels a request, from any thread. Harmless once it has ended.
#[derive(Clone)]
pub struct Canceller {
    shared: Arc<Shared>,
    request: sys::fsv_request,
}

impl Canceller {
    pub fn cancel(&self) {
        // SAFETY: numbers; a request that has ended is a status.
        unsafe { sys::fsv_request_cancel(self.shared.engine.get(), self.request, std::ptr::null_mut()) };
    }
}
