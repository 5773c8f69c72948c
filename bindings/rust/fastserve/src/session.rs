//! Sessions: texts whose keys and values are kept between requests.
use crate::error::{call, fill, Result};
use crate::handle::{release, Handle};
use crate::sys;

/// A text kept between requests, which name it in [`crate::Options::session`].
pub struct Session {
    pub(crate) handle: Handle<sys::fsv_session>,
}

impl Session {
    pub(crate) fn new(handle: *mut sys::fsv_session) -> Session {
        Session { handle: Handle::new(handle, release!(fsv_session_release, sys::fsv_session)) }
    }

    /// Harmless twice.
    pub fn close(&self) {
        self.handle.close();
    }

    /// A session of the first `token_count` tokens (None: all); what is computed of them is shared.
    pub fn fork(&self, token_count: Option<usize>) -> Result<Session> {
        let mut made = std::ptr::null_mut();
        let count = token_count.unwrap_or(usize::MAX);
        // SAFETY: numbers, and a place for the result; so below.
        call(|error| unsafe { sys::fsv_session_fork(self.handle.get(), count, &mut made, error) })?;
        Ok(Session::new(made))
    }

    pub fn truncate(&self, token_count: usize) -> Result<()> {
        call(|error| unsafe { sys::fsv_session_truncate(self.handle.get(), token_count, error) })
    }

    /// Takes the last turn back.
    pub fn undo(&self) -> Result<()> {
        call(|error| unsafe { sys::fsv_session_undo(self.handle.get(), error) })
    }

    pub fn info(&self) -> Result<sys::fsv_session_info> {
        let mut info = sys::fsv_session_info::default();
        call(|error| unsafe { sys::fsv_session_get_info(self.handle.get(), &mut info, error) })?;
        Ok(info)
    }

    pub fn token_ids(&self) -> Result<Vec<i32>> {
        fill(|ids, capacity, count, error| unsafe {
            sys::fsv_session_get_tokens(self.handle.get(), ids, capacity, count, error)
        })
    }
}
