"""Sessions: conversations whose keys and values are kept between requests."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Optional

from . import _raw
from ._handle import Handle
from ._library import UNLIMITED, call, fill, lib, read_info
from ._types import SessionInfo

if TYPE_CHECKING:
    from ._model import Model


class Session(Handle):
    """A text kept between requests, which name it: model.generate(prompt, session=session)."""

    def __init__(self, model: Model, handle: ctypes.c_void_p) -> None:
        super().__init__(handle, lib.fsv_session_release)
        self.model = model

    def fork(self, token_count: Optional[int] = None) -> Session:
        """A session of the first `token_count` tokens (None: all); what is computed of them is shared."""
        handle = ctypes.c_void_p()
        count = ctypes.c_size_t(UNLIMITED if token_count is None else token_count)
        call(lib.fsv_session_fork, self._handle, count, ctypes.byref(handle))
        return Session(self.model, handle)

    def truncate(self, token_count: int) -> None:
        call(lib.fsv_session_truncate, self._handle, token_count)

    def undo(self) -> None:
        """Takes the last turn back."""
        call(lib.fsv_session_undo, self._handle)

    def save(self, name: str, flags: int = 0) -> None:
        """Writes the file `name` of the engine's write_folder; Model.load_session() reads it."""
        encoded = name.encode()
        call(lib.fsv_session_save, self._handle, encoded, len(encoded), flags)

    def export(self, flags: int = 0) -> bytes:
        """The same as bytes, for Model.import_session()."""
        pieces: list[bytes] = []

        def write(_context: object, data: int, size: int, _total: int) -> int:
            pieces.append(ctypes.string_at(data, size))
            return 0

        call(lib.fsv_session_export, self._handle, flags, _raw.fsv_write_function(write), None)
        return b"".join(pieces)

    @property
    def info(self) -> SessionInfo:
        return read_info(SessionInfo, _raw.fsv_session_info, lib.fsv_session_get_info, self._handle)

    @property
    def token_ids(self) -> list[int]:
        return list(fill(ctypes.c_int32, lib.fsv_session_get_tokens, self._handle))
