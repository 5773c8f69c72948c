"""The shared library: where it is found, how its structs are made, and how its failures become exceptions."""

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path
from typing import Any, NoReturn, Optional, TypeVar

from . import _errors, _raw, _types

Info = TypeVar("Info")
UNLIMITED = 2**64 - 1  # of timeouts in microseconds, and of sizes


def _find() -> str:
    named = os.environ.get("FASTSERVE_LIBRARY")
    if named:
        return named
    file = {"win32": "fastserve.dll", "darwin": "libfastserve.dylib"}.get(sys.platform, "libfastserve.so")
    packaged = Path(__file__).with_name(file)
    if packaged.exists():
        return str(packaged)
    return ctypes.util.find_library("fastserve") or file


def _load() -> ctypes.CDLL:
    library = _raw.load(_find())
    if library.fsv_abi_version() != _raw.ABI_VERSION:
        raise ImportError(f"libfastserve has ABI version {library.fsv_abi_version()}, this package needs "
                          f"{_raw.ABI_VERSION}")
    return library


lib = _load()


def version() -> str:
    """The version of the library in use."""
    return str(lib.fsv_version_string().decode())


def raise_status(status: int, message: str) -> NoReturn:
    kind = _errors.BY_STATUS.get(status, _errors.InternalError)
    raise kind(message or lib.fsv_status_name(status).decode())


def call(function: Any, *arguments: Any) -> None:
    """Calls a fallible function; its failure is raised with the library's own message."""
    error = _raw.fsv_error()
    status = function(*arguments, ctypes.byref(error))
    if status != _types.Status.OK:
        raise_status(status, error.message.decode("utf-8", "replace"))


def make(struct: Any, **fields: Any) -> Any:
    """A config or info struct with the library's defaults, then with `fields`."""
    made = struct()
    initialise = getattr(lib, f"{struct.__name__}_init")
    initialise(ctypes.byref(made), *[ctypes.sizeof(struct)] * (len(initialise.argtypes) - 1))
    known = {name for name, *_ in struct._fields_}
    for name, value in fields.items():
        if name not in known:
            raise TypeError(f"{struct.__name__.removeprefix('fsv_')} has no setting '{name}'")
        setattr(made, name, value)
    return made


def info(kind: type[Info], struct: Any) -> Info:
    """The Python form of a filled info struct: char arrays become strings."""
    values = {}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        value = getattr(struct, name)
        values[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return kind(**values)


def read_info(kind: type[Info], struct: Any, function: Any, *arguments: Any) -> Info:
    made = make(struct)
    call(function, *arguments, ctypes.byref(made))
    return info(kind, made)


def microseconds(timeout: Optional[float]) -> int:
    """Of seconds; None waits for ever."""
    return UNLIMITED if timeout is None else max(0, int(timeout * 1e6))


def fill(item: Any, function: Any, *arguments: Any) -> Any:
    """An array of `item` from a function that takes (array, capacity, &count): asked for its size first."""
    count = ctypes.c_size_t(0)
    call(function, *arguments, None, 0, ctypes.byref(count))
    array = (item * max(1, count.value))()
    call(function, *arguments, array, count.value, ctypes.byref(count))
    return array[: count.value]


def pointer_to(text: bytes) -> Any:
    """`text` as a struct's `const char*`; the field keeps the bytes alive."""
    return ctypes.cast(ctypes.c_char_p(text), ctypes.POINTER(ctypes.c_char))
