//! What can be asked without an engine: devices, the machine, what a model's file holds and what it would take.
use crate::error::{call, fill, Result};
use crate::model::text_of_path;
use crate::options::{EngineConfig, LoadConfig};
use crate::sys;
use std::ffi::c_char;
use std::path::Path;
use std::time::Duration;

/// Those of a kind (`sys::FSV_DEVICE_*`) on this machine; asking for CUDA's loads its driver, where there is one.
pub fn devices(kind: u32) -> Result<Vec<sys::fsv_device_info>> {
    let mut count = 0;
    // SAFETY: a place for the result; so below.
    call(|error| unsafe { sys::fsv_device_count(kind, &mut count, error) })?;
    let info = |index| {
        let mut info = sys::fsv_device_info::default();
        call(|error| unsafe { sys::fsv_device_get_info(kind, index, &mut info, error) })?;
        Ok(info)
    };
    (0..count).map(info).collect()
}

/// What the library found out about this machine; measures nothing.
pub fn machine() -> Result<sys::fsv_machine_info> {
    let mut info = sys::fsv_machine_info::default();
    call(|error| unsafe { sys::fsv_machine_probe(&mut info, error) })?;
    Ok(info)
}

/// Ceilings of this machine, measured for `duration` on so many threads (0: as many as an engine has).
pub fn measure_machine(thread_count: u32, duration: Duration) -> Result<sys::fsv_machine_ceilings> {
    let mut ceilings = sys::fsv_machine_ceilings::default();
    let duration_ms = duration.as_millis().try_into().unwrap_or(u32::MAX);
    call(|error| unsafe { sys::fsv_machine_measure(thread_count, duration_ms, &mut ceilings, error) })?;
    Ok(ceilings)
}

/// Reads a file's header and says what it holds.
pub fn inspect(path: impl AsRef<Path>) -> Result<sys::fsv_model_info> {
    let path = text_of_path(path.as_ref())?;
    let mut info = sys::fsv_model_info::default();
    // SAFETY: the path's own bytes; so below.
    call(|error| unsafe { sys::fsv_model_inspect(path.as_ptr().cast(), path.len(), &mut info, error) })?;
    Ok(info)
}

/// All metadata and tensors of a file, as one JSON object.
pub fn inspect_json(path: impl AsRef<Path>) -> Result<String> {
    json_of(path.as_ref(), |path, size, buffer, capacity, needed, error| unsafe {
        sys::fsv_model_inspect_json(path, size, buffer, capacity, needed, error)
    })
}

/// Which kernels of this processor serve which tensors of a file, as one JSON object.
pub fn plan_json(path: impl AsRef<Path>) -> Result<String> {
    json_of(path.as_ref(), |path, size, buffer, capacity, needed, error| unsafe {
        sys::fsv_model_plan_json(path, size, buffer, capacity, needed, error)
    })
}

fn json_of(
    path: &Path,
    function: impl Fn(*const c_char, usize, *mut c_char, usize, *mut usize, *mut sys::fsv_error) -> sys::fsv_status,
) -> Result<String> {
    let path = text_of_path(path)?;
    let bytes = fill(|buffer: *mut u8, capacity, size, error| {
        function(path.as_ptr().cast(), path.len(), buffer.cast(), capacity, size, error)
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the model would take in an engine of this configuration.
pub fn estimate(path: impl AsRef<Path>, mut load: LoadConfig, engine: &EngineConfig) -> Result<sys::fsv_memory_estimate> {
    let path = text_of_path(path.as_ref())?;
    load.path = path.as_ptr().cast();
    load.path_size = path.len();
    let mut estimate = sys::fsv_memory_estimate::default();
    call(|error| unsafe { sys::fsv_model_estimate(&load, engine, &mut estimate, error) })?;
    Ok(estimate)
}
