"""Settings of requests: from keywords to the structs of the C ABI."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _raw
from ._library import call, lib, make, pointer_to
from ._types import BeamSearchOptions, GenerateConfigOptions, SamplingOptions

if TYPE_CHECKING:
    from ._session import Session

Messages = Sequence[Mapping[str, Any]]
Prompt = Union[str, Sequence[int]]
_SAMPLING = frozenset(SamplingOptions.__annotations__)


class GenerateOptions(GenerateConfigOptions, SamplingOptions, total=False):
    """Settings of a request, all optional: those of fsv_generate_config and fsv_sampling by name, and these."""

    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    logit_bias: Mapping[int, float]
    session: Session
    beam_search: BeamSearchOptions


def string(text: str) -> Any:
    encoded = text.encode()
    return _raw.fsv_string(pointer_to(encoded), len(encoded))


def _sampling(model: Any, settings: dict[str, Any], bias: Optional[Mapping[int, float]]) -> Any:
    """The model's own sampling, changed by `settings`."""
    sampling = make(_raw.fsv_sampling)
    call(lib.fsv_model_default_sampling, model, ctypes.byref(sampling))
    for name, value in settings.items():
        setattr(sampling, name, value)
    if bias:
        sampling.logit_bias = (_raw.fsv_logit_bias * len(bias))(*(_raw.fsv_logit_bias(*pair) for pair in bias.items()))
        sampling.logit_bias_count = len(bias)
    return sampling


def generate_config(model: Any, key: int, settings: dict[str, Any]) -> Any:
    """An fsv_generate_config without its prompt."""
    settings = dict(settings)
    stop, stop_ids = settings.pop("stop", ()), settings.pop("stop_token_ids", ())
    bias, session = settings.pop("logit_bias", None), settings.pop("session", None)
    drawn = {name: settings.pop(name) for name in list(settings) if name in _SAMPLING}
    beams = settings.pop("beam_search", None)
    config = make(_raw.fsv_generate_config, user_data=key, **settings)
    if drawn or bias:
        config.sampling = ctypes.pointer(_sampling(model, drawn, bias))
    if stop:
        config.stop_strings = (_raw.fsv_string * len(stop))(*map(string, stop))
        config.stop_string_count = len(stop)
    if stop_ids:
        config.stop_token_ids = (ctypes.c_int32 * len(stop_ids))(*stop_ids)
        config.stop_token_count = len(stop_ids)
    if beams is not None:
        config.beam_search = ctypes.pointer(make(_raw.fsv_beam_search, **beams))
    if session is not None:
        config.session = session._handle
    return config


def set_prompt(config: Any, prompt: Prompt) -> Any:
    if isinstance(prompt, str):
        encoded = prompt.encode()
        config.text, config.text_size = pointer_to(encoded), len(encoded)
    else:
        config.token_ids = (ctypes.c_int32 * max(1, len(prompt)))(*prompt)
        config.token_count = len(prompt)
    return config


def chat(messages: Messages, tools: Optional[Sequence[Any]], variables: Optional[Mapping[str, Any]],
         template: Optional[str]) -> Any:
    """An fsv_chat: the library takes messages as JSON, as every template knows them."""
    made = make(_raw.fsv_chat, messages_json=string(json.dumps(list(messages))))
    if tools:
        made.tools_json = string(json.dumps(list(tools)))
    if variables:
        made.variables_json = string(json.dumps(dict(variables)))
    if template:
        made.template_text = string(template)
    return made


def chat_messages(messages: Messages) -> Any:
    """An array of fsv_chat_message, for the functions that render without a request."""
    made = (_raw.fsv_chat_message * max(1, len(messages)))()
    for item, message in zip(made, messages):
        role, content = message["role"].encode(), message["content"].encode()
        item.role, item.role_size = pointer_to(role), len(role)
        item.content, item.content_size = pointer_to(content), len(content)
    return made
