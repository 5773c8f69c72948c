//! What an engine reports to, and where it may write.
use crate::options::EngineConfig;
use crate::sys;
use std::ffi::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

pub(crate) type Log = Box<dyn Fn(i32, &str) + Send + Sync>;

/// Services of the host for [`crate::Engine::with_hooks`].
#[derive(Default)]
pub struct Hooks {
    /// Receives a level (`sys::FSV_LOG_*`) and a line, on threads of the library; it must not call the library.
    pub log: Option<Log>,
    /// The one folder that the library may write into.
    pub write_folder: Option<String>,
}

impl Hooks {
    /// The log stays where it is from now on: the engine refers to it.
    pub(crate) fn into_log(self, config: &mut EngineConfig) -> Option<Box<Log>> {
        let log = Box::new(self.log?);
        config.log = Some(receive);
        config.log_user = std::ptr::addr_of!(*log).cast_mut().cast();
        if config.log_level == sys::FSV_LOG_OFF {
            config.log_level = sys::FSV_LOG_INFO;
        }
        Some(log)
    }
}

unsafe extern "C" fn receive(user: *mut c_void, level: i32, message: *const c_char, size: usize) {
    let log = &*user.cast::<Log>();
    let line = String::from_utf8_lossy(std::slice::from_raw_parts(message.cast(), size));
    let _ = catch_unwind(AssertUnwindSafe(|| log(level, &line))); // nothing may unwind into the library
}
