//! Handles of the library: released once, by close() or by Drop.
use crate::sys;
use std::sync::atomic::{AtomicBool, Ordering};

type Release<T> = unsafe extern "C" fn(*mut T, *mut sys::fsv_error) -> sys::fsv_status;

pub(crate) struct Handle<T> {
    value: *mut T,
    release: Release<T>,
    is_open: AtomicBool,
}

// SAFETY: the value is a generation-tagged number that the library never dereferences, and every function of the library
// may be called from any thread, also with a handle that another thread has released (a status then).
unsafe impl<T> Send for Handle<T> {}
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    pub fn new(value: *mut T, release: Release<T>) -> Handle<T> {
        Handle { value, release, is_open: AtomicBool::new(true) }
    }

    /// After close() a number that the library knows to be stale.
    pub fn get(&self) -> *mut T {
        self.value
    }

    pub fn close(&self) {
        if self.is_open.swap(false, Ordering::AcqRel) {
            // SAFETY: this handle owns one reference, and drops it once.
            unsafe { (self.release)(self.value, std::ptr::null_mut()) };
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// `release` functions as pointers, whether they are linked or looked up.
macro_rules! release {
    ($name:ident, $kind:ty) => {{
        unsafe extern "C" fn release(handle: *mut $kind, error: *mut crate::sys::fsv_error) -> crate::sys::fsv_status {
            crate::sys::$name(handle, error)
        }
        release
    }};
}
pub(crate) use release;
