//! What an engine reports to, and where it may write.
use crate::options::EngineConfig;
use crate::sys;
use std::ffi::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

pub(crate) type Log = Box<dyn Fn(i32, &str) + Send + Sync>;
pub(crate) type OnMemory = Box<dyn Fn(MemoryEvent) + Send + Sync>;

/// What went or came back for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEvent {
    /// `sys::FSV_PRESSURE_*`, combined.
    pub pressure: u32,
    pub used_bytes: u64,
    /// 0: none.
    pub budget_bytes: u64,
}

/// Services of the host for [`crate::Engine::with_hooks`].
#[derive(Default)]
pub struct Hooks {
    /// Receives a level (`sys::FSV_LOG_*`) and a line, on threads of the library; it must not call the library.
    pub log: Option<Log>,
    /// Told where memory is short (`sys::FSV_PRESSURE_SHORT`), before anything is given up, and after something was, on
    /// the engine's thread. It may set the budget and read the memory's statistics, and call nothing else of the library.
    pub on_memory: Option<OnMemory>,
    /// The one folder that the library may write into.
    pub write_folder: Option<String>,
}

/// What the library calls: stays where it is as long as the engine refers to it.
pub(crate) struct Called {
    _log: Option<Box<Log>>,
    _on_memory: Option<Box<OnMemory>>,
}

impl Hooks {
    pub(crate) fn into_called(self, config: &mut EngineConfig) -> Called {
        let log = self.log.map(Box::new);
        if let Some(log) = &log {
            config.log = Some(receive);
            config.log_user = std::ptr::addr_of!(**log).cast_mut().cast();
            if config.log_level == sys::FSV_LOG_OFF {
                config.log_level = sys::FSV_LOG_INFO;
            }
        }
        let on_memory = self.on_memory.map(Box::new);
        if let Some(on_memory) = &on_memory {
            config.on_memory = Some(tell);
            config.on_memory_context = std::ptr::addr_of!(**on_memory).cast_mut().cast();
        }
        Called { _log: log, _on_memory: on_memory }
    }
}

unsafe extern "C" fn tell(context: *mut c_void, pressure: u32, used_bytes: u64, budget_bytes: u64) {
    let on_memory = &*context.cast::<OnMemory>();
    let event = MemoryEvent { pressure, used_bytes, budget_bytes };
    let _ = catch_unwind(AssertUnwindSafe(|| on_memory(event))); // nothing may unwind into the library
}

unsafe extern "C" fn receive(user: *mut c_void, level: i32, message: *const c_char, size: usize) {
    let log = &*user.cast::<Log>();
    let line = String::from_utf8_lossy(std::slice::from_raw_parts(message.cast(), size));
    let _ = catch_unwind(AssertUnwindSafe(|| log(level, &line))); // nothing may unwind into the library
}
