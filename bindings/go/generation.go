package fastserve

// #include "handles.h"
import "C"

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Piece is new tokens, and the text that they complete.
type Piece struct {
	Text     string
	TokenIDs []int32
	Logprobs []float32 // one for each token, if asked for
	// For each token those that were most likely in its place, as many as GenerateConfig.LogprobCount asked for, the most
	// likely first.
	TopLogprobs [][]TokenLogprob
	Choice      int // which of several answers
}

// TokenLogprob is a token that could have come, and its log-probability.
type TokenLogprob struct {
	TokenID int32
	Logprob float32
}

// End tells how a request ended.
type End struct {
	Reason          FinishReason
	PromptTokens    int
	GeneratedTokens int
	CachedTokens    int // of the prompt, that came with the session's keys and values
}

// Generation is a running request. Range over Pieces, or take all with Text. Its context's end cancels it, as does Close.
// One goroutine reads it; Cancel and Close may be called by any.
type Generation struct {
	ctx     context.Context
	model   *Model
	sink    *sink
	request C.fsv_request
	mutex   sync.Mutex // guards what follows
	end     *End
	isOver  bool
	stop    func() bool
}

func newGeneration(ctx context.Context, model *Model, s *sink, request C.fsv_request) *Generation {
	g := &Generation{ctx: ctx, model: model, sink: s, request: request}
	engine := model.engine.handle()
	g.stop = context.AfterFunc(ctx, func() { C.go_fsv_request_cancel(engine, request, nil) })
	runtime.SetFinalizer(g, func(g *Generation) { g.Close() })
	return g
}

// Pieces yields the answer as it comes. A failure, the context's error included, is yielded last, beside an empty piece.
// Leaving the loop early cancels the request.
func (g *Generation) Pieces() iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		for {
			piece, err := g.next(g.ctx)
			if errors.Is(err, errEnd) {
				return
			}
			if !yield(piece, err) || err != nil {
				g.Close()
				return
			}
		}
	}
}

var errEnd = errors.New("the end of an answer")

func (g *Generation) next(ctx context.Context) (Piece, error) {
	for {
		g.mutex.Lock()
		isOver := g.isOver
		g.mutex.Unlock()
		if isOver {
			return Piece{}, errEnd
		}
		i, err := g.model.engine.pump.next(ctx, g.sink)
		switch {
		case err != nil:
			return Piece{}, err
		case i.kind == EventTypeTokens || i.kind == EventTypeScore:
			return i.piece, nil
		case i.kind == EventTypeFinished:
			g.finish(i.end)
			if i.err != nil {
				return Piece{}, i.err
			}
			if g.ctx.Err() != nil && i.end.Reason == FinishReasonCancelled {
				return Piece{}, g.ctx.Err()
			}
			return Piece{}, errEnd
		}
	}
}

func (g *Generation) finish(end End) {
	g.stop()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.isOver = true
	g.end = &end
}

// NextTimeout waits no longer than told for the next piece; ErrTimeout then, and one may go on. ok is false at the end.
func (g *Generation) NextTimeout(timeout time.Duration) (piece Piece, ok bool, err error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	piece, err = g.next(ctx)
	switch {
	case errors.Is(err, errEnd):
		return piece, false, nil
	case err != nil && g.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return piece, false, &Error{StatusErrorTimeout, "no event within the time given"}
	}
	return piece, err == nil, err
}

// Text waits for the end: the text that is left, of the first choice.
func (g *Generation) Text() (string, error) {
	var all strings.Builder
	for piece, err := range g.Pieces() {
		if err != nil {
			return all.String(), err
		}
		if piece.Choice == 0 {
			all.WriteString(piece.Text)
		}
	}
	return all.String(), nil
}

// End tells how it ended; nil before.
func (g *Generation) End() *End {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.end
}

// Cancel asks the request to end; Pieces goes on to its end.
func (g *Generation) Cancel() { C.go_fsv_request_cancel(g.model.engine.handle(), g.request, nil) }

// Info tells how far it is; ErrStale some time after its end.
func (g *Generation) Info() (info RequestInfo, err error) {
	raw := make_fsv_request_info()
	err = call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_request_get_info(g.model.engine.handle(), g.request, &raw, e)
	})
	info.read(&raw)
	return info, err
}

// SetPriority changes that of a live request, from the next step on.
func (g *Generation) SetPriority(priority int32) error {
	return call(func(e *C.fsv_error) C.fsv_status {
		return C.go_fsv_request_set_priority(g.model.engine.handle(), g.request, C.int32_t(priority), e)
	})
}

// Close cancels, and forgets the rest.
func (g *Generation) Close() error {
	g.mutex.Lock()
	wasOver := g.isOver
	g.isOver = true
	g.mutex.Unlock()
	if !wasOver {
		g.stop()
		g.Cancel()
		g.model.engine.pump.forget(g.sink)
	}
	return nil
}
