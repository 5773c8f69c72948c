package fastserve

// #include "handles.h"
import "C"

import "unsafe"

// Tokenize gives the ids of a text, BOS and EOS as the model asks.
func (m *Model) Tokenize(text string) ([]int32, error) {
	var c scratch
	defer c.free()
	bytes := c.bytes(text)
	return fill(func(ids *int32, capacity C.size_t, count *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_tokenize(m.handle, bytes, C.size_t(len(text)), C.FSV_TOKENIZE_ADD_BOS, (*C.int32_t)(ids), capacity, count, e)
	})
}

// TokenRange is a token, and the bytes of the text that it stands for.
type TokenRange struct {
	ID         int32
	Start, End int
}

// TokenizeRanges gives the ids of a text, and what of it each one stands for.
func (m *Model) TokenizeRanges(text string) ([]TokenRange, error) {
	var c scratch
	defer c.free()
	bytes := c.bytes(text)
	var ranges []C.fsv_text_range
	ids, err := fill(func(ids *C.int32_t, capacity C.size_t, count *C.size_t, e *C.fsv_error) C.fsv_status {
		var first *C.fsv_text_range
		if capacity > 0 {
			ranges = make([]C.fsv_text_range, capacity)
			first = &ranges[0]
		}
		return C.go_fsv_tokenize_ranges(m.handle, bytes, C.size_t(len(text)), C.FSV_TOKENIZE_ADD_BOS, ids, first, capacity,
			count, e)
	})
	found := make([]TokenRange, len(ids))
	for i, id := range ids {
		found[i] = TokenRange{int32(id), int(ranges[i].start), int(ranges[i].end)}
	}
	return found, err
}

// Token gives the bytes of one token, and what it is: TokenAttributes, combined.
func (m *Model) Token(id int32) (bytes []byte, attributes TokenAttributes, err error) {
	var raw C.uint32_t
	bytes, err = fill(func(buffer *byte, capacity C.size_t, size *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_token_get(m.handle, C.int32_t(id), (*C.char)(unsafe.Pointer(buffer)), capacity, size, &raw, e)
	})
	return bytes, TokenAttributes(raw), err
}

// TokenizeChat gives RenderChat's text as token ids: control tokens are the template's own alone.
func (m *Model) TokenizeChat(messages []Message) ([]int32, error) {
	var c scratch
	defer c.free()
	block := messagesOf(&c, messages)
	return fill(func(ids *int32, capacity C.size_t, count *C.size_t, e *C.fsv_error) C.fsv_status {
		return C.go_fsv_chat_tokenize(m.handle, block, C.size_t(len(messages)), C.FSV_CHAT_ADD_GENERATION_PROMPT,
			(*C.int32_t)(ids), capacity, count, e)
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
