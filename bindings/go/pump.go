package fastserve

// #include "handles.h"
import "C"

import (
	"context"
	"os"
	"sync"
	"unsafe"
)

const batch = 64

// item is a copy of an event; the event itself is gone with the next poll.
type item struct {
	kind        EventType
	piece       Piece
	end         End
	err         error
	memory      MemoryEvent
	done, total uint64
}

// sink is what one request or load has yet to say. Events name it by its key, which comes back as user_data.
type sink struct {
	key   uint64
	mutex sync.Mutex
	items []item
	ready chan struct{} // holds one when items is not empty
}

func (s *sink) put(i item) {
	s.mutex.Lock()
	if i.kind == EventTypeMemory && len(s.items) > 0 { // one at most, however long nobody asks
		i.memory.Pressure |= s.items[0].memory.Pressure
		s.items = s.items[1:]
	}
	s.items = append(s.items, i)
	s.mutex.Unlock()
	s.signal()
}

func (s *sink) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *sink) take() (item, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.items) == 0 {
		return item{}, false
	}
	first := s.items[0]
	s.items = s.items[1:]
	if len(s.items) > 0 {
		s.signal()
	}
	return first, true
}

// pump hands an engine's events to those who wait for them: one goroutine polls, while anybody waits or may come to wait,
// until the engine ends. Of a pumped engine the waiting goroutines step it themselves.
type pump struct {
	engine   C.uintptr_t
	isPumped bool
	memory   *sink      // of MEMORY events, which bring no key back
	polling  sync.Mutex // payloads live until the next poll
	mutex    sync.Mutex // guards what follows
	lastKey  uint64
	sinks    map[uint64]*sink
	ended    chan struct{}
	err      error    // why it ended
	watched  *os.File // what the goroutine waits at; nil: it waits in the library
}

func newPump(engine C.uintptr_t, isPumped bool) *pump {
	memory := &sink{ready: make(chan struct{}, 1)}
	p := &pump{engine: engine, isPumped: isPumped, memory: memory, sinks: map[uint64]*sink{0: memory},
		ended: make(chan struct{})}
	if !isPumped {
		p.watched = p.watch()
		go p.run()
	}
	return p
}

func (p *pump) open() *sink {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.lastKey++
	made := &sink{key: p.lastKey, ready: make(chan struct{}, 1)}
	p.sinks[made.key] = made
	return made
}

func (p *pump) forget(s *sink) {
	p.mutex.Lock()
	delete(p.sinks, s.key)
	p.mutex.Unlock()
}

// run ends with the engine: in the library's own wait, which says why.
func (p *pump) run() {
	var err error
	if p.watched != nil {
		err = p.follow(p.watched)
	}
	for err == nil {
		err = call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_wait(p.engine, 1<<64-1, e) })
		if err == nil {
			_, err = p.dispatch()
		}
	}
	p.err = err
	close(p.ended)
}

// unwatch has the goroutine see that the engine ends.
func (p *pump) unwatch() {
	if p.watched != nil {
		p.watched.Close()
	}
}

// dispatch hands out what is pending, and counts it.
func (p *pump) dispatch() (int, error) {
	p.polling.Lock()
	defer p.polling.Unlock()
	var events [batch]C.fsv_event
	var count C.size_t
	err := call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_poll(p.engine, &events[0], C.sizeof_fsv_event, batch, &count, e)
	})
	for i := range events[:count] {
		p.deliver(&events[i])
	}
	return int(count), err
}

func (p *pump) deliver(event *C.fsv_event) {
	kind := EventType(event._type)
	p.mutex.Lock()
	found := p.sinks[uint64(event.user_data)]
	if kind == EventTypeFinished || kind == EventTypeLoadFinished {
		delete(p.sinks, uint64(event.user_data))
	}
	p.mutex.Unlock()
	if found != nil { // else of a request that was closed before its end
		found.put(copied(kind, event))
	}
}

func (p *pump) next(ctx context.Context, s *sink) (item, error) {
	for {
		if i, ok := s.take(); ok {
			return i, nil
		}
		if err := ctx.Err(); err != nil {
			return item{}, err
		}
		if p.isPumped {
			if err := p.step(); err != nil {
				return item{}, err
			}
			continue
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		case <-p.ended:
			if i, ok := s.take(); ok {
				return i, nil
			}
			return item{}, p.err
		}
	}
}

func (p *pump) step() error {
	p.polling.Lock()
	var more C.uint32_t
	err := call(func(e *C.fsv_error) C.fsv_status { return C.go_fsv_engine_step(p.engine, 0, &more, e) })
	p.polling.Unlock()
	if err != nil {
		return err
	}
	_, err = p.dispatch()
	return err
}

func text(bytes *C.char, size C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(bytes)), int(size)))
}

func alternatives(event *C.fsv_event) [][]TokenLogprob {
	width := int(event.top_logprob_count)
	if width == 0 {
		return nil
	}
	rows := make([][]TokenLogprob, int(event.token_count))
	for i, one := range unsafe.Slice(event.top_logprobs, len(rows)*width) {
		rows[i/width] = append(rows[i/width], TokenLogprob{int32(one.token_id), float32(one.logprob)})
	}
	return rows
}

func copied(kind EventType, event *C.fsv_event) item {
	i := item{kind: kind, done: uint64(event.bytes_done), total: uint64(event.bytes_total)}
	if event.status != C.FSV_OK {
		i.err = &Error{Status(event.status), text(event.message, event.message_size)}
	}
	switch kind {
	case EventTypeTokens, EventTypeScore:
		i.piece.Text = text(event.text, event.text_size)
		i.piece.TokenIDs = append([]int32(nil), unsafe.Slice((*int32)(event.token_ids), int(event.token_count))...)
		if event.logprobs != nil {
			i.piece.Logprobs = append([]float32(nil), unsafe.Slice((*float32)(event.logprobs), int(event.token_count))...)
		}
		i.piece.TopLogprobs = alternatives(event)
		i.piece.Choice = int(event.choice)
	case EventTypeMemory:
		i.memory = MemoryEvent{PressureFlags(event.pressure), i.done, i.total}
	case EventTypeFinished:
		i.end = End{FinishReason(event.finish_reason), int(event.prompt_token_count), int(event.generated_token_count),
			int(event.cached_token_count)}
	}
	return i
}
