package fastserve

// #include "hooks.h"
import "C"

import (
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// session makes one by a function of (&session, &error).
func (m *Model) session(function func(*C.uintptr_t, *C.fsv_error) C.fsv_status) (*Session, error) {
	var made C.uintptr_t
	if err := call(func(e *C.fsv_error) C.fsv_status { return function(&made, e) }); err != nil {
		return nil, err
	}
	return newSession(made), nil
}

// LoadSession makes a session of a file that Session.Save wrote.
func (m *Model) LoadSession(path string) (*Session, error) {
	var c scratch
	defer c.free()
	return m.session(func(made *C.uintptr_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_load(m.engine.handle(), m.handle, c.bytes(path), C.size_t(len(path)), made, e)
	})
}

// ImportSession makes a session of the bytes that Session.Export gave.
func (m *Model) ImportSession(data []byte) (*Session, error) {
	return m.session(func(made *C.uintptr_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_import(m.engine.handle(), m.handle, unsafe.Pointer(unsafe.SliceData(data)),
			C.size_t(len(data)), made, e)
	})
}

// Session is a text kept between requests, which name it in Options.
type Session struct {
	handle C.uintptr_t
	close  func()
}

func newSession(handle C.uintptr_t) *Session {
	s := &Session{handle: handle}
	s.close = sync.OnceFunc(func() { C.go_fsv_session_release(handle, nil) })
	runtime.SetFinalizer(s, func(s *Session) { s.close() })
	return s
}

// NewSession makes an empty session.
func (m *Model) NewSession() (*Session, error) {
	return m.session(func(made *C.uintptr_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_create(m.engine.handle(), m.handle, made, e)
	})
}

// Close gives the session up.
func (s *Session) Close() error {
	s.close()
	return nil
}

// Fork makes a session of the first tokenCount tokens (negative: all); what is computed of them is shared.
func (s *Session) Fork(tokenCount int) (*Session, error) {
	var made C.uintptr_t
	err := call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_fork(s.handle, C.size_t(tokenCount), &made, e)
	})
	if err != nil {
		return nil, err
	}
	return newSession(made), nil
}

// Truncate cuts the text to its first tokenCount tokens.
func (s *Session) Truncate(tokenCount int) error {
	return call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_session_truncate(s.handle, C.size_t(tokenCount), e) })
}

// Undo takes the last turn back.
func (s *Session) Undo() error {
	return call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_session_undo(s.handle, e) })
}

// Save writes the file name of the folder that WithWriteFolder named.
func (s *Session) Save(name string) error {
	var c scratch
	defer c.free()
	return call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_save(s.handle, c.bytes(name), C.size_t(len(name)), 0, e)
	})
}

// Export gives the same as bytes, for Model.ImportSession.
func (s *Session) Export() ([]byte, error) {
	var data []byte
	context := cgo.NewHandle(&data)
	defer context.Delete()
	err := call(func(e *C.fsv_error) C.fsv_status { return C.go_session_export(s.handle, C.uintptr_t(context), e) })
	return data, err
}

// Info tells what the session holds.
func (s *Session) Info() (info SessionInfo, err error) {
	raw := make_fsv_session_info()
	err = call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_session_get_info(s.handle, &raw, e) })
	info.read(&raw)
	return info, err
}

// Greedy is sampling that always takes the most likely token.
func Greedy() *Sampling {
	sampling := DefaultSampling()
	sampling.Temperature = 0
	return &sampling
}

// TokenIDs gives the whole text's.
func (s *Session) TokenIDs() ([]int32, error) {
	return fill(func(ids *int32, capacity C.size_t, count *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_session_get_tokens(s.handle, (*C.int32_t)(ids), capacity, count, e)
	})
}
