"""What an engine calls back: the log, and files. Callbacks run on threads of the library, and nothing may be raised at
it."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from typing import Any, BinaryIO, Callable, Optional

from . import _raw
from ._library import make
from ._types import Status

OpenFile = Callable[[str], BinaryIO]
OnMemory = Callable[[int, int, int], Any]


class _Files:
    """An fsv_io over Python's binary files."""

    def __init__(self, open_file: OpenFile) -> None:
        self._open = open_file
        self._files: dict[int, tuple[BinaryIO, threading.Lock]] = {}
        self._numbers = itertools.count(1)

    def open(self, _context: Any, name: Any, name_size: int, file: Any, size_bytes: Any) -> int:
        try:
            opened = self._open(name[:name_size].decode())
            size_bytes[0] = opened.seek(0, os.SEEK_END)
            number = next(self._numbers)
            self._files[number] = opened, threading.Lock()
            file[0] = number
            return Status.OK
        except FileNotFoundError:
            return Status.ERROR_NOT_FOUND
        except BaseException:
            return Status.ERROR_IO

    def read_at(self, _context: Any, file: int, offset: int, buffer: int, size_bytes: int) -> int:
        try:
            opened, lock = self._files[file]
            with lock:  # threads of the library read the same file at once
                opened.seek(offset)
                data = opened.read(size_bytes)
            if len(data) != size_bytes:
                return Status.ERROR_IO
            ctypes.memmove(buffer, data, size_bytes)
            return Status.OK
        except BaseException:
            return Status.ERROR_IO

    def close(self, _context: Any, file: int) -> None:
        try:
            self._files.pop(file)[0].close()
        except BaseException:
            pass  # there is nobody to tell


def _kinds(struct: Any) -> dict[str, Any]:
    """The types of a struct's fields."""
    return {field[0]: field[1] for field in struct._fields_}


class Hooks:
    """Keeps what the library calls as long as the engine is there."""

    def __init__(self, config: Any, log: Optional[Callable[[int, str], Any]], open_file: Optional[OpenFile],
                 on_memory: Optional[OnMemory] = None) -> None:
        self._kept: list[Any] = []
        if log is not None:
            config.log = self._keep(_raw.fsv_log_function(self._logging(log)))
        if open_file is not None:
            config.io = ctypes.pointer(self._io(_Files(open_file)))
        if on_memory is not None:
            kind = _kinds(_raw.fsv_engine_config)["on_memory"]
            config.on_memory = self._keep(kind(self._telling(on_memory)))

    def _keep(self, kept: Any) -> Any:
        self._kept.append(kept)
        return kept

    @staticmethod
    def _logging(log: Callable[[int, str], Any]) -> Callable[..., None]:
        def receive(_user: Any, level: int, message: Any, size: int) -> None:
            try:
                log(level, message[:size].decode("utf-8", "replace"))
            except BaseException:
                pass  # there is nobody to tell

        return receive

    @staticmethod
    def _telling(on_memory: OnMemory) -> Callable[..., None]:
        def tell(_context: Any, pressure: int, used_bytes: int, budget_bytes: int) -> None:
            try:
                on_memory(pressure, used_bytes, budget_bytes)
            except BaseException:
                pass  # there is nobody to tell

        return tell

    def _io(self, files: _Files) -> Any:
        io = self._keep(make(_raw.fsv_io))
        kinds = _kinds(_raw.fsv_io)
        for name in ("open", "read_at", "close"):
            setattr(io, name, self._keep(kinds[name](getattr(files, name))))
        return io

    @property
    def are_used(self) -> bool:
        return bool(self._kept)

    def keeping(self, release: Any) -> Callable[..., Any]:
        """`release`, with a reference to what the engine calls until then."""

        def released(*arguments: Any, _kept: Any = self._kept) -> Any:
            return release(*arguments)

        return released
