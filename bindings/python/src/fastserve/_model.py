"""Loaded models: text in, text out."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from . import _raw, _request
from ._generation import Generation
from ._handle import Handle
from ._library import call, fill, lib, make, read_info
from ._session import Session
from ._types import ChatFlags, DetokenizeFlags, ModelInfo, ModelMemory, TokenizeFlags

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._engine import Engine


class Model(Handle):
    """A model in its engine. After close() no new request can name it; running ones finish."""

    def __init__(self, engine: Engine, handle: ctypes.c_void_p) -> None:
        super().__init__(handle, lib.fsv_model_release)
        self.engine = engine

    def generate(self, prompt: _request.Prompt, **settings: Unpack[_request.GenerateOptions]) -> Generation:
        """Begins an answer to `prompt`, a text or token ids. Returns at once: the answer is iterated."""
        generation = Generation(self.engine, self)
        config = _request.generate_config(self._handle, generation._sink.key, dict(settings))
        return generation._start(lib.fsv_submit_generate, self.engine._handle, self._handle,
                                 ctypes.byref(_request.set_prompt(config, prompt)))

    def chat(self, messages: _request.Messages, *, tools: Optional[Sequence[Any]] = None,
             variables: Optional[Mapping[str, Any]] = None, template: Optional[str] = None,
             **settings: Unpack[_request.GenerateOptions]) -> Generation:
        """Begins an answer to a conversation such as [{"role": "user", "content": "Hello"}]."""
        generation = Generation(self.engine, self)
        config = _request.generate_config(self._handle, generation._sink.key, dict(settings))
        return generation._start(lib.fsv_submit_chat, self.engine._handle, self._handle,
                                 ctypes.byref(_request.chat(messages, tools, variables, template)),
                                 ctypes.byref(config))

    def score(self, prompt: _request.Prompt, *, flags: int = TokenizeFlags.ADD_BOS) -> array.array[float]:
        """log p(token[i] | token[0..i-1]) of every token of `prompt`; the first value is 0."""
        generation = Generation(self.engine, self)
        config = make(_raw.fsv_score_config, flags=flags, user_data=generation._sink.key)
        generation._start(lib.fsv_submit_score, self.engine._handle, self._handle,
                          ctypes.byref(_request.set_prompt(config, prompt)))
        scores = array.array("f")
        for piece in generation:
            scores.extend(piece.logprobs)
        return scores

    def session(self) -> Session:
        """A new, empty session of this model."""
        handle = ctypes.c_void_p()
        call(lib.fsv_session_create, self.engine._handle, self._handle, ctypes.byref(handle))
        return Session(self, handle)

    def load_session(self, path: str) -> Session:
        """A session of a file that Session.save() wrote."""
        encoded, handle = path.encode(), ctypes.c_void_p()
        call(lib.fsv_session_load, self.engine._handle, self._handle, encoded, len(encoded), ctypes.byref(handle))
        return Session(self, handle)

    def import_session(self, data: bytes) -> Session:
        """A session of the bytes that Session.export() gave."""
        handle = ctypes.c_void_p()
        call(lib.fsv_session_import, self.engine._handle, self._handle, data, len(data), ctypes.byref(handle))
        return Session(self, handle)

    @property
    def info(self) -> ModelInfo:
        return read_info(ModelInfo, _raw.fsv_model_info, lib.fsv_model_get_info, self._handle)

    @property
    def memory(self) -> ModelMemory:
        """What it takes, and in `state` (ModelState) whether it is there."""
        return read_info(ModelMemory, _raw.fsv_model_memory, lib.fsv_memory_get_model, self.engine._handle, self._handle)

    def evict(self) -> None:
        """Gives its memory back now: the next request loads it again. WrongStateError with live requests,
        UnsupportedError where LoadFlags.PINNED keeps it."""
        call(lib.fsv_model_evict, self.engine._handle, self._handle)

    def tokenize(self, text: str, flags: int = TokenizeFlags.ADD_BOS) -> list[int]:
        encoded = text.encode()
        return list(fill(ctypes.c_int32, lib.fsv_tokenize, self._handle, encoded, len(encoded), flags))

    def tokenize_ranges(self, text: str, flags: int = TokenizeFlags.ADD_BOS) -> list[tuple[int, int, int]]:
        """Token ids, each with the range of bytes of `text` (in UTF-8) that it stands for: (id, start, end)."""
        encoded, count = text.encode(), ctypes.c_size_t(0)
        call(lib.fsv_tokenize_ranges, self._handle, encoded, len(encoded), flags, None, None, 0, ctypes.byref(count))
        ids = (ctypes.c_int32 * max(1, count.value))()
        ranges = (_raw.fsv_text_range * max(1, count.value))()
        call(lib.fsv_tokenize_ranges, self._handle, encoded, len(encoded), flags, ids, ranges, count.value,
             ctypes.byref(count))
        return [(ids[i], ranges[i].start, ranges[i].end) for i in range(count.value)]

    def token(self, token_id: int) -> tuple[bytes, int]:
        """The bytes of one token, and its TokenAttributes."""
        attributes, size = ctypes.c_uint32(0), ctypes.c_size_t(0)
        call(lib.fsv_token_get, self._handle, token_id, None, 0, ctypes.byref(size), ctypes.byref(attributes))
        buffer = (ctypes.c_char * max(1, size.value))()
        call(lib.fsv_token_get, self._handle, token_id, buffer, size.value, ctypes.byref(size), None)
        return buffer.raw[: size.value], attributes.value

    def detokenize(self, token_ids: Sequence[int], flags: int = DetokenizeFlags.SKIP_SPECIAL) -> str:
        ids = (ctypes.c_int32 * max(1, len(token_ids)))(*token_ids)
        return bytes(fill(ctypes.c_char, lib.fsv_detokenize, self._handle, ids, len(token_ids),
                          flags)).decode("utf-8", "replace")

    def render_chat(self, messages: _request.Messages, flags: int = ChatFlags.ADD_GENERATION_PROMPT) -> str:
        """The conversation as the model's template writes it."""
        return bytes(fill(ctypes.c_char, lib.fsv_chat_render, self._handle, _request.chat_messages(messages),
                          len(messages), flags)).decode()

    def tokenize_chat(self, messages: _request.Messages, flags: int = ChatFlags.ADD_GENERATION_PROMPT) -> list[int]:
        """The same as token ids: control tokens are the template's own alone."""
        return list(fill(ctypes.c_int32, lib.fsv_chat_tokenize, self._handle, _request.chat_messages(messages),
                         len(messages), flags))
