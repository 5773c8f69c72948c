package fastserve

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// What Go adds to the conformance cases: contexts, errors.Is, io.Closer, ends in any order.

const tiny = "../conformance/tiny.gguf.bin"

var background = context.Background()

func open(t *testing.T) (*Engine, *Model) {
	t.Helper()
	config := DefaultEngineConfig()
	config.ThreadCount = 1
	engine, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	model, err := engine.Load(background, tiny, nil)
	if err != nil {
		t.Fatal(err)
	}
	return engine, model
}

func endless() Options {
	config := DefaultGenerateConfig()
	config.IgnoreEos = 1
	config.MaxTokens = 100_000_000
	config.ContextFull = uint32(ContextFullSlide)
	return Options{Config: &config}
}

func begin(t *testing.T, ctx context.Context, model *Model, options Options) *Generation {
	t.Helper()
	generation, err := model.Generate(ctx, "tick tock", options)
	if err != nil {
		t.Fatal(err)
	}
	return generation
}

func TestErrors(t *testing.T) {
	engine, model := open(t)
	_, err := engine.Load(background, "nowhere.gguf", nil)
	if !errors.Is(err, ErrNotFound) || errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "nowhere.gguf") {
		t.Error(err)
	}
	for _, closer := range []io.Closer{model, model, engine, engine} {
		closer.Close()
	}
	if _, err := model.Info(); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
	if _, err := engine.MemoryStats(); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
}

func TestAlternatives(t *testing.T) {
	engine, model := open(t)
	defer engine.Close()
	config := DefaultGenerateConfig()
	config.LogprobCount, config.ReportLogprobs, config.MaxTokens = 3, 1, 4
	sampling, err := model.DefaultSampling()
	if err != nil {
		t.Fatal(err)
	}
	sampling.Temperature = 0
	seen := 0
	for piece, err := range begin(t, background, model, Options{Config: &config, Sampling: &sampling}).Pieces() {
		if err != nil || len(piece.TopLogprobs) != len(piece.TokenIDs) {
			t.Fatal(piece, err)
		}
		for i, row := range piece.TopLogprobs {
			if len(row) != 3 || row[0] != (TokenLogprob{piece.TokenIDs[i], piece.Logprobs[i]}) ||
				row[0].Logprob < row[1].Logprob || row[1].Logprob < row[2].Logprob {
				t.Error(row, piece)
			}
			seen++
		}
	}
	if seen == 0 {
		t.Error("no token came")
	}
}

func TestMemoryEvents(t *testing.T) {
	config := DefaultEngineConfig()
	config.ThreadCount, config.MemoryEvents = 1, 1
	engine, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	model, err := engine.Load(background, tiny, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := engine.NextMemoryEvent(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := engine.Trim(TrimFlagsModels); err != nil {
		t.Error(err)
	}
	if event, err := engine.NextMemoryEvent(background); err != nil || event.Pressure != PressureFlagsModels {
		t.Error(event, err)
	}
	if memory, err := model.Memory(); err != nil || ModelState(memory.State) != ModelStateEvicted {
		t.Error(memory, err)
	}
}

func TestContextCancels(t *testing.T) {
	engine, model := open(t)
	defer engine.Close()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	var err error
	for _, err = range begin(t, ctx, model, endless()).Pieces() {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := model.Generate(ctx, "x", Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := engine.Load(ctx, "../conformance/../conformance/tiny.gguf.bin", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLeavingTheLoopCancels(t *testing.T) {
	engine, model := open(t)
	defer engine.Close()
	generation := begin(t, background, model, endless())
	for range generation.Pieces() {
		break
	}
	for range generation.Pieces() {
		t.Error("a piece after the end")
	}
	generation.Close()
}

func TestEndsInAnyOrder(t *testing.T) {
	for order := range 24 {
		engine, model := open(t)
		session, err := model.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		options := endless()
		options.Session = session
		generation := begin(t, background, model, options)
		left := []io.Closer{engine, model, session, generation}
		for code := order; len(left) > 0; {
			at := code % len(left)
			code /= len(left)
			left[at].Close()
			left = append(left[:at], left[at+1:]...)
		}
	}
}

func TestFinalisers(t *testing.T) {
	for range 20 {
		_, model := open(t)
		begin(t, background, model, endless())
	}
	for range 3 {
		runtime.GC()
	}
}

func TestClosedByAnotherGoroutine(t *testing.T) {
	engine, model := open(t)
	generation := begin(t, background, model, endless())
	done := make(chan struct{})
	var err error
	for _, err = range generation.Pieces() {
		select {
		case <-done:
		default:
			go engine.Close()
			close(done)
		}
	}
	if err == nil && generation.End().Reason != FinishReasonShutdown {
		t.Error(generation.End())
	}
}

func TestExportedSessionsAndLogs(t *testing.T) {
	lines := make(chan string, 1000)
	config := DefaultEngineConfig()
	config.ThreadCount = 1
	config.LogLevel = int32(LogLevelDebug)
	engine, err := Open(config, WithLog(func(level LogLevel, line string) {
		if level < LogLevelError || level > LogLevelDebug || line == "" {
			t.Error(level, line)
		}
		select {
		case lines <- line:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	model, err := engine.Load(background, tiny, nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := model.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := model.Generate(background, "The cat", Options{Sampling: Greedy(), Session: session})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answer.Text(); err != nil {
		t.Fatal(err)
	}
	data, err := session.Export()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := model.ImportSession(data)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := session.Info()
	b, _ := restored.Info()
	if a.TokenCount != b.TokenCount || a.TokenCount == 0 {
		t.Error(a, b)
	}
	if _, err := model.ImportSession(data[1:]); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	engine.Close()
}
