"""An answer as it comes: an iterator and an asynchronous iterator of pieces of text."""

import array
import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

from . import _raw
from ._library import call, lib, raise_status, read_info
from ._types import EventType, FinishReason, RequestInfo, Status

if TYPE_CHECKING:
    from ._engine import Engine


class Piece(str):
    """Text that new tokens completed, with these tokens. The arrays have the buffer protocol: numpy.asarray(piece.logprobs)
    is a view. `choice` tells several answers apart."""

    token_ids: "array.array[int]"
    logprobs: "array.array[float]"
    top_logprobs: list[list[tuple[int, float]]]
    choice: int


class Ended:
    """How a request, or one of its choices, ended."""

    def __init__(self, event: Any) -> None:
        self.is_last = event.type == EventType.FINISHED
        self.reason = FinishReason(event.finish_reason)
        self.status = event.status
        self.message = ctypes.string_at(event.message, event.message_size).decode() if event.message_size else ""
        self.choice = event.choice
        self.prompt_tokens = event.prompt_token_count
        self.generated_tokens = event.generated_token_count
        self.cached_tokens = event.cached_token_count
        self.cumulative_logprob = event.cumulative_logprob
        self.score = event.score
        self.queue_us, self.first_token_us, self.total_us = event.queue_us, event.first_token_us, event.total_us


def _array(code: str, pointer: Any, count: int) -> Any:
    made = array.array(code)
    if pointer and count:
        made.frombytes(ctypes.string_at(pointer, count * made.itemsize))
    return made


def convert(event: Any) -> Any:
    """What is kept of an event: a Piece, or an Ended."""
    if event.type not in (EventType.TOKENS, EventType.SCORE):
        return Ended(event)
    count, top = event.token_count, event.top_logprob_count
    piece = Piece(event.text[: event.text_size].decode() if event.text_size else "")
    piece.token_ids = _array("i", event.token_ids, count)
    piece.logprobs = _array("f", event.logprobs, count)
    piece.top_logprobs = [[(event.top_logprobs[i * top + j].token_id, event.top_logprobs[i * top + j].logprob)
                           for j in range(top)] for i in range(count)] if top else []
    piece.choice = event.choice
    return piece


class Generation:
    """A running request. Iterate it (`for` or `async for`) for its text piece by piece, or take all with text().

    An answer that fails raises the library's error from the iteration. Leaving a `with` block, close() and the last
    reference cancel what still runs. `ended` tells how it ended, None before."""

    def __init__(self, engine: "Engine", keep: Any) -> None:
        self._engine = engine
        self._keep = keep  # the model or session: in use until the end
        self._sink = engine._pump.open(convert)
        self._request = ctypes.c_uint64(0)
        self._is_over = False
        self.ended: Optional[Ended] = None
        self.choices: list[Ended] = []  # of several answers, as they ended
        self.token_ids: "array.array[int]" = array.array("i")
        self._pieces: list[str] = []

    def _start(self, function: Any, *arguments: Any) -> "Generation":
        try:
            call(function, *arguments, ctypes.byref(self._request))
        except BaseException:
            self._is_over = True
            self._engine._pump.close(self._sink)
            raise
        return self

    def _take(self, item: Any) -> Optional[Piece]:
        """The piece to hand out; None at an end that is no failure."""
        if isinstance(item, Piece):
            if item.choice == 0:
                self.token_ids.extend(item.token_ids)
                self._pieces.append(item)
            return item
        if not item.is_last:
            self.choices.append(item)
            return None
        self.ended, self._is_over = item, True
        if item.reason == FinishReason.ERROR or item.status != Status.OK:
            raise_status(item.status, item.message)
        return None

    def next(self, timeout: Optional[float] = None) -> Optional[Piece]:
        """The next piece, waiting at most `timeout` seconds for it (TimeoutError); None at the end."""
        while not self._is_over:
            piece = self._take(self._engine._pump.next(self._sink, timeout))
            if piece is not None:
                return piece
        return None

    def __iter__(self) -> "Generation":
        return self

    def __next__(self) -> Piece:
        piece = self.next()
        if piece is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> Piece:
        while not self._is_over:
            piece = self._take(await self._engine._pump.next_async(self._sink))
            if piece is not None:
                return piece
        raise StopAsyncIteration

    def text(self) -> str:
        """Waits for the end; all text of the answer (of choice 0, where there are several)."""
        for _ in self:
            pass
        return "".join(self._pieces)

    @property
    def finish_reason(self) -> FinishReason:
        return self.ended.reason if self.ended else FinishReason.NONE

    def cancel(self) -> None:
        """Asks the request to end, from any thread. The iteration ends soon after, with FinishReason.CANCELLED."""
        if not self._is_over:
            lib.fsv_request_cancel(self._engine._handle, self._request, None)

    @property
    def info(self) -> RequestInfo:
        """How far it is; StaleError some time after its end."""
        return read_info(RequestInfo, _raw.fsv_request_info, lib.fsv_request_get_info, self._engine._handle, self._request)

    def set_priority(self, priority: int) -> None:
        """Of a live request, from the next step on."""
        call(lib.fsv_request_set_priority, self._engine._handle, self._request, priority)

    def close(self) -> None:
        """Cancels, and forgets the rest of the answer. Harmless twice."""
        if not self._is_over:
            self.cancel()
            self._is_over = True
            self._engine._pump.close(self._sink)

    def __enter__(self) -> "Generation":
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_is_over", True) and not self._engine._is_foreign():
            self.close()
