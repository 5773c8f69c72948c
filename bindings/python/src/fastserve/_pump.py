"""Hands an engine's events to those who wait for them. There is no thread of the binding's own: of all threads that
wait, one polls for everyone; coroutines let their loop watch the engine's wait handle."""

import asyncio
import collections
import ctypes
import itertools
import threading
import time
from typing import Any, Callable, NamedTuple, Optional

from . import _errors, _raw
from ._library import call, lib, raise_status
from ._types import EventType, Status

BATCH = 64
MEMORY_KEY = 0  # of the events that are the engine's own
WAIT_US_MAX = 100_000  # so that Ctrl-C is seen; ends nothing


class MemoryEvent(NamedTuple):
    """What went or came back for want of memory."""

    pressure: int  # PressureFlags, combined
    used_bytes: int
    budget_bytes: int  # 0: none


class Sink:
    """The events of one request or load. They name it by `key`, which the library brings back as user_data."""

    def __init__(self, key: int, convert: Callable[[Any], Any]) -> None:
        self.key = key
        self.convert = convert  # makes what is kept of an event; the event itself is gone with the next poll
        self.items: collections.deque[Any] = collections.deque()
        self.wake: Optional[Callable[[], None]] = None  # of a waiting coroutine


class Pump:
    def __init__(self, handle: ctypes.c_void_p, is_pumped: bool) -> None:
        self._handle = handle
        self._is_pumped = is_pumped
        self._events = (_raw.fsv_event * BATCH)()
        self._polling = threading.Lock()  # payloads live until the next poll
        self._changed = threading.Condition()  # guards the rest
        self._has_leader = False
        self.memory = Sink(MEMORY_KEY, lambda event: MemoryEvent(event.pressure, event.bytes_done, event.bytes_total))
        self._sinks: dict[int, Sink] = {MEMORY_KEY: self.memory}
        self._keys = itertools.count(1)
        self._watchers: dict[asyncio.AbstractEventLoop, int] = {}

    def open(self, convert: Callable[[Any], Any]) -> Sink:
        with self._changed:
            sink = Sink(next(self._keys), convert)
            self._sinks[sink.key] = sink
            return sink

    def close(self, sink: Sink) -> None:
        with self._changed:
            self._sinks.pop(sink.key, None)

    def next(self, sink: Sink, timeout: Optional[float] = None) -> Any:
        """The next item of `sink`; TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                if sink.items:
                    return sink.items.popleft()
                if self._has_leader:
                    self._follow(deadline)
                    continue
                self._has_leader = True
            try:
                is_over = not self._lead(deadline)
            finally:
                with self._changed:
                    self._has_leader = False
                    self._changed.notify_all()
            if is_over and not sink.items:
                raise _errors.TimeoutError("no event within the time given")

    def _follow(self, deadline: Optional[float]) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise _errors.TimeoutError("no event within the time given")
        self._changed.wait(left)

    def _lead(self, deadline: Optional[float]) -> bool:
        """Waits for events and hands them out. False when the deadline has passed."""
        left_us = WAIT_US_MAX
        if deadline is not None:
            left_us = max(0, min(left_us, int((deadline - time.monotonic()) * 1e6)))
        if self._is_pumped:
            more = ctypes.c_uint32(0)
            call(lib.fsv_engine_step, self._handle, 0, ctypes.byref(more))
        else:
            error = _raw.fsv_error()
            status = lib.fsv_wait(self._handle, left_us, ctypes.byref(error))
            if status not in (Status.OK, Status.ERROR_TIMEOUT):
                raise_status(status, error.message.decode())
        return bool(self.dispatch() or deadline is None or time.monotonic() < deadline)

    def dispatch(self) -> int:
        """Takes what is pending, without waiting."""
        count = ctypes.c_size_t(0)
        with self._polling:
            call(lib.fsv_poll, self._handle, self._events, ctypes.sizeof(_raw.fsv_event), BATCH, ctypes.byref(count))
            with self._changed:
                for event in self._events[: count.value]:
                    self._deliver(event)
                self._changed.notify_all()
        return count.value

    def _deliver(self, event: Any) -> None:
        sink = self._sinks.get(event.user_data)
        if sink is None:
            return  # of a request that was closed before its end
        item = sink.convert(event)
        if sink is self.memory and sink.items:  # one at most, however long nobody asks
            item = item._replace(pressure=item.pressure | sink.items.pop().pressure)
        sink.items.append(item)
        if event.type in (EventType.FINISHED, EventType.LOAD_FINISHED):
            del self._sinks[sink.key]
        if sink.wake is not None:
            sink.wake()

    async def next_async(self, sink: Sink) -> Any:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        sink.wake = wake
        self._watch(loop)
        try:
            while True:
                woken.clear()
                with self._changed:
                    if sink.items:
                        return sink.items.popleft()
                if self._is_pumped:
                    self._lead(None)
                    await asyncio.sleep(0)
                else:
                    await woken.wait()
                    self.dispatch()  # raises where the engine was closed
        finally:
            sink.wake = None
            self._unwatch(loop)

    def wake_all(self) -> None:
        """After the engine was closed: who waits shall see it."""
        with self._changed:
            for sink in list(self._sinks.values()):
                if sink.wake is not None:
                    sink.wake()
            self._changed.notify_all()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            users = self._watchers.get(loop, 0)
            self._watchers[loop] = users + 1
        if users == 0 and not self._is_pumped:
            loop.add_reader(self._wait_handle(), self.dispatch)

    def _unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            users = self._watchers[loop] - 1
            self._watchers[loop] = users
            if users == 0:
                del self._watchers[loop]
        if users == 0 and not self._is_pumped:
            loop.remove_reader(self._wait_handle())

    def _wait_handle(self) -> int:
        handle = ctypes.c_ssize_t(0)
        call(lib.fsv_wait_handle, self._handle, ctypes.byref(handle))
        return handle.value
