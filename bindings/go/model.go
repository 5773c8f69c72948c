package fastserve

// #include "hooks.h"
import "C"

import (
	"context"
	"runtime"
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

// Score computes log p(token[i] | token[0..i-1]) of every token of a text; the first value is 0.
func (m *Model) Score(ctx context.Context, prompt string) ([]float32, error) {
	var c scratch
	defer c.free()
	config := make_fsv_score_config()
	config.text, config.text_size = c.bytes(prompt), C.size_t(len(prompt))
	return m.score(ctx, &config)
}

// ScoreTokens does so for token ids.
func (m *Model) ScoreTokens(ctx context.Context, prompt []int32) ([]float32, error) {
	var c scratch
	defer c.free()
	config := make_fsv_score_config()
	config.token_ids, config.token_count = c.ids(prompt), C.size_t(len(prompt))
	return m.score(ctx, &config)
}

func (m *Model) score(ctx context.Context, config *C.fsv_score_config) (scores []float32, err error) {
	scoring, err := m.begin(ctx, func(key C.uint64_t, request *C.fsv_request, e *C.fsv_error) C.fsv_status {
		config.user_data = key
		return C.go_fsv_submit_score(m.engine.handle(), m.handle, config, request, e)
	})
	if err != nil {
		return nil, err
	}
	for piece, err := range scoring.Pieces() {
		if err != nil {
			return nil, err
		}
		scores = append(scores, piece.Logprobs...)
	}
	return scores, nil
}

func (m *Model) submit(ctx context.Context, c *scratch, options Options,
	submit func(*C.fsv_generate_config, *C.fsv_request, *C.fsv_error) C.fsv_status) (*Generation, error) {
	raw := (*C.fsv_generate_config)(c.allocate(C.sizeof_fsv_generate_config)) // holds a handle: see handles.h
	*raw = make_fsv_generate_config()
	options.write(c, raw)
	return m.begin(ctx, func(key C.uint64_t, request *C.fsv_request, e *C.fsv_error) C.fsv_status {
		raw.user_data = key
		return submit(raw, request, e)
	})
}

// begin makes a request by a function of (key, &request, &error); its events are to bring the key back.
func (m *Model) begin(ctx context.Context,
	submit func(C.uint64_t, *C.fsv_request, *C.fsv_error) C.fsv_status) (*Generation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := m.engine.pump.open()
	var request C.fsv_request
	if err := call(func(e *C.fsv_error) C.fsv_status { return submit(C.uint64_t(s.key), &request, e) }); err != nil {
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

// Evict gives the model's memory back now: the next request loads it again. ErrWrongState with live requests,
// ErrUnsupported where LoadFlagsPinned keeps it.
func (m *Model) Evict() error {
	return call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_model_evict(m.engine.handle(), m.handle, e) })
}

// Memory tells what the model takes, and in State (a ModelState) whether it is there.
func (m *Model) Memory() (memory ModelMemory, err error) {
	raw := make_fsv_model_memory()
	err = call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_memory_get_model(m.engine.handle(), m.handle, &raw, e)
	})
	memory.read(&raw)
	return memory, err
}
