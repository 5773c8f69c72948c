package fastserve

// #include "hooks.h"
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Message is one of a conversation's.
type Message struct{ Role, Content string }

// Options are the settings of a request; nil pointers leave the defaults.
type Options struct {
	Config       *GenerateConfig // begin with DefaultGenerateConfig
	Sampling     *Sampling       // begin with Model.DefaultSampling, which is what nil means
	Stop         []string        // strings that end the answer; they are not part of it
	StopTokenIDs []int32
	Session      *Session
}

// Model is a loaded model. After Close no new request can name it; running ones finish.
type Model struct {
	engine *Engine
	handle C.uintptr_t
	close  func()
}

func newModel(engine *Engine, handle C.uintptr_t) *Model {
	m := &Model{engine: engine, handle: handle}
	m.close = sync.OnceFunc(func() { C.go_fsv_model_release(handle, nil) })
	runtime.SetFinalizer(m, func(m *Model) { m.close() })
	return m
}

// Close gives the model up.
func (m *Model) Close() error {
	m.close()
	return nil
}

// Generate begins an answer to a text, and returns at once.
func (m *Model) Generate(ctx context.Context, prompt string, options Options) (*Generation, error) {
	var c scratch
	defer c.free()
	return m.submit(ctx, &c, options, func(raw *C.fsv_generate_config, request *C.fsv_request, e *C.fsv_error) C.fsv_status {
		raw.text = c.bytes(prompt)
		raw.text_size = C.size_t(len(prompt))
		return C.go_fsv_submit_generate(m.engine.handle(), m.handle, raw, request, e)
	})
}

// GenerateTokens begins an answer to token ids.
func (m *Model) GenerateTokens(ctx context.Context, prompt []int32, options Options) (*Generation, error) {
	var c scratch
	defer c.free()
	return m.submit(ctx, &c, options, func(raw *C.fsv_generate_config, request *C.fsv_request, e *C.fsv_error) C.fsv_status {
		raw.token_ids = c.ids(prompt)
		raw.token_count = C.size_t(len(prompt))
		return C.go_fsv_submit_generate(m.engine.handle(), m.handle, raw, request, e)
	})
}

// Chat begins an answer to a conversation.
func (m *Model) Chat(ctx context.Context, messages []Message, options Options) (*Generation, error) {
	var c scratch
	defer c.free()
	chat := make_fsv_chat()
	chat.messages = messagesOf(&c, messages)
	chat.message_count = C.size_t(len(messages))
	return m.submit(ctx, &c, options, func(raw *C.fsv_generate_config, request *C.fsv_request, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_submit_chat(m.engine.handle(), m.handle, &chat, raw, request, e)
	})
}

func (m *Model) submit(ctx context.Context, c *scratch, options Options,
	submit func(*C.fsv_generate_config, *C.fsv_request, *C.fsv_error) C.fsv_status) (*Generation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := m.engine.pump.open()
	raw := (*C.fsv_generate_config)(c.allocate(C.sizeof_fsv_generate_config)) // holds a handle: see handles.h
	*raw = make_fsv_generate_config()
	options.write(c, raw)
	raw.user_data = C.uint64_t(s.key)
	var request C.fsv_request
	if err := call(func(e *C.fsv_error) C.fsv_status { return submit(raw, &request, e) }); err != nil {
		m.engine.pump.forget(s)
		return nil, err
	}
	return newGeneration(ctx, m, s, request), nil
}

func (o *Options) write(c *scratch, raw *C.fsv_generate_config) {
	if o.Config != nil {
		o.Config.write(raw)
	}
	if o.Sampling != nil {
		sampling := (*C.fsv_sampling)(c.allocate(C.sizeof_fsv_sampling))
		*sampling = make_fsv_sampling()
		o.Sampling.write(sampling)
		raw.sampling = sampling
	}
	if len(o.Stop) > 0 {
		block := (*C.fsv_string)(c.allocate(uintptr(len(o.Stop)) * C.sizeof_fsv_string))
		for i, stop := range o.Stop {
			unsafe.Slice(block, len(o.Stop))[i] = C.fsv_string{c.bytes(stop), C.size_t(len(stop))}
		}
		raw.stop_strings, raw.stop_string_count = block, C.size_t(len(o.Stop))
	}
	if len(o.StopTokenIDs) > 0 {
		raw.stop_token_ids, raw.stop_token_count = c.ids(o.StopTokenIDs), C.size_t(len(o.StopTokenIDs))
	}
	if o.Session != nil {
		C.go_fsv_generate_config_set_session(raw, o.Session.handle)
	}
}

func messagesOf(c *scratch, messages []Message) *C.fsv_chat_message {
	block := (*C.fsv_chat_message)(c.allocate(uintptr(len(messages)) * C.sizeof_fsv_chat_message))
	for i, message := range messages {
		unsafe.Slice(block, len(messages))[i] = C.fsv_chat_message{c.bytes(message.Role), C.size_t(len(message.Role)),
			c.bytes(message.Content), C.size_t(len(message.Content))}
	}
	return block
}

// DefaultSampling is how the model's makers want it sampled: change it, and pass it in Options.
func (m *Model) DefaultSampling() (sampling Sampling, err error) {
	raw := make_fsv_sampling()
	err = call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_model_default_sampling(m.handle, &raw, e) })
	sampling.read(&raw)
	return sampling, err
}

// Info tells what the model is.
func (m *Model) Info() (info ModelInfo, err error) {
	raw := make_fsv_model_info()
	err = call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_model_get_info(m.handle, &raw, e) })
	info.read(&raw)
	return info, err
}

// Memory tells what the model takes.
func (m *Model) Memory() (memory ModelMemory, err error) {
	raw := make_fsv_model_memory()
	err = call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_memory_get_model(m.engine.handle(), m.handle, &raw, e)
	})
	memory.read(&raw)
	return memory, err
}

// Tokenize gives the ids of a text, BOS and EOS as the model asks.
func (m *Model) Tokenize(text string) ([]int32, error) {
	var c scratch
	defer c.free()
	bytes := c.bytes(text)
	return fill(func(ids *int32, capacity C.size_t, count *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_tokenize(m.handle, bytes, C.size_t(len(text)), C.FSV_TOKENIZE_ADD_BOS, (*C.int32_t)(ids), capacity, count, e)
	})
}

// Detokenize gives the text of ids, without control tokens; ids may cut a code point.
func (m *Model) Detokenize(ids []int32) (string, error) {
	var c scratch
	defer c.free()
	block := c.ids(ids)
	bytes, err := fill(func(buffer *byte, capacity C.size_t, size *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_detokenize(m.handle, block, C.size_t(len(ids)), C.FSV_DETOKENIZE_SKIP_SPECIAL,
			(*C.char)(unsafe.Pointer(buffer)), capacity, size, e)
	})
	return string(bytes), err
}

// RenderChat gives the conversation as the model's template writes it.
func (m *Model) RenderChat(messages []Message) (string, error) {
	var c scratch
	defer c.free()
	block := messagesOf(&c, messages)
	bytes, err := fill(func(buffer *byte, capacity C.size_t, size *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_chat_render(m.handle, block, C.size_t(len(messages)), C.FSV_CHAT_ADD_GENERATION_PROMPT,
			(*C.char)(unsafe.Pointer(buffer)), capacity, size, e)
	})
	return string(bytes), err
}

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
