"""What engines, models and sessions have in common: a handle of the library that is released once."""

import ctypes
import os
import weakref
from types import TracebackType
from typing import Any, Optional, TypeVar

from . import _errors

Self = TypeVar("Self", bound="Handle")


def _release(function: Any, handle: int, process: int) -> None:
    # A child of fork() has the parent's handles, but not the threads behind them: it must leave them alone.
    if os.getpid() == process:
        function(handle, None)


class Handle:
    """Closed by close(), by the end of a `with` block, or with the last reference. Closing twice is harmless; whatever
    is called after it raises StaleError. Every method may be called from any thread."""

    def __init__(self, handle: ctypes.c_void_p, release: Any) -> None:
        self._value = handle
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, _release, release, handle.value or 0, self._process)
        self._finalizer.atexit = False

    def _is_foreign(self) -> bool:
        return os.getpid() != self._process

    @property
    def _handle(self) -> ctypes.c_void_p:
        if self._is_foreign():
            raise _errors.WrongStateError(f"this {type(self).__name__} belongs to the process that forked this one")
        return self._value  # after close() a number that the library knows to be stale

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()
