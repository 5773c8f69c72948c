"""What can be asked without an engine: devices, the machine, what a model's file holds and what it would take."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _raw
from ._library import call, fill, lib, make, pointer_to, read_info
from ._types import DeviceInfo, DeviceKind, EngineConfigOptions, LoadConfigOptions, MachineCeilings, MachineInfo, \
    MemoryEstimate, ModelInfo

if TYPE_CHECKING:
    from typing_extensions import Unpack

PathLike = Union[str, "os.PathLike[str]"]


def devices(kind: int = DeviceKind.CPU) -> list[DeviceInfo]:
    """Those of a kind (DeviceKind) on this machine; asking for CUDA's loads its driver, where there is one."""
    count = ctypes.c_uint32(0)
    call(lib.fsv_device_count, kind, ctypes.byref(count))
    return [read_info(DeviceInfo, _raw.fsv_device_info, lib.fsv_device_get_info, kind, index)
            for index in range(count.value)]


def machine() -> MachineInfo:
    """What the library found out about this machine; measures nothing."""
    return read_info(MachineInfo, _raw.fsv_machine_info, lib.fsv_machine_probe)


def measure_machine(thread_count: int = 0, duration: float = 0.5) -> MachineCeilings:
    """Ceilings of this machine, measured for `duration` seconds."""
    return read_info(MachineCeilings, _raw.fsv_machine_ceilings, lib.fsv_machine_measure, thread_count,
                     int(duration * 1000))


def inspect(path: PathLike) -> ModelInfo:
    """Reads a file's header and says what it holds."""
    encoded = os.fsencode(path)
    return read_info(ModelInfo, _raw.fsv_model_info, lib.fsv_model_inspect, encoded, len(encoded))


def _json_of(function: Any, path: PathLike) -> str:
    encoded = os.fsencode(path)
    return bytes(fill(ctypes.c_char, function, encoded, len(encoded))).decode()


def inspect_json(path: PathLike) -> str:
    """All metadata and tensors of a file, as one JSON object."""
    return _json_of(lib.fsv_model_inspect_json, path)


def plan_json(path: PathLike) -> str:
    """Which kernels of this processor serve which tensors of a file, as one JSON object."""
    return _json_of(lib.fsv_model_plan_json, path)


def estimate(path: PathLike, load: Optional[LoadConfigOptions] = None,
             **settings: Unpack[EngineConfigOptions]) -> MemoryEstimate:
    """What the model would take in an engine of these settings, loaded with those of `load`."""
    encoded = os.fsencode(path)
    load_config = make(_raw.fsv_load_config, path=pointer_to(encoded), path_size=len(encoded), **(load or {}))
    engine_config = make(_raw.fsv_engine_config, **settings)
    return read_info(MemoryEstimate, _raw.fsv_memory_estimate, lib.fsv_model_estimate, ctypes.byref(load_config),
                     ctypes.byref(engine_config))
