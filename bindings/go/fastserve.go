// Package fastserve runs language models in your own process.
//
// Engines, models, sessions and generations may be used by any goroutine, and closed in any order and more than once.
// What is called after Close fails with ErrStale.
package fastserve

// #cgo pkg-config: fastserve
// #include "hooks.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"sync"
	"time"
	"unsafe"
)

// Error is a call that the library refused: of which kind, and in its own words what and where.
type Error struct {
	Status  Status
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return C.GoString(C.fsv_status_name(C.fsv_status(e.Status)))
	}
	return e.Message
}

// Is makes errors.Is(err, ErrStale) compare kinds.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Status == e.Status
}

// call runs a fallible function of the library with room for its message.
func call(function func(*C.fsv_error) C.fsv_status) error {
	var raw C.fsv_error
	if status := function(&raw); status != C.FSV_OK {
		return &Error{Status(status), C.GoStringN(&raw.message[0], C.int(raw.message_size))}
	}
	return nil
}

// LibraryVersion is the version of the library in use.
func LibraryVersion() string { return C.GoString(C.fsv_version_string()) }

// scratch is C memory for one call: structs passed to C may hold no pointers to Go's memory.
type scratch struct{ blocks []unsafe.Pointer }

func (s *scratch) bytes(text string) *C.char {
	block := C.CString(text)
	s.blocks = append(s.blocks, unsafe.Pointer(block))
	return block
}

func (s *scratch) allocate(size uintptr) unsafe.Pointer {
	block := C.calloc(1, C.size_t(max(size, 1)))
	s.blocks = append(s.blocks, block)
	return block
}

func (s *scratch) ids(ids []int32) *C.int32_t {
	block := s.allocate(uintptr(len(ids)) * 4)
	copy(unsafe.Slice((*int32)(block), len(ids)), ids)
	return (*C.int32_t)(block)
}

func (s *scratch) free() {
	for _, block := range s.blocks {
		C.free(block)
	}
}

// fill takes an array from a function of (array, capacity, &count); asks for its size first.
func fill[T any](function func(*T, C.size_t, *C.size_t, *C.fsv_error) C.fsv_status) ([]T, error) {
	var count C.size_t
	if err := call(func(e *C.fsv_error) C.fsv_status { return function(nil, 0, &count, e) }); err != nil {
		return nil, err
	}
	values := make([]T, max(count, 1))
	err := call(func(e *C.fsv_error) C.fsv_status { return function(&values[0], C.size_t(len(values)), &count, e) })
	if err != nil {
		return nil, err
	}
	return values[:count], nil
}

// Engine runs requests of the models loaded in it, many at once.
type Engine struct {
	pump  *pump
	close func()
}

// Open starts an engine. Begin with DefaultEngineConfig.
func Open(config EngineConfig, options ...Option) (*Engine, error) {
	var h hooks
	for _, option := range options {
		option(&h)
	}
	var c scratch
	defer c.free()
	raw := make_fsv_engine_config()
	config.write(&raw)
	if h.writeFolder != "" {
		raw.write_folder = c.bytes(h.writeFolder)
		raw.write_folder_size = C.size_t(len(h.writeFolder))
	}
	endLog := func() {}
	if h.log != nil {
		if raw.log_level == C.FSV_LOG_OFF {
			raw.log_level = C.FSV_LOG_INFO
		}
		context := cgo.NewHandle(h.log)
		C.go_set_log(&raw, C.uintptr_t(context))
		endLog = context.Delete
	}
	var handle C.uintptr_t
	if err := call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_engine_create(&raw, &handle, e) }); err != nil {
		endLog()
		return nil, err
	}
	pump := newPump(handle, config.Mode == uint32(ModePumped))
	engine := &Engine{pump: pump}
	engine.close = sync.OnceFunc(func() {
		C.go_fsv_engine_release(handle, nil)
		pump.unwatch() // not engine.pump: what refers to itself is never finalised
		endLog()
	})
	runtime.SetFinalizer(engine, func(e *Engine) { e.close() })
	return engine, nil
}

// Close ends all that runs and returns the memory.
func (e *Engine) Close() error {
	e.close()
	return nil
}

// Load loads a GGUF file or a Hugging Face folder and waits for it. The end of ctx cancels the load. onProgress may be
// nil; it is called with bytes done and bytes in all.
func (e *Engine) Load(ctx context.Context, path string, onProgress func(done, total uint64)) (*Model, error) {
	return e.LoadWith(ctx, path, DefaultLoadConfig(), onProgress)
}

// LoadWith is Load with settings: begin with DefaultLoadConfig.
func (e *Engine) LoadWith(ctx context.Context, path string, config LoadConfig,
	onProgress func(done, total uint64)) (*Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var c scratch
	defer c.free()
	sink := e.pump.open()
	defer e.pump.forget(sink)
	raw := make_fsv_load_config()
	config.write(&raw)
	raw.path = c.bytes(path)
	raw.path_size = C.size_t(len(path))
	raw.user_data = C.uint64_t(sink.key)
	var ticket C.fsv_ticket
	if err := call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_model_load(e.handle(), &raw, &ticket, r) }); err != nil {
		return nil, err
	}
	for ended := false; !ended; {
		event, err := e.pump.next(ctx, sink)
		if err != nil {
			C.go_fsv_ticket_cancel(e.handle(), ticket, nil)
			return nil, err
		}
		ended = event.kind == EventTypeLoadFinished
		if onProgress != nil && event.err == nil {
			onProgress(event.done, event.total)
		}
	}
	var model C.uintptr_t
	if err := call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_ticket_take_model(e.handle(), ticket, &model, r) }); err != nil {
		return nil, err
	}
	return newModel(e, model), nil
}

func (e *Engine) handle() C.uintptr_t { return e.pump.engine }

// Pause stops computation between layers; Resume goes on.
func (e *Engine) Pause() error {
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_engine_pause(e.handle(), r) })
}

// Resume goes on after Pause.
func (e *Engine) Resume() error {
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_engine_resume(e.handle(), r) })
}

// Shutdown refuses new work and lets running requests finish within the time given (negative: however long), then cancels
// them.
func (e *Engine) Shutdown(timeout time.Duration) error {
	us := C.uint64_t(1<<64 - 1)
	if timeout >= 0 {
		us = C.uint64_t(timeout.Microseconds())
	}
	defer e.pump.unwatch()
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_engine_shutdown(e.handle(), us, r) })
}

// SetStepTarget changes the latency that 95 of 100 steps are to stay within; 0: none.
func (e *Engine) SetStepTarget(target time.Duration) error {
	us := C.uint64_t(target.Microseconds())
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_engine_set_step_target(e.handle(), us, r) })
}

// Metrics counts what the engine did.
func (e *Engine) Metrics() (metrics Metrics, err error) {
	raw := make_fsv_metrics()
	err = call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_metrics_snapshot(e.handle(), &raw, r) })
	metrics.read(&raw)
	return metrics, err
}

// SetMemoryBudget changes that of a living engine; 0: none. What it takes away goes within milliseconds, and changes no
// text.
func (e *Engine) SetMemoryBudget(bytes uint64) error {
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_memory_set_budget(e.handle(), C.uint64_t(bytes), r) })
}

// Trim gives memory that nobody holds back to the system, and what the flags name.
func (e *Engine) Trim(flags TrimFlags) error {
	return call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_memory_trim(e.handle(), C.uint32_t(flags), r) })
}

// MemoryEvent tells what went or came back for want of memory.
type MemoryEvent struct {
	Pressure               PressureFlags // combined
	UsedBytes, BudgetBytes uint64        // no budget: 0
}

// NextMemoryEvent waits for the next of an engine with EngineConfig.MemoryEvents, or for the end of ctx, whose error it
// returns then. What came while nobody waited is one event.
func (e *Engine) NextMemoryEvent(ctx context.Context) (MemoryEvent, error) {
	event, err := e.pump.next(ctx, e.pump.memory)
	return event.memory, err
}

// MemoryStats tells what the engine holds.
func (e *Engine) MemoryStats() (stats MemoryStats, err error) {
	raw := make_fsv_memory_stats()
	err = call(func(r *C.fsv_error) C.fsv_status { return C.go_fsv_memory_get_stats(e.handle(), &raw, r) })
	stats.read(&raw)
	return stats, err
}

// AbiVersion is the version of the binary interface in use.
func AbiVersion() uint32 { return uint32(C.fsv_abi_version()) }

// Name is the C constant's.
func (s Status) Name() string { return C.GoString(C.fsv_status_name(C.fsv_status(s))) }
