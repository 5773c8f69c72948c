#!/usr/bin/env python3
"""Runs the conformance cases (cases.json) against the runner program of a binding.

run.py NAME [--models FOLDER] [--layout PROGRAM] [--results FILE] -- RUNNER [ARGUMENT...]

The runner reads one command a line on stdin, "do key=value ...", and answers each with one line: "ok key=value ...", or
"error status=NAME message=TEXT" where the binding raised. Values are percent-encoded UTF-8. docs/ADD_A_BINDING.md lists
the commands. With --results all replies are compared with those that another binding left in FILE, or left there.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
CYCLES = 100  # loads and unloads of the leak check
LEAK_BYTES_MAX = 12 << 20  # a leak of the tiny model alone would be four times as much


class Failure(Exception):
    pass


class Runner:
    """The program under test, one command and one reply at a time."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, do, values):
        quoted = (f"{key}={urllib.parse.quote(str(value), safe='')}" for key, value in values.items())
        try:
            self.process.stdin.write((" ".join([do, *quoted]) + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # how it ended is told below
        line = self.process.stdout.readline().decode()
        if not line:
            raise Failure(f"the runner ended with {self.process.wait()} at: {do} {values}")
        kind, *pairs = line.rstrip("\n").split(" ")
        reply = {key: urllib.parse.unquote(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        if kind == "error":
            return {"error": reply["status"], "message": reply["message"]}
        if kind != "ok":
            raise Failure(f"no reply to {do}: {line!r}")
        return reply

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise Failure(f"the runner ended with {self.process.returncode}")


class Suite:
    def __init__(self, answers, files, facts, folder):
        self.answers, self.files, self.facts, self.folder = answers, files, facts, folder
        self.replies = {}  # of this case, by their "as"

    def look_up(self, text):
        """"@cat.ids" of tiny.json, "@version" of the header, "$first.ids" of an earlier reply, "{tiny}" a file."""
        if text.startswith("@"):
            name, _, key = text[1:].partition(".")
            value = self.answers[name][key] if key else self.facts[name]
            return ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if text.startswith("$"):
            name, _, key = text[1:].partition(".")
            return self.replies[name][key]
        return self.files.get(text, text)

    def matches(self, expected, got):
        if expected == "*":
            return got not in (None, "")
        if got is None:
            return False
        if expected.startswith("~"):
            return self.look_up(expected[1:]) in got
        if expected.startswith("!"):
            return got != self.look_up(expected[1:])
        return got == self.look_up(expected)

    def step(self, runner, step):
        values = {key: self.look_up(value) for key, value in step.items() if key not in ("do", "expect", "as", "vary")}
        reply = runner.ask(step["do"], values)
        expected = dict(step.get("expect", {}))
        if "error" in reply and "error" not in expected:
            raise Failure(f"{step}: {reply['error']}: {reply['message']}")
        for key, value in expected.items():
            if not self.matches(value, reply.get(key)):
                raise Failure(f"{step}: {key} is {reply.get(key)!r}, expected {self.look_up(value)!r}; all: {reply}")
        self.replies[step.get("as", "")] = reply
        return None if step.get("vary") else {key: value.replace(self.folder, "FOLDER") for key, value in reply.items()}

    def case(self, runner, case):
        self.replies = {}
        replies = [self.step(runner, step) for step in case["steps"]]
        runner.ask("reset", {})
        return replies


def check_layout(runner, program):
    """The binding's structs have the sizes and offsets that the C compiler gave them."""
    reply = runner.ask("layout", {})
    theirs = [line for line in reply["layout"].splitlines() if line]
    if not theirs:
        return "uses the C header itself"
    ours = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in ours:
        if line not in theirs:
            name = line.partition("=")[0]
            other = next((other for other in theirs if other.startswith(name + "=")), "nothing")
            raise Failure(f"layout: C has\n  {line}\nthe binding has\n  {other}")
    return f"{len(ours)} structs as in C"


def check_leaks(runner, path):
    """Loads and unloads; what stays resident of the second half is a leak."""
    runner.ask("cycle", {"path": path, "count": CYCLES // 2})
    before = runner.resident_bytes()
    runner.ask("cycle", {"path": path, "count": CYCLES})
    grown = runner.resident_bytes() - before
    if grown > LEAK_BYTES_MAX:
        raise Failure(f"{CYCLES} loads and unloads left {grown} bytes behind")
    return f"{CYCLES} loads and unloads: {grown / 1024:+.0f} KiB"


def compare(results, name, case, replies):
    """Every binding says the same."""
    key = case["name"]
    if key not in results:
        results[key] = [name, replies]
        return
    other, theirs = results[key]
    for step, reply, their in zip(case["steps"], replies, theirs):
        if reply != their:
            raise Failure(f"{step}: {name} says {reply}, {other} says {their}")


def make_files(folder, smollm2):
    """The model under its own name and under a hard one; a file that is none."""
    tiny, strange = folder / "tiny.gguf", folder / "模型 ünï 🐱.gguf"
    for path in (tiny, strange):
        shutil.copyfile(HERE / "tiny.gguf.bin", path)
    return {"{tiny}": str(tiny), "{unicode}": str(strange), "{missing}": str(folder / "no such model.gguf"),
            "{corrupt}": str(HERE / "cases.json"), "{saves}": str(folder), "{kept}": str(folder / "kept.session"), "{smollm2}": str(smollm2), "{long}": "tick tock " * 100}


def facts():
    """Version numbers as the header has them."""
    text = (HERE.parents[1] / "include/fastserve.h").read_text(encoding="utf-8")
    numbers = dict(line.split()[1:3] for line in text.splitlines() if line.startswith("#define FSV_"
                   ) and len(line.split()) >= 3)
    version = ".".join(numbers[f"FSV_VERSION_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))
    return {"version": version, "abi": numbers["FSV_ABI_VERSION"]}


def run_group(group, cases, runner, suite, results, name):
    failed = 0
    for case in cases:
        try:
            replies = suite.case(runner, case)
            compare(results, name, case, replies)
            print(f"{name}: {group}: {case['name']}: ok", flush=True)
        except Failure as failure:
            failed += 1
            print(f"{name}: {group}: {case['name']}: FAILED\n  {failure}", flush=True)
            if runner.process.poll() is not None:
                break
            runner.ask("reset", {})
    return failed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--models", type=pathlib.Path, help="folder with the packaged models; without it only the tiny one")
    parser.add_argument("--layout", required=True, help="the compiled layout.c")
    parser.add_argument("--results", type=pathlib.Path, help="replies to compare with, made if not there")
    parser.add_argument("runner", nargs="+")
    return parser.parse_args()


def main():
    options = arguments()
    cases = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
    answers = json.loads((HERE / "tiny.json").read_text(encoding="utf-8"))
    results = {}
    if options.results and options.results.exists():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    smollm2 = (options.models or pathlib.Path()) / "smollm2-135m-instruct-q4_1.gguf"
    runner = Runner(options.runner)
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(pathlib.Path(folder), smollm2)
        suite = Suite(answers, files, facts(), folder)
        print(f"{options.name}: layout: {check_layout(runner, options.layout)}")
        failed = run_group("tiny", cases["tiny"], runner, suite, results, options.name)
        if options.models and smollm2.exists():
            failed += run_group("smollm2", cases["smollm2"], runner, suite, results, options.name)
        else:
            print(f"{options.name}: smollm2: SKIPPED, the model is not there (./dev models smollm2)")
        print(f"{options.name}: leaks: {check_leaks(runner, files['{tiny}'])}")
    runner.end()
    if options.results and not failed:
        options.results.write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"{options.name}: {f'{failed} cases FAILED' if failed else 'conformance passed'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
