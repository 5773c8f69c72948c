//go:build unix

package fastserve

// #include "handles.h"
import "C"

import (
	"os"
	"syscall"
)

// watch opens the engine's wait handle for Go's poller: a goroutine that waits there costs no thread, and its wake-up no
// hand-over between threads. nil where that cannot be.
func (p *pump) watch() *os.File {
	var handle C.intptr_t
	if err := call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_wait_handle(p.engine, &handle, e) }); err != nil {
		return nil
	}
	syscall.ForkLock.RLock()
	own, err := syscall.Dup(int(handle)) // of Go alone, to be closed by it
	if err == nil {
		syscall.CloseOnExec(own)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(own), "events of fastserve")
}

// follow hands out events until the engine ends or the file is closed.
func (p *pump) follow(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil
	}
	var failure error
	for failure == nil && err == nil {
		err = conn.Read(func(uintptr) bool {
			var count int
			count, failure = p.dispatch()
			return count > 0 || failure != nil
		})
	}
	return failure
}
