//! Failures: a status of the C ABI with the library's own message.
use crate::generated::ErrorKind;
use crate::sys;
use std::fmt;
use std::mem::MaybeUninit;

/// A call that the library refused, or an answer that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    status: sys::fsv_status,
    message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: sys::fsv_status, message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::from_number(status), status, message: message.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The number of the C ABI.
    pub fn status(&self) -> i32 {
        self.status
    }

    /// What, and where.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.message)
    }
}

impl std::error::Error for Error {}

/// Runs a fallible function of the library with room for its message.
pub(crate) fn call(function: impl FnOnce(*mut sys::fsv_error) -> sys::fsv_status) -> Result<()> {
    let mut error = MaybeUninit::<sys::fsv_error>::zeroed();
    let status = function(error.as_mut_ptr());
    if status == sys::FSV_OK {
        return Ok(());
    }
    // SAFETY: zeros are a value of it, and the library fills it in on failure.
    let error = unsafe { error.assume_init() };
    let size = (error.message_size as usize).min(error.message.len());
    let bytes: Vec<u8> = error.message[..size].iter().map(|&byte| byte as u8).collect();
    Err(Error::new(status, String::from_utf8_lossy(&bytes)))
}

/// Fills a vector by a function that takes (array, capacity, &count); asks for its size first.
pub(crate) fn fill<T: Clone + Default>(
    function: impl Fn(*mut T, usize, *mut usize, *mut sys::fsv_error) -> sys::fsv_status,
) -> Result<Vec<T>> {
    let mut count = 0;
    call(|error| function(std::ptr::null_mut(), 0, &mut count, error))?;
    let mut values = vec![T::default(); count];
    call(|error| function(values.as_mut_ptr(), values.len(), &mut count, error))?;
    values.truncate(count);
    Ok(values)
}

/// Text of a NUL-terminated array within a struct.
pub(crate) fn text_of(array: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = array.iter().take_while(|&&byte| byte != 0).map(|&byte| byte as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
