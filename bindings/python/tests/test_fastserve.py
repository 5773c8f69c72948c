"""What Python adds to the conformance cases: exceptions, with, async for, finalisers, fork, the end of the interpreter."""

import asyncio
import gc
import os
import pathlib
import re
import subprocess
import sys
import threading
import unittest

import fastserve

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE.parents[1] / "conformance/tiny.gguf.bin"
CAT = " sat on the mat. The dog sat on the log."
ENDLESS = {"ignore_eos": 1, "max_tokens": 10**8, "context_full": fastserve.ContextFull.SLIDE}


class Test(unittest.TestCase):
    def setUp(self):
        self.model = fastserve.load_model(TINY, thread_count=1)
        self.addCleanup(self.model.engine.close)

    def test_names_of_the_framework(self):
        engine = fastserve.create_engine(self.model, engine="native")
        self.assertEqual(engine.predict(["The cat", "The cat"], temperature=0), [CAT, CAT])
        with fastserve.create_engine(TINY, thread_count=1) as own:
            self.assertEqual(own.predict(["The cat"], temperature=0), [CAT])
        with self.assertRaisesRegex(ValueError, "'other'.*native"):
            fastserve.create_engine(self.model, engine="other")
        with fastserve.create_engine(thread_count=1) as empty, self.assertRaises(fastserve.WrongStateError):
            empty.predict(["x"])

    def test_exceptions(self):
        with self.assertRaisesRegex(LookupError, "nowhere.gguf") as caught:
            self.model.engine.load("nowhere.gguf")
        self.assertIsInstance(caught.exception, fastserve.FastserveError)
        self.assertEqual(caught.exception.status, fastserve.Status.ERROR_NOT_FOUND)
        with self.assertRaises(ValueError):
            self.model.generate("")
        with self.assertRaisesRegex(TypeError, "temprature"):
            self.model.generate("x", temprature=1)
        with self.assertRaisesRegex(TypeError, "no setting 'nonsense'"):
            fastserve.Engine(nonsense=1)

    def test_progress_may_raise(self):
        def stop(done, total):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.model.engine.load(TINY, on_progress=stop, load_dtype=fastserve.Dtype.F16)
        self.assertEqual(self.model.engine.memory_stats().model_count, 1)

    def test_saved_sessions(self):
        session = self.model.session()
        self.model.generate("The cat", session=session, temperature=0).text()
        data = session.export()
        restored = self.model.import_session(data)
        self.assertEqual(restored.token_ids, session.token_ids)
        with self.assertRaises(fastserve.CorruptError):
            self.model.import_session(data[:-1])

    def test_memory_hook(self):
        told, has_come = [], threading.Event()

        def on_memory(pressure, used_bytes, budget_bytes):
            told.append((pressure, budget_bytes))
            if pressure & fastserve.PressureFlags.RELOADED:
                has_come.set()
            raise RuntimeError("a hook that raises")

        with fastserve.Engine(thread_count=1, on_memory=on_memory, memory_events=1) as engine:
            model = engine.load(TINY)
            engine.trim(fastserve.TrimFlags.MODELS)
            event = engine.next_memory_event()
            self.assertEqual((event.pressure, event.budget_bytes), (fastserve.PressureFlags.MODELS, 0))
            self.assertEqual(model.memory.state, fastserve.ModelState.EVICTED)
            self.assertEqual(model.generate("The cat", temperature=0).text(), CAT)
            self.assertTrue(has_come.wait(60))
            self.assertEqual(told[0], (fastserve.PressureFlags.MODELS, 0))
            engine.trim(fastserve.TrimFlags.MODELS)
            model.evict()  # with what the trim said, one event
            self.assertTrue(engine.next_memory_event().pressure & fastserve.PressureFlags.RELOADED)

    def test_hooks(self):
        lines, opened = [], []

        def open_file(name):
            opened.append(name)
            return open(TINY if name == "packed/tiny.gguf" else name, "rb")

        def log(level, line):
            lines.append((level, line))
            raise RuntimeError("a log that raises")

        with fastserve.Engine(thread_count=2, log=log, log_level=fastserve.LogLevel.DEBUG, open_file=open_file) as engine:
            model = engine.load("packed/tiny.gguf")
            self.assertEqual(model.generate("The cat", temperature=0).text(), CAT)
            with self.assertRaises(fastserve.NotFoundError):
                engine.load("packed/other.gguf")
        self.assertEqual(set(opened), {"packed/tiny.gguf", "packed/other.gguf"})
        self.assertTrue(all(level in range(1, 5) and line for level, line in lines))

    def test_interpreter_ends_with_hooks(self):
        program = ("import fastserve\n"
                   f"model = fastserve.load_model({str(TINY)!r}, thread_count=1, log=print, log_level=4,\n"
                   "                             open_file=lambda name: open(name, 'rb'))\n"
                   f"generation = model.generate('tick tock', **{dict(ENDLESS, context_full=1)!r})\n"
                   "next(generation)\n")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_pieces(self):
        pieces = list(self.model.generate("The cat", temperature=0, report_logprobs=1, logprob_count=2))
        self.assertEqual("".join(pieces), CAT)
        first = pieces[0]
        self.assertEqual(len(first.logprobs), len(first.token_ids))
        self.assertEqual(first.top_logprobs[0][0][0], first.token_ids[0])
        self.assertAlmostEqual(first.top_logprobs[0][0][1], first.logprobs[0], places=5)
        self.assertEqual(memoryview(first.logprobs).format, "f")

    def test_choices_and_beams(self):
        with self.model.generate("The cat", choice_count=2, temperature=0) as generation:
            self.assertEqual({piece.choice for piece in generation}, {0, 1})
        self.assertEqual(len(generation.choices), 2)
        beams = self.model.generate("The cat", beam_search={"beam_count": 2})
        self.assertEqual(beams.text(), CAT)

    def test_score(self):
        ids = self.model.tokenize("The cat sat on the mat.")
        scores = self.model.score(ids)
        self.assertEqual(len(scores), len(ids))
        self.assertEqual(scores[0], 0)
        self.assertGreater(min(scores[3:]), -1)  # known by heart
        self.assertLess(min(self.model.score(list(reversed(ids)))), -1)

    def test_async_for(self):
        async def answer(prompt):
            return "".join([piece async for piece in self.model.generate(prompt, temperature=0)])

        async def both():
            return await asyncio.gather(*(answer("The cat") for _ in range(8)))

        self.assertEqual(asyncio.run(both()), [CAT] * 8)

    def test_async_cancel_and_close(self):
        async def cancelled():
            generation = self.model.generate("tick tock", **ENDLESS)
            async for _ in generation:
                generation.cancel()
            return generation.finish_reason

        async def closed_meanwhile():
            self.model.engine.pause()
            generation = self.model.generate("tick tock", **ENDLESS)
            reading = asyncio.ensure_future(generation.__anext__())
            await asyncio.sleep(0)
            self.model.engine.close()
            with self.assertRaises(fastserve.FastserveError):
                await reading

        self.assertEqual(asyncio.run(cancelled()), fastserve.FinishReason.CANCELLED)
        asyncio.run(closed_meanwhile())

    def test_closed_by_another_thread(self):
        generation = self.model.generate("tick tock", **ENDLESS)
        next(generation)
        closer = threading.Thread(target=self.model.engine.close)
        closer.start()
        try:
            generation.text()
            self.assertEqual(generation.finish_reason, fastserve.FinishReason.SHUTDOWN)
        except fastserve.FastserveError:
            pass  # the engine was gone before its last event was read
        closer.join()

    def test_leaving_a_with_block_cancels(self):
        with self.model.generate("tick tock", **ENDLESS) as generation:
            next(generation)
        self.assertIsNone(generation.next())
        self.assertEqual(self.model.generate("The cat", temperature=0).text(), CAT)

    def test_finalisers_in_any_order(self):
        for first in range(4):
            engine = fastserve.Engine(thread_count=1)
            model = engine.load(TINY)
            session = model.session()
            generation = model.generate("tick tock", session=session, **ENDLESS)
            next(generation)
            things = [engine, model, session, generation]
            del engine, model, session, generation
            things[first].close()
            while things:
                things.pop(first % len(things))
                gc.collect()

    def test_dropped_generations_end(self):
        for _ in range(20):
            next(self.model.generate("tick tock", **ENDLESS))
        gc.collect()
        self.assertEqual(self.model.generate("The cat", temperature=0).text(), CAT)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_fork(self):
        generation = self.model.generate("tick tock", **ENDLESS)
        next(generation)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.model.info
            except fastserve.WrongStateError:
                try:
                    generation.close()
                except fastserve.WrongStateError:
                    pass
                self.model.close()
                self.model.engine.close()
                del generation
                gc.collect()
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        next(generation)
        generation.close()

    def test_interpreter_ends_while_a_request_runs(self):
        program = ("import fastserve, sys, threading\n"
                   f"model = fastserve.load_model({str(TINY)!r}, thread_count=1)\n"
                   f"generation = model.generate('tick tock', **{dict(ENDLESS, context_full=1)!r})\n"
                   "next(generation)\n"
                   "threading.Thread(target=lambda: [0 for _ in generation], daemon=True).start()\n")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_readme(self):
        text = (HERE.parent / "README.md").read_text(encoding="utf-8")
        example = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
        self.assertLessEqual(len(example.splitlines()), 15)
        done = subprocess.run([sys.executable, "-c", example.replace("smollm2-135m-instruct-q4_1.gguf", str(TINY))],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.strip())


if __name__ == "__main__":
    unittest.main()
