"""What the public header declares, free of C syntax: the emitters see this and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Type:
    """`name` is a scalar ("uint32_t", "char", "void"), a struct, a handle, an alias or a callback of the header."""

    name: str
    pointers: int = 0
    is_const: bool = False  # what the innermost pointer points to
    array: str = ""  # element count of an array field: a number or a constant's name
    callback: "Callback | None" = None  # a function pointer written out in a field


@dataclass(frozen=True)
class Field:
    """A struct's field or a function's parameter."""

    name: str
    type: Type
    doc: str = ""


@dataclass(frozen=True)
class Callback:
    name: str  # of the typedef; empty where a field spells it out
    result: Type
    parameters: list[Field]
    doc: str = ""


@dataclass(frozen=True)
class Function:
    name: str
    result: Type
    parameters: list[Field]
    doc: str = ""

    @property
    def is_fallible(self):
        """Takes the optional `fsv_error*` last."""
        return bool(self.parameters) and self.parameters[-1].type.name == "fsv_error"


@dataclass(frozen=True)
class Struct:
    name: str
    fields: list[Field]
    doc: str = ""

    @property
    def has_size(self):
        return self.fields[0].name == "struct_size"


@dataclass(frozen=True)
class Member:
    name: str
    value: int
    doc: str = ""


# Groups whose prefix alone says too little, or is the name of an object; by their only member where they share a prefix.
ENUM_NAMES = {"FSV_FINISH_": "FinishReason", "FSV_DEVICE_": "DeviceKind", "FSV_LOG_": "LogLevel", "FSV_KV_": "KvDtype",
              "FSV_MEMORY_": "MemoryUse", "FSV_THREADS_": "ThreadPriority", "FSV_LOAD_": "LoadFlags",
              "FSV_TICKET_": "TicketState", "FSV_TOKENIZE_": "TokenizeFlags", "FSV_DETOKENIZE_": "DetokenizeFlags",
              "FSV_TOKEN_": "TokenAttributes", "FSV_CHAT_": "ChatFlags", "FSV_SESSION_": "SessionMode",
              "FSV_CONTEXT_": "ContextFull", "FSV_SCORE_": "ScoreFlags", "FSV_REQUEST_": "RequestState",
              "FSV_EVENT_": "EventType", "FSV_SESSION_TEXT_ONLY": "SessionFlags", "FSV_TRIM_": "TrimFlags",
              "FSV_MODEL_": "ModelState", "FSV_SWAP_": "SwapPolicy", "FSV_PRESSURE_": "PressureFlags"}


@dataclass(frozen=True)
class Enum:
    """Constants that belong together. `prefix` is what their names share: "FSV_FINISH_"."""

    prefix: str
    members: list[Member]
    doc: str = ""

    @property
    def name(self):
        """"Dtype" of "FSV_DTYPE_"; the group of FSV_OK is "Status"."""
        for key in (self.members[0].name, self.prefix):
            if key in ENUM_NAMES:
                return ENUM_NAMES[key]
        words = self.prefix.removeprefix("FSV_").strip("_").lower().split("_")
        return "".join(word.capitalize() for word in words) or "Status"

    def short(self, member):
        return member.name.removeprefix(self.prefix)


@dataclass(frozen=True)
class Constant:
    name: str
    value: int
    doc: str = ""


@dataclass
class Api:
    constants: list[Constant] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)  # fsv_request -> uint64_t
    handles: list[str] = field(default_factory=list)  # opaque structs
    enums: list[Enum] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)

    def struct(self, name):
        return next((struct for struct in self.structs if struct.name == name), None)

    @property
    def version(self):
        """"0.1.0", of the header's own constants."""
        values = {constant.name: constant.value for constant in self.constants}
        return ".".join(str(values[f"FSV_VERSION_{part}"]) for part in ("MAJOR", "MINOR", "PATCH"))


def is_setting(item):
    """A field that a binding's user sets or reads as it is: a number, not a pointer, its count, or bookkeeping."""
    kind = item.type
    return not (kind.pointers or kind.callback or kind.array or kind.name in ("size_t", "fsv_string", "fsv_log_function")
                or item.name in ("struct_size", "reserved", "user_data"))


def is_config(api, struct):
    """Read by the library: passed as `const X*`, or pointed to by such a struct."""
    places = [item.type for function in api.functions for item in function.parameters]
    places += [item.type for other in api.structs for item in other.fields]
    return any(kind.name == struct.name and kind.pointers and kind.is_const for kind in places)


def settings_structs(api):
    """The structs of settings that are worth a type of their own in a language."""
    names = ("fsv_engine_config", "fsv_load_config", "fsv_generate_config", "fsv_sampling", "fsv_beam_search")
    return [api.struct(name) for name in names]


def info_structs(api):
    """The structs that the library fills and that hold nothing but numbers and names."""
    return [struct for struct in api.structs if struct.has_size and not is_config(api, struct)
            and all(is_setting(item) or item.type.array or item.name in ("struct_size", "reserved")
                    for item in struct.fields)]


def pascal(name):
    """"MemoryStats" of "fsv_memory_stats"."""
    return "".join(word.capitalize() for word in name.removeprefix("fsv_").split("_"))


def settings(struct):
    return [item for item in struct.fields if is_setting(item)]


def info_fields(struct):
    return [item for item in struct.fields if item.name not in ("struct_size", "reserved")]
