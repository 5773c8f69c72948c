"""The Python runner of bindings/conformance: one command a line in, one reply a line out."""

import ctypes
import gc
import math
import sys
import threading
import urllib.parse

import fastserve
from fastserve import _raw, _types

INTEGERS = {"max_tokens", "seed", "top_k", "ignore_eos", "context_full", "choice_count", "speculation",
            "priority"}
objects = {}


def layout(_):
    lines = []
    for struct in _raw.STRUCTS:
        fields = (f"{name}@{getattr(struct, name).offset}:{getattr(struct, name).size}" for name, *_ in struct._fields_)
        lines.append(" ".join([f"{struct.__name__}={ctypes.sizeof(struct)}", *fields]))
    return {"layout": "\n".join(lines)}


def version(_):
    return {"version": fastserve.version(), "abi": _raw.ABI_VERSION}


def open_engine(a):
    settings = {key: value if key == "write_folder" else int(value) for key, value in a.items() if key != "id"}
    objects[a["id"]] = fastserve.Engine(**{"thread_count": 1, **settings})


def load(a):
    seen = []
    model = objects[a["engine"]].load(a["path"], on_progress=lambda done, total: seen.append((done, total)),
                                      flags=int(a.get("flags", 0)))
    objects[a["id"]] = model
    done, total = seen[-1]
    return {"monotonic": int(seen == sorted(seen)), "complete": int(done == total > 0)}


def info(a):
    found = objects[a["model"]].info
    return {"architecture": found.architecture, "name": found.name, "vocabulary_size": found.vocabulary_size}


def joined(ids):
    return ",".join(map(str, ids))


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def begin(a):
    settings = {key: int(a[key]) for key in INTEGERS & a.keys()}
    if "temperature" in a:
        settings["temperature"] = float(a["temperature"])
    if "stop" in a:
        settings["stop"] = [a["stop"]]
    if "session" in a:
        settings["session"] = objects[a["session"]]
    model = objects[a["model"]]
    if "user" not in a:
        return model.generate(a["prompt"] if "prompt" in a else numbers(a["prompt_ids"]), **settings)
    messages = [{"role": "system", "content": a["system"]}] if "system" in a else []
    messages.append({"role": "user", "content": a["user"]})
    if "then" in a:
        messages += [{"role": "assistant", "content": a["reply"]}, {"role": "user", "content": a["then"]}]
    return model.chat(messages, **settings)


def finish(stream):
    text = stream.text()
    end = stream.ended
    return {"text": text, "ids": joined(stream.token_ids), "finish": end.reason.name.lower(),
            "prompt_tokens": end.prompt_tokens, "generated_tokens": end.generated_tokens,
            "cached_tokens": end.cached_tokens, "whole_code_points": int("\ufffd" not in text)}


def start(a):
    objects[a["id"]] = begin(a)


def next_piece(a):
    timeout = int(a["timeout_us"]) / 1e6 if "timeout_us" in a else None
    return {"end": int(objects[a["stream"]].next(timeout) is None)}


def cancel_elsewhere(a):
    stream = objects[a["stream"]]
    next(stream)
    thread = threading.Thread(target=stream.cancel)
    thread.start()
    reply = finish(stream)
    thread.join()
    return reply


def concurrent(a):
    texts = [None] * int(a["count"])

    def one(index):
        texts[index] = begin(a).text()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"same": int(len(set(texts)) == 1), "text": texts[0]}


def session(a):
    objects[a["id"]] = objects[a["model"]].session()


def fork(a):
    objects[a["id"]] = objects[a["session"]].fork()


def session_info(a):
    found = objects[a["session"]].info
    return {"tokens": found.token_count, "turns": found.turn_count, "ids": joined(objects[a["session"]].token_ids)}


def transfer(a):
    data = bytearray(objects[a["session"]].export())
    if "damaged" in a:
        data[-1] ^= 1
    objects[a["id"]] = objects[a["model"]].import_session(bytes(data))


def machine(_):
    ceilings = fastserve.measure_machine(thread_count=1, duration=0.05)
    return {"cpus": fastserve.machine().usable_cpu_count, "kernels": fastserve.machine().kernels,
            "devices": len(fastserve.devices()), "measured": int(ceilings.read_bytes_per_second > 0)}


def inspect(a):
    found = fastserve.inspect(a["path"])
    return {"architecture": found.architecture, "name": found.name, "vocabulary_size": found.vocabulary_size,
            "json": fastserve.inspect_json(a["path"]), "plan": fastserve.plan_json(a["path"])}


def estimate(a):
    found = fastserve.estimate(a["path"], **{key: int(value) for key, value in a.items() if key != "path"})
    parts = found.weight_bytes + found.kv_bytes + found.activation_bytes + found.other_bytes
    return {"weights": found.weight_bytes, "complete": int(found.total_bytes == parts <= found.peak_bytes)}


def ranges(a):
    ids, starts, ends = zip(*objects[a["model"]].tokenize_ranges(a["text"]))
    return {"ids": joined(ids), "starts": joined(starts), "ends": joined(ends)}


def token(a):
    text, attributes = objects[a["model"]].token(int(a["token"]))
    return {"text": text.decode(), "attributes": int(attributes)}


def chat_ids(a):
    return {"ids": joined(objects[a["model"]].tokenize_chat([{"role": a["role"], "content": a["content"]}]))}


def score(a):
    scores = objects[a["model"]].score(a["prompt"])
    return {"scores": joined(math.floor(value * 10 + 0.5) for value in scores)}


def metrics(a):
    found = objects[a["engine"]].metrics()
    return {"step_target": found.step_target_us, "submitted": found.submitted_requests}


def request_info(a):
    found = objects[a["stream"]].info
    return {"state": found.state, "generated": found.generated_token_count}


def restore(a):
    objects[a["id"]] = objects[a["model"]].load_session(a["path"])


def memory_event(a):
    found = objects[a["engine"]].next_memory_event(int(a["timeout_us"]) / 1e6 if "timeout_us" in a else None)
    return {"pressure": int(found.pressure), "used": found.used_bytes, "budget": found.budget_bytes}


def stats(a):
    found = objects[a["engine"]].memory_stats()
    return {"models": found.model_count, "used": found.used_bytes, "sessions": found.session_count,
            "weights": found.weight_bytes}


def cycle(a):
    with fastserve.Engine(thread_count=1) as engine:
        for _ in range(int(a["count"])):
            with engine.load(a["path"]) as model:
                model.generate("x", max_tokens=1).text()
    gc.collect()


def reset(_):
    for name in reversed(list(objects)):
        objects.pop(name).close()


COMMANDS = {
    "layout": layout, "version": version, "open": open_engine, "load": load, "info": info, "start": start,
    "next": next_piece, "cancel_elsewhere": cancel_elsewhere, "concurrent": concurrent, "session": session, "fork": fork,
    "transfer": transfer, "machine": machine, "inspect": inspect, "estimate": estimate, "ranges": ranges, "token": token,
    "chat_ids": chat_ids, "score": score, "metrics": metrics, "request_info": request_info,
    "step_target": lambda a: objects[a["engine"]].set_step_target(int(a["us"])),
    "session_info": session_info, "restore": restore, "stats": stats, "cycle": cycle, "reset": reset,
    "tokenize": lambda a: {"ids": joined(objects[a["model"]].tokenize(a["text"]))},
    "detokenize": lambda a: {"text": objects[a["model"]].detokenize(numbers(a["ids"]))},
    "render": lambda a: {"text": objects[a["model"]].render_chat([{"role": a["role"], "content": a["content"]}])},
    "generate": lambda a: finish(begin(a)),
    "finish": lambda a: finish(objects[a["stream"]]),
    "cancel": lambda a: objects[a["stream"]].cancel(),
    "close": lambda a: objects[a["id"]].close(),
    "pause": lambda a: objects[a["engine"]].pause(),
    "resume": lambda a: objects[a["engine"]].resume(),
    "shutdown": lambda a: objects[a["engine"]].shutdown(),
    "truncate": lambda a: objects[a["session"]].truncate(int(a["tokens"])),
    "save": lambda a: objects[a["session"]].save(a["name"]),
    "budget": lambda a: objects[a["engine"]].set_memory_budget(int(a["bytes"])),
    "trim": lambda a: objects[a["engine"]].trim(int(a["flags"])),
    "priority": lambda a: objects[a["stream"]].set_priority(int(a["priority"])),
    "evict": lambda a: objects[a["model"]].evict(),
    "model_memory": lambda a: {"state": objects[a["model"]].memory.state},
    "memory_event": memory_event,
    "undo": lambda a: objects[a["session"]].undo(),
}


def answer(line):
    do, *pairs = line.split(" ")
    arguments = {key: urllib.parse.unquote(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    try:
        kind, reply = "ok", COMMANDS[do](arguments) or {}
    except fastserve.FastserveError as error:
        kind, reply = "error", {"status": f"FSV_{error.status.name}", "message": str(error)}
    return " ".join([kind, *(f"{key}={urllib.parse.quote(str(value), safe='')}" for key, value in reply.items())])


assert _types.VERSION == fastserve.__version__
for command in sys.stdin:
    print(answer(command.rstrip("\n")), flush=True)
