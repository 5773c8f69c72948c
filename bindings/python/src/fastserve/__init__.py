"""fastserve: language models in your own process.

    import fastserve
    model = fastserve.load_model("model.gguf")
    for piece in model.chat([{"role": "user", "content": "Hello"}]):
        print(piece, end="", flush=True)
"""

from . import _errors, _types
from ._engine import Engine, create_engine, load_model
from ._errors import *  # noqa: F403
from ._generation import Ended, Generation, Piece
from ._library import version
from ._machine import devices, estimate, inspect, inspect_json, machine, measure_machine, plan_json
from ._model import Model
from ._pump import MemoryEvent
from ._request import GenerateOptions
from ._session import Session
from ._types import *  # noqa: F403
from ._types import VERSION as __version__

__all__ = [
    "Ended", "Engine", "GenerateOptions", "Generation", "MemoryEvent", "Model", "Piece", "Session", "__version__",
    "create_engine", "devices", "estimate", "inspect", "inspect_json", "load_model", "machine", "measure_machine",
    "plan_json", "version",
]
__all__ += _types.__all__ + _errors.__all__
