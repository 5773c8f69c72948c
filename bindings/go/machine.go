package fastserve

// #include "handles.h"
import "C"

import (
	"time"
	"unsafe"
)

// Devices of a kind on this machine; asking for CUDA's loads its driver, where there is one.
func Devices(kind DeviceKind) ([]DeviceInfo, error) {
	var count C.uint32_t
	if err := call(func(e *C.fsv_error) C.fsv_status { return C.fsv_device_count(C.uint32_t(kind), &count, e) }); err != nil {
		return nil, err
	}
	devices := make([]DeviceInfo, count)
	for i := range devices {
		raw := make_fsv_device_info()
		err := call(func(e *C.fsv_error) C.fsv_status {
			return C.fsv_device_get_info(C.uint32_t(kind), C.uint32_t(i), &raw, e)
		})
		if err != nil {
			return nil, err
		}
		devices[i].read(&raw)
	}
	return devices, nil
}

// Machine tells what the library found out about this one; it measures nothing.
func Machine() (info MachineInfo, err error) {
	raw := make_fsv_machine_info()
	err = call(func(e *C.fsv_error) C.fsv_status { return C.fsv_machine_probe(&raw, e) })
	info.read(&raw)
	return info, err
}

// MeasureMachine measures its ceilings for about the time given, on so many threads (0: as many as an engine has).
func MeasureMachine(threadCount uint32, duration time.Duration) (ceilings MachineCeilings, err error) {
	raw := make_fsv_machine_ceilings()
	err = call(func(e *C.fsv_error) C.fsv_status {
		return C.fsv_machine_measure(C.uint32_t(threadCount), C.uint32_t(duration.Milliseconds()), &raw, e)
	})
	ceilings.read(&raw)
	return ceilings, err
}

// Inspect reads a file's header and says what it holds.
func Inspect(path string) (info ModelInfo, err error) {
	var c scratch
	defer c.free()
	raw := make_fsv_model_info()
	err = call(func(e *C.fsv_error) C.fsv_status {
		return C.fsv_model_inspect(c.bytes(path), C.size_t(len(path)), &raw, e)
	})
	info.read(&raw)
	return info, err
}

// InspectJSON gives all metadata and tensors of a file, as one JSON object.
func InspectJSON(path string) (string, error) {
	var c scratch
	defer c.free()
	text := c.bytes(path)
	bytes, err := fill(func(buffer *byte, capacity C.size_t, size *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.fsv_model_inspect_json(text, C.size_t(len(path)), (*C.char)(unsafe.Pointer(buffer)), capacity, size, e)
	})
	return string(bytes), err
}

// PlanJSON tells which kernels of this processor serve which tensors of a file, as one JSON object.
func PlanJSON(path string) (string, error) {
	var c scratch
	defer c.free()
	text := c.bytes(path)
	bytes, err := fill(func(buffer *byte, capacity C.size_t, size *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.fsv_model_plan_json(text, C.size_t(len(path)), (*C.char)(unsafe.Pointer(buffer)), capacity, size, e)
	})
	return string(bytes), err
}

// Estimate tells what a model would take in an engine of this configuration.
func Estimate(path string, load LoadConfig, engine EngineConfig) (estimate MemoryEstimate, err error) {
	var c scratch
	defer c.free()
	loadConfig, engineConfig, raw := make_fsv_load_config(), make_fsv_engine_config(), make_fsv_memory_estimate()
	load.write(&loadConfig)
	loadConfig.path, loadConfig.path_size = c.bytes(path), C.size_t(len(path))
	engine.write(&engineConfig)
	err = call(func(e *C.fsv_error) C.fsv_status { return C.fsv_model_estimate(&loadConfig, &engineConfig, &raw, e) })
	estimate.read(&raw)
	return estimate, err
}
