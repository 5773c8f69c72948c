//! Opens the shared library at run time. It stays open until the process ends.
use crate::bindings::Table;
use std::ffi::{c_char, c_void, CString};
use std::sync::{Mutex, OnceLock, PoisonError};

static TABLE: OnceLock<Table> = OnceLock::new();
static OPENING: Mutex<()> = Mutex::new(());

#[cfg(target_os = "windows")]
const DEFAULT_NAME: &str = "fastserve.dll";
#[cfg(target_os = "macos")]
const DEFAULT_NAME: &str = "libfastserve.dylib";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const DEFAULT_NAME: &str = "libfastserve.so.0";

/// Opens the library under a path or a name that the system looks up. Does nothing where one is open already.
pub fn load(name: &str) -> Result<(), String> {
    let _only_one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if TABLE.get().is_some() {
        return Ok(());
    }
    let library = os::open(name).ok_or_else(|| format!("cannot open {name}"))?;
    let table = Table::read(|symbol| {
        let address = os::find(library, symbol);
        if address.is_null() {
            return Err(format!("{name} has no {}", symbol.trim_end_matches('\0')));
        }
        Ok(address)
    })?;
    let _ = TABLE.set(table);
    Ok(())
}

pub(crate) fn table() -> &'static Table {
    if TABLE.get().is_none() {
        if let Err(reason) = load(DEFAULT_NAME) {
            panic!("{reason}: call fastserve_sys::load() with its path first");
        }
    }
    TABLE.get().expect("just opened")
}

#[cfg(unix)]
mod os {
    use super::*;

    extern "C" {
        fn dlopen(name: *const c_char, flags: i32) -> *mut c_void;
        fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }
    const RTLD_NOW: i32 = 2;

    pub fn open(name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: a NUL-terminated name.
        let library = unsafe { dlopen(name.as_ptr(), RTLD_NOW) };
        (!library.is_null()).then_some(library)
    }

    pub fn find(library: *mut c_void, symbol: &str) -> *mut c_void {
        // SAFETY: an open library and a NUL-terminated symbol.
        unsafe { dlsym(library, symbol.as_ptr().cast()) }
    }
}

#[cfg(windows)]
mod os {
    use super::*;

    extern "system" {
        fn LoadLibraryA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    pub fn open(name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: a NUL-terminated name.
        let library = unsafe { LoadLibraryA(name.as_ptr()) };
        (!library.is_null()).then_some(library)
    }

    pub fn find(library: *mut c_void, symbol: &str) -> *mut c_void {
        // SAFETY: an open library and a NUL-terminated symbol.
        unsafe { GetProcAddress(library, symbol.as_ptr().cast()) }
    }
}
