package fastserve

// #include <fastserve.h>
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// Option of Open, beside the configuration.
type Option func(*hooks)

type hooks struct {
	writeFolder string
	log         func(level LogLevel, line string)
}

// WithWriteFolder names the one folder that the library may write into.
func WithWriteFolder(folder string) Option { return func(h *hooks) { h.writeFolder = folder } }

// WithLog has the library's lines reported, on its threads: log must not call the library. Level LogLevelInfo, unless the
// configuration says.
func WithLog(log func(level LogLevel, line string)) Option { return func(h *hooks) { h.log = log } }

//export goLog
func goLog(context C.uintptr_t, level C.int32_t, message *C.char, size C.size_t) {
	defer func() { _ = recover() }() // nothing may unwind into the library: of a log that ended, or that panics
	log := cgo.Handle(context).Value().(func(LogLevel, string))
	log(LogLevel(level), C.GoStringN(message, C.int(size)))
}

//export goWrite
func goWrite(context C.uintptr_t, data unsafe.Pointer, size C.size_t) C.fsv_status {
	to := cgo.Handle(context).Value().(*[]byte)
	*to = append(*to, unsafe.Slice((*byte)(data), int(size))...)
	return C.FSV_OK
}
