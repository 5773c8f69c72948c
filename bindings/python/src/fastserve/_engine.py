"""Engines: where models are loaded and requests run."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Union

from . import _errors, _hooks, _raw
from ._handle import Handle
from ._library import call, lib, make, microseconds, pointer_to, raise_status, read_info
from ._model import Model
from ._pump import MemoryEvent, Pump
from ._types import EngineConfigOptions, EventType, LoadConfigOptions, LogLevel, MemoryStats, Metrics, Mode, Status

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._request import GenerateOptions

Log = Callable[[int, str], Any]
OnMemory = _hooks.OnMemory
Progress = Callable[[int, int], Any]
PathLike = Union[str, "os.PathLike[str]"]


def _load_event(event: Any) -> tuple[bool, bool, int, int]:
    """Whether the load has ended, whether it failed, bytes done and bytes in all."""
    return event.type == EventType.LOAD_FINISHED, event.status != Status.OK, event.bytes_done, event.bytes_total


class Engine(Handle):
    """Runs requests of the models loaded in it, many at once. Settings are those of fsv_engine_config, by name, and:
    `log(level, line)`, called on the library's threads (it must not call the library); `write_folder`, the one folder that
    the library may write into; `on_memory(pressure, used_bytes, budget_bytes)`, called on the engine's thread where memory
    is short (PressureFlags.SHORT) before anything is given up, and after something was: it may call set_memory_budget()
    and memory_stats(), nothing else of the library; `open_file(name)`, which opens models and sessions instead of the system: it returns a
    binary file that can seek, or raises FileNotFoundError."""

    def __init__(self, *, log: Optional[Log] = None, write_folder: Optional[PathLike] = None,
                 open_file: Optional[_hooks.OpenFile] = None, on_memory: Optional[OnMemory] = None,
                 **settings: Unpack[EngineConfigOptions]) -> None:
        config = make(_raw.fsv_engine_config, **settings)
        self._hooks = _hooks.Hooks(config, log, open_file, on_memory)
        if write_folder is not None:
            folder = os.fsencode(write_folder)
            config.write_folder, config.write_folder_size = pointer_to(folder), len(folder)
        if log is not None and "log_level" not in settings:
            config.log_level = LogLevel.INFO
        handle = ctypes.c_void_p()
        call(lib.fsv_engine_create, ctypes.byref(config), ctypes.byref(handle))
        super().__init__(handle, self._hooks.keeping(lib.fsv_engine_release))
        self._finalizer.atexit = self._hooks.are_used  # the library must not call an interpreter that ends
        self._pump = Pump(handle, config.mode == Mode.PUMPED)
        self.model: Optional[Model] = None  # of predict()

    def close(self) -> None:
        """Ends all that runs and returns the memory. Harmless twice."""
        super().close()
        if not self._is_foreign():
            self._pump.wake_all()

    def load(self, path: PathLike, on_progress: Optional[Progress] = None, timeout: Optional[float] = None,
             **settings: Unpack[LoadConfigOptions]) -> Model:
        """Loads a GGUF file or a Hugging Face folder and waits for it. `on_progress(bytes_done, bytes_total)` is called
        meanwhile; what it raises cancels the load, as does `timeout` (seconds) with TimeoutError."""
        encoded = os.fsencode(path)
        sink = self._pump.open(_load_event)
        ticket = ctypes.c_uint64(0)
        try:
            config = make(_raw.fsv_load_config, path=pointer_to(encoded), path_size=len(encoded), user_data=sink.key,
                          **settings)
            call(lib.fsv_model_load, self._handle, ctypes.byref(config), ctypes.byref(ticket))
            has_ended = False
            while not has_ended:
                has_ended, has_failed, *progress = self._pump.next(sink, timeout)
                if on_progress is not None and not has_failed:
                    on_progress(*progress)
            handle = ctypes.c_void_p()
            taken, ticket = ticket, ctypes.c_uint64(0)  # take_model ends the ticket, whatever it returns
            call(lib.fsv_ticket_take_model, self._handle, taken, ctypes.byref(handle))
        finally:
            self._pump.close(sink)
            if ticket.value:
                lib.fsv_ticket_cancel(self._handle, ticket, None)
        return Model(self, handle)

    def predict(self, prompts: Iterable[str], **settings: Unpack[GenerateOptions]) -> list[str]:
        """The answers to all prompts, computed together, by the model that create_engine() was given."""
        if self.model is None:
            raise _errors.WrongStateError("this engine was created without a model: fastserve.create_engine(model)")
        running = [self.model.generate(prompt, **settings) for prompt in prompts]
        return [generation.text() for generation in running]

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Whether an event is pending, waiting at most `timeout` seconds for one."""
        error = _raw.fsv_error()
        status = lib.fsv_wait(self._handle, microseconds(timeout), ctypes.byref(error))
        if status not in (Status.OK, Status.ERROR_TIMEOUT):
            raise_status(status, error.message.decode())
        return bool(status == Status.OK)

    def step(self, max_us: int = 0) -> bool:
        """Pumped engines: works for about `max_us` microseconds; whether work is left."""
        more = ctypes.c_uint32(0)
        call(lib.fsv_engine_step, self._handle, max_us, ctypes.byref(more))
        return bool(more.value)

    def pause(self) -> None:
        call(lib.fsv_engine_pause, self._handle)

    def resume(self) -> None:
        call(lib.fsv_engine_resume, self._handle)

    def shutdown(self, timeout: Optional[float] = None) -> None:
        """Refuses new work and lets running requests finish within `timeout` seconds, then cancels them."""
        call(lib.fsv_engine_shutdown, self._handle, microseconds(timeout))

    def set_step_target(self, target_us: int) -> None:
        """The latency that 95 of 100 steps are to stay within, from the next step on; 0: none."""
        call(lib.fsv_engine_set_step_target, self._handle, target_us)

    def set_memory_budget(self, budget_bytes: int) -> None:
        """Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text."""
        call(lib.fsv_memory_set_budget, self._handle, budget_bytes)

    def trim(self, flags: int = 0) -> None:
        """Gives memory that nobody holds back to the system, and what `flags` (TrimFlags) name."""
        call(lib.fsv_memory_trim, self._handle, flags)

    def next_memory_event(self, timeout: Optional[float] = None) -> MemoryEvent:
        """Waits for the next event of an engine with memory_events=1; TimeoutError after `timeout` seconds. What came while
        nobody waited is one event."""
        event: MemoryEvent = self._pump.next(self._pump.memory, timeout)
        return event

    def memory_stats(self) -> MemoryStats:
        return read_info(MemoryStats, _raw.fsv_memory_stats, lib.fsv_memory_get_stats, self._handle)

    def metrics(self) -> Metrics:
        return read_info(Metrics, _raw.fsv_metrics, lib.fsv_metrics_snapshot, self._handle)


def load_model(path: PathLike, on_progress: Optional[Progress] = None, timeout: Optional[float] = None, *,
               log: Optional[Log] = None, write_folder: Optional[PathLike] = None,
               open_file: Optional[_hooks.OpenFile] = None, **settings: Unpack[EngineConfigOptions]) -> Model:
    """Loads a model into an engine of its own, with these engine settings. The engine ends with model.engine.close() or
    with the last reference to both."""
    engine = Engine(log=log, write_folder=write_folder, open_file=open_file, **settings)
    return engine.load(path, on_progress, timeout)


def create_engine(model: Union[Model, PathLike, None] = None, engine: str = "native",
                  **settings: Unpack[EngineConfigOptions]) -> Engine:
    """An engine whose predict() uses `model`: a loaded one (then its own engine, and no settings), or a path."""
    if engine != "native":
        raise ValueError(f"engine '{engine}' is not one of: native")
    if isinstance(model, Model):
        if settings:
            raise ValueError("the engine of a loaded model has its settings already")
        model.engine.model = model
        return model.engine
    created = Engine(**settings)
    if model is not None:
        created.model = created.load(model)
    return created
