#!/usr/bin/env python3
"""Writes tests/golden/templates/language.json, conversations.json and chats.json: what jinja2, set up as transformers does, makes of
templates; given the path of SmolLM2's GGUF file, smollm2.json as well, by the template inside it. The chat templates themselves (templates/*.jinja) are ours, written after the formats that the models'
makers publish; they are rendered here, never fetched. Needs jinja2, transformers, gguf.

language.json: [{"t": template, "v": variables as JSON text, "o": output} or {..., "e": error class}]
conversations.json: [{"name": ..., "messages": JSON text, "tools": ..., "variables": ..., "add_generation_prompt": ...}]
chats.json: [{"template": file, "chat": name of a conversation, "tokens": {...}, "o": output or "e": error class}]
"""
import datetime
import json
import pathlib
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

from template_cases import CASES
from template_chats import CHATS, TEMPLATES

OUT = pathlib.Path(__file__).parent / "templates"
NOW = 1721826000  # 2024-07-24 13:00:00 UTC


def strftime_now(pattern):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(pattern)


def render(template, variables):
    try:
        return {"o": _compile_jinja_template(template).render(strftime_now=strftime_now, **variables)}
    except Exception as error:  # whatever jinja2 raises is the expected outcome
        return {"e": type(error).__name__}


def to_text(value):
    """JSON inside JSON: the tests hand it on as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def write(name, entries):
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    (OUT / name).write_text("[\n" + lines + "\n]\n", encoding="utf-8")


def write_model(path):
    from gguf import GGUFReader
    source = GGUFReader(path).fields["tokenizer.chat_template"].contents()
    cases = []
    for chat in CHATS:
        if "needs" in chat:
            continue
        generation = chat.get("add_generation_prompt", False)
        values = {"messages": chat["messages"], "tools": None, "documents": None, "add_generation_prompt": generation}
        cases.append({"messages": to_text(chat["messages"]), "add_generation_prompt": generation} | render(source, values))
    write("smollm2.json", cases)


def main():
    if len(sys.argv) > 1:
        write_model(sys.argv[1])
    defaults = {"messages": [], "tools": None, "documents": None, "add_generation_prompt": False}
    language = [{"t": template, "v": to_text(variables)} | render(template, defaults | variables) for template, variables in CASES]
    write("language.json", language)
    chats = []
    for file, options in TEMPLATES.items():
        source = (OUT / file).read_text(encoding="utf-8")
        for chat in CHATS:
            if not set(chat.get("needs", [])) <= set(options.get("has", [])):
                continue
            given = {key: chat[key] for key in ("messages", "tools", "variables", "add_generation_prompt") if key in chat}
            values = defaults | {k: v for k, v in given.items() if k != "variables"} | given.get("variables", {})
            values |= {name: options[name] for name in ("bos_token", "eos_token") if name in options}
            tokens = {name: options[name] for name in ("bos_token", "eos_token") if name in options}
            chats.append({"template": file, "chat": chat["name"], "tokens": tokens} | render(source, values))
    inputs = [{"name": chat["name"], "add_generation_prompt": chat.get("add_generation_prompt", False)}
              | {key: to_text(chat[key]) for key in ("messages", "tools", "variables") if key in chat} for chat in CHATS]
    write("conversations.json", inputs)
    write("chats.json", chats)
    errors = sum("e" in case for case in chats)
    print(len(language), "language cases,", len(chats), "chats of", len(TEMPLATES), "templates,", errors, "of them errors")


if __name__ == "__main__":
    main()
