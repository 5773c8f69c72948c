//! Sessions: texts whose keys and values are kept between requests.
use crate::error::{call, fill, Result};
use crate::handle::{release, Handle};
use crate::sys;
use std::ffi::c_void;

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

    /// Writes the file `name` of the engine's [`crate::Hooks::write_folder`].
    pub fn save(&self, name: &str) -> Result<()> {
        call(|error| unsafe { sys::fsv_session_save(self.handle.get(), name.as_ptr().cast(), name.len(), 0, error) })
    }

    /// The same as bytes, for [`crate::Model::import_session`].
    pub fn export(&self) -> Result<Vec<u8>> {
        let mut bytes: Vec<u8> = Vec::new();
        // SAFETY: `append` is called during this call alone, with `bytes` as its context.
        call(|error| unsafe {
            let context = std::ptr::addr_of_mut!(bytes).cast();
            sys::fsv_session_export(self.handle.get(), 0, Some(append), context, error)
        })?;
        Ok(bytes)
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

/// Nothing may unwind into the library: too little memory is a status.
unsafe extern "C" fn append(context: *mut c_void, data: *const c_void, size: usize, total: u64) -> sys::fsv_status {
    let bytes = &mut *context.cast::<Vec<u8>>();
    let missing = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    if size > missing || bytes.try_reserve_exact(missing).is_err() {
        return sys::FSV_ERROR_OUT_OF_MEMORY;
    }
    bytes.extend_from_slice(std::slice::from_raw_parts(data.cast(), size));
    sys::FSV_OK
}
