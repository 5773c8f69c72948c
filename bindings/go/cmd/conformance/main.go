// The Go runner of bindings/conformance: one command a line in, one reply a line out.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"fastserve.dev/go/fastserve"
)

type fields map[string]string

type stream struct {
	*fastserve.Generation
	text string
	ids  []int32
}

var (
	background = context.Background()
	engines    = map[string]*fastserve.Engine{}
	models     = map[string]*fastserve.Model{}
	sessions   = map[string]*fastserve.Session{}
	streams    = map[string]*stream{}
)

func (a fields) number(name string, otherwise uint64) uint64 {
	if text, ok := a[name]; ok {
		value, _ := strconv.ParseUint(text, 10, 64)
		return value
	}
	return otherwise
}

func flag(value bool) string {
	if value {
		return "1"
	}
	return "0"
}

func joined(ids []int32) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(parts, ",")
}

func idsOf(text string) (ids []int32) {
	for _, part := range strings.Split(text, ",") {
		if id, err := strconv.Atoi(part); err == nil {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

func open(a fields) (fields, error) {
	config := fastserve.DefaultEngineConfig()
	config.ThreadCount = uint32(a.number("thread_count", 1))
	config.MemoryEvents = uint32(a.number("memory_events", 0))
	config.Mode = uint32(a.number("mode", 0))
	config.ContextTokens = uint32(a.number("context_tokens", 0))
	config.MaxSequences = uint32(a.number("max_sequences", 0))
	config.MemoryBudgetBytes = a.number("memory_budget_bytes", 0)
	engine, err := fastserve.Open(config, fastserve.WithWriteFolder(a["write_folder"]))
	if err == nil {
		engines[a["id"]] = engine
	}
	return nil, err
}

func load(a fields) (fields, error) {
	var last, all uint64
	monotonic := true
	config := fastserve.DefaultLoadConfig()
	config.Flags = uint32(a.number("flags", 0))
	model, err := engines[a["engine"]].LoadWith(background, a["path"], config, func(done, total uint64) {
		monotonic = monotonic && done >= last
		last, all = done, total
	})
	if err != nil {
		return nil, err
	}
	models[a["id"]] = model
	return fields{"monotonic": flag(monotonic), "complete": flag(last == all && all > 0)}, nil
}

func options(a fields, model *fastserve.Model) (o fastserve.Options, err error) {
	config := fastserve.DefaultGenerateConfig()
	config.MaxTokens = uint32(a.number("max_tokens", uint64(config.MaxTokens)))
	config.IgnoreEos = uint32(a.number("ignore_eos", 0))
	config.ContextFull = uint32(a.number("context_full", 0))
	if text, ok := a["priority"]; ok {
		value, _ := strconv.ParseInt(text, 10, 32)
		config.Priority = int32(value)
	}
	config.Speculation = uint32(a.number("speculation", 0))
	config.ChoiceCount = uint32(a.number("choice_count", uint64(config.ChoiceCount)))
	o.Config = &config
	if a["temperature"]+a["seed"]+a["top_k"] != "" {
		sampling, err := model.DefaultSampling()
		if err != nil {
			return o, err
		}
		if text, ok := a["temperature"]; ok {
			value, _ := strconv.ParseFloat(text, 32)
			sampling.Temperature = float32(value)
		}
		sampling.Seed = a.number("seed", sampling.Seed)
		sampling.TopK = int32(a.number("top_k", uint64(sampling.TopK)))
		o.Sampling = &sampling
	}
	if stop, ok := a["stop"]; ok {
		o.Stop = []string{stop}
	}
	o.Session = sessions[a["session"]]
	return o, nil
}

func begin(a fields) (*fastserve.Generation, error) {
	model := models[a["model"]]
	o, err := options(a, model)
	if err != nil {
		return nil, err
	}
	if prompt, ok := a["prompt"]; ok {
		return model.Generate(background, prompt, o)
	}
	if ids, ok := a["prompt_ids"]; ok {
		return model.GenerateTokens(background, idsOf(ids), o)
	}
	var messages []fastserve.Message
	for _, part := range [][2]string{{"system", "system"}, {"user", "user"}, {"assistant", "reply"}, {"user", "then"}} {
		if content, ok := a[part[1]]; ok {
			messages = append(messages, fastserve.Message{Role: part[0], Content: content})
		}
	}
	return model.Chat(background, messages, o)
}

func (s *stream) add(piece fastserve.Piece) {
	s.text += piece.Text
	s.ids = append(s.ids, piece.TokenIDs...)
}

func finish(s *stream) (fields, error) {
	for piece, err := range s.Pieces() {
		if err != nil {
			return nil, err
		}
		s.add(piece)
	}
	end := s.End()
	reasons := map[fastserve.FinishReason]string{fastserve.FinishReasonStop: "stop", fastserve.FinishReasonLength: "length",
		fastserve.FinishReasonCancelled: "cancelled", fastserve.FinishReasonShutdown: "shutdown"}
	return fields{"text": s.text, "ids": joined(s.ids), "finish": reasons[end.Reason],
		"prompt_tokens": strconv.Itoa(end.PromptTokens), "generated_tokens": strconv.Itoa(end.GeneratedTokens),
		"cached_tokens": strconv.Itoa(end.CachedTokens), "whole_code_points": flag(!strings.Contains(s.text, "\ufffd"))}, nil
}

func next(a fields) (fields, error) {
	s := streams[a["stream"]]
	timeout := time.Duration(a.number("timeout_us", uint64(time.Hour/time.Microsecond))) * time.Microsecond
	piece, ok, err := s.NextTimeout(timeout)
	if err != nil {
		return nil, err
	}
	s.add(piece)
	return fields{"end": flag(!ok)}, nil
}

func cancelElsewhere(a fields) (fields, error) {
	if reply, err := next(a); err != nil {
		return reply, err
	}
	s := streams[a["stream"]]
	done := make(chan struct{})
	go func() { s.Cancel(); close(done) }()
	reply, err := finish(s)
	<-done
	return reply, err
}

func concurrent(a fields) (fields, error) {
	texts := make([]string, a.number("count", 0))
	errs := make([]error, len(texts))
	var group sync.WaitGroup
	for i := range texts {
		group.Add(1)
		go func() {
			defer group.Done()
			generation, err := begin(a)
			if err == nil {
				texts[i], err = generation.Text()
			}
			errs[i] = err
		}()
	}
	group.Wait()
	same := true
	for _, text := range texts {
		same = same && text == texts[0]
	}
	return fields{"same": flag(same), "text": texts[0]}, errors.Join(errs...)
}

func closeAll(id string) {
	var closers []io.Closer
	if s, ok := streams[id]; ok {
		closers = append(closers, s)
	}
	if s, ok := sessions[id]; ok {
		closers = append(closers, s)
	}
	if m, ok := models[id]; ok {
		closers = append(closers, m)
	}
	if e, ok := engines[id]; ok {
		closers = append(closers, e)
	}
	for _, closer := range closers {
		closer.Close()
	}
}

func reset() {
	for id := range streams {
		closeAll(id)
	}
	for id := range sessions {
		closeAll(id)
	}
	for id := range models {
		closeAll(id)
	}
	for id := range engines {
		closeAll(id)
	}
	clear(streams)
	clear(sessions)
	clear(models)
	clear(engines)
}

func cycle(a fields) (fields, error) {
	config := fastserve.DefaultEngineConfig()
	config.ThreadCount = 1
	engine, err := fastserve.Open(config)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	limit := fastserve.DefaultGenerateConfig()
	limit.MaxTokens = 1
	for range a.number("count", 0) {
		model, err := engine.Load(background, a["path"], nil)
		if err != nil {
			return nil, err
		}
		generation, err := model.Generate(background, "x", fastserve.Options{Config: &limit})
		if err != nil {
			return nil, err
		}
		if _, err := generation.Text(); err != nil {
			return nil, err
		}
		model.Close()
	}
	runtime.GC()
	return nil, nil
}

func sessionCommand(do string, a fields) (fields, error) {
	session := sessions[a["session"]]
	switch do {
	case "session", "fork", "restore", "transfer":
		var made *fastserve.Session
		var err error
		switch do {
		case "fork":
			made, err = session.Fork(-1)
		case "transfer":
			var data []byte
			if data, err = session.Export(); err != nil {
				return nil, err
			}
			if _, ok := a["damaged"]; ok {
				data[len(data)-1] ^= 1
			}
			made, err = models[a["model"]].ImportSession(data)
		case "restore":
			made, err = models[a["model"]].LoadSession(a["path"])
		default:
			made, err = models[a["model"]].NewSession()
		}
		if err == nil {
			sessions[a["id"]] = made
		}
		return nil, err
	case "truncate":
		return nil, session.Truncate(int(a.number("tokens", 0)))
	case "undo":
		return nil, session.Undo()
	case "save":
		return nil, session.Save(a["name"])
	}
	info, err := session.Info()
	if err != nil {
		return nil, err
	}
	ids, err := session.TokenIDs()
	return fields{"tokens": fmt.Sprint(info.TokenCount), "turns": fmt.Sprint(info.TurnCount), "ids": joined(ids)}, err
}

func modelCommand(do string, a fields) (fields, error) {
	model := models[a["model"]]
	switch do {
	case "info":
		info, err := model.Info()
		return fields{"architecture": info.Architecture, "name": info.Name,
			"vocabulary_size": fmt.Sprint(info.VocabularySize)}, err
	case "evict":
		return nil, model.Evict()
	case "model_memory":
		memory, err := model.Memory()
		return fields{"state": fmt.Sprint(memory.State)}, err
	case "tokenize":
		ids, err := model.Tokenize(a["text"])
		return fields{"ids": joined(ids)}, err
	case "detokenize":
		text, err := model.Detokenize(idsOf(a["ids"]))
		return fields{"text": text}, err
	}
	messages := []fastserve.Message{{Role: a["role"], Content: a["content"]}}
	switch do {
	case "chat_ids":
		ids, err := model.TokenizeChat(messages)
		return fields{"ids": joined(ids)}, err
	case "ranges":
		found, err := model.TokenizeRanges(a["text"])
		var ids, starts, ends []int32
		for _, one := range found {
			ids, starts, ends = append(ids, one.ID), append(starts, int32(one.Start)), append(ends, int32(one.End))
		}
		return fields{"ids": joined(ids), "starts": joined(starts), "ends": joined(ends)}, err
	case "token":
		text, attributes, err := model.Token(int32(a.number("token", 0)))
		return fields{"text": string(text), "attributes": fmt.Sprint(int(attributes))}, err
	case "score":
		values, err := model.Score(background, a["prompt"])
		var tenths []int32
		for _, value := range values {
			tenths = append(tenths, int32(math.Floor(float64(value)*10+0.5)))
		}
		return fields{"scores": joined(tenths)}, err
	}
	text, err := model.RenderChat(messages)
	return fields{"text": text}, err
}

func memoryEvent(engine *fastserve.Engine, a fields) (fields, error) {
	timeout := time.Duration(a.number("timeout_us", uint64(time.Hour/time.Microsecond))) * time.Microsecond
	ctx, cancel := context.WithTimeout(background, timeout)
	defer cancel()
	event, err := engine.NextMemoryEvent(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // what ends contexts has a word of its own in the cases
		err = &fastserve.Error{Status: fastserve.StatusErrorTimeout, Message: "no event within the time given"}
	}
	return fields{"pressure": fmt.Sprint(uint32(event.Pressure)), "used": fmt.Sprint(event.UsedBytes),
		"budget": fmt.Sprint(event.BudgetBytes)}, err
}

func engineCommand(do string, a fields) (fields, error) {
	engine := engines[a["engine"]]
	switch do {
	case "pause":
		return nil, engine.Pause()
	case "resume":
		return nil, engine.Resume()
	case "shutdown":
		return nil, engine.Shutdown(-1)
	case "budget":
		return nil, engine.SetMemoryBudget(a.number("bytes", 0))
	case "step_target":
		return nil, engine.SetStepTarget(time.Duration(a.number("us", 0)) * time.Microsecond)
	case "metrics":
		metrics, err := engine.Metrics()
		return fields{"step_target": fmt.Sprint(metrics.StepTargetUs),
			"submitted": fmt.Sprint(metrics.SubmittedRequests)}, err
	case "memory_event":
		return memoryEvent(engine, a)
	case "trim":
		return nil, engine.Trim(fastserve.TrimFlags(a.number("flags", 0)))
	}
	stats, err := engine.MemoryStats()
	return fields{"models": fmt.Sprint(stats.ModelCount), "used": fmt.Sprint(stats.UsedBytes),
		"sessions": fmt.Sprint(stats.SessionCount), "weights": fmt.Sprint(stats.WeightBytes)}, err
}

func withoutEngine(do string, a fields) (fields, error) {
	switch do {
	case "machine":
		machine, err := fastserve.Machine()
		devices, other := fastserve.Devices(fastserve.DeviceKindCpu)
		ceilings, another := fastserve.MeasureMachine(1, 50*time.Millisecond)
		return fields{"cpus": fmt.Sprint(machine.UsableCpuCount), "kernels": machine.Kernels,
				"devices": fmt.Sprint(len(devices)), "measured": flag(ceilings.ReadBytesPerSecond > 0)},
			errors.Join(err, other, another)
	case "inspect":
		info, err := fastserve.Inspect(a["path"])
		if err != nil {
			return nil, err
		}
		json, err := fastserve.InspectJSON(a["path"])
		plan, other := fastserve.PlanJSON(a["path"])
		return fields{"architecture": info.Architecture, "name": info.Name,
			"vocabulary_size": fmt.Sprint(info.VocabularySize), "json": json, "plan": plan}, errors.Join(err, other)
	}
	config := fastserve.DefaultEngineConfig()
	config.ContextTokens = uint32(a.number("context_tokens", 0))
	config.MemoryBudgetBytes = a.number("memory_budget_bytes", 0)
	found, err := fastserve.Estimate(a["path"], fastserve.DefaultLoadConfig(), config)
	parts := found.WeightBytes + found.KvBytes + found.ActivationBytes + found.OtherBytes
	return fields{"weights": fmt.Sprint(found.WeightBytes),
		"complete": flag(found.TotalBytes == parts && parts <= found.PeakBytes)}, err
}

func run(do string, a fields) (fields, error) {
	switch do {
	case "layout":
		return fields{"layout": ""}, nil // cgo reads the header itself
	case "version":
		return fields{"version": fastserve.LibraryVersion(), "abi": fmt.Sprint(fastserve.AbiVersion())}, nil
	case "open":
		return open(a)
	case "load":
		return load(a)
	case "start", "generate":
		generation, err := begin(a)
		if err != nil {
			return nil, err
		}
		s := &stream{Generation: generation}
		if do == "generate" {
			return finish(s)
		}
		streams[a["id"]] = s
		return nil, nil
	case "next":
		return next(a)
	case "finish":
		return finish(streams[a["stream"]])
	case "cancel":
		streams[a["stream"]].Cancel()
		return nil, nil
	case "priority":
		value, _ := strconv.ParseInt(a["priority"], 10, 32)
		return nil, streams[a["stream"]].SetPriority(int32(value))
	case "request_info":
		info, err := streams[a["stream"]].Info()
		return fields{"state": fmt.Sprint(info.State), "generated": fmt.Sprint(info.GeneratedTokenCount)}, err
	case "machine", "inspect", "estimate":
		return withoutEngine(do, a)
	case "cancel_elsewhere":
		return cancelElsewhere(a)
	case "concurrent":
		return concurrent(a)
	case "close":
		closeAll(a["id"])
		return nil, nil
	case "cycle":
		return cycle(a)
	case "reset":
		reset()
		return nil, nil
	case "session", "fork", "truncate", "undo", "save", "restore", "transfer", "session_info":
		return sessionCommand(do, a)
	case "info", "tokenize", "detokenize", "render", "chat_ids", "ranges", "token", "score", "evict", "model_memory":
		return modelCommand(do, a)
	}
	return engineCommand(do, a)
}

func decoded(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			value, _ := strconv.ParseUint(text[i+1:i+3], 16, 8)
			out.WriteByte(byte(value))
			i += 2
		} else {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

func encoded(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

func main() {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		a := fields{}
		for _, pair := range words[1:] {
			key, value, _ := strings.Cut(pair, "=")
			a[key] = decoded(value)
		}
		kind := "ok"
		reply, err := run(words[0], a)
		if refused := new(fastserve.Error); errors.As(err, &refused) {
			kind, reply = "error", fields{"status": refused.Status.Name(), "message": refused.Message}
		} else if err != nil {
			panic(err)
		}
		for key, value := range reply {
			kind += " " + key + "=" + encoded(value)
		}
		fmt.Println(kind)
	}
}
