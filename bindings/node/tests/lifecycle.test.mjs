// What Node adds to the conformance cases: for await, AbortSignal, disposal, the event loop, workers, the end of the
// process.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import * as fastserve from "fastserve";

const TINY = process.env.TINY;
const CAT = " sat on the mat. The dog sat on the log.";
const ENDLESS = { ignoreEos: 1, maxTokens: 100_000_000, contextFull: fastserve.ContextFull.Slide };
const run = promisify(execFile);
let model;

before(async () => {
  model = await fastserve.loadModel(TINY, { threadCount: 1 });
});
after(() => model.close());

/** A program of its own; rejects where it ends in any way but well. */
function program(text, ...options) {
  const head = 'import * as fastserve from "fastserve"; import { Worker } from "node:worker_threads";'
    + `const TINY = ${JSON.stringify(TINY)}, ENDLESS = ${JSON.stringify(ENDLESS)};`
    + "const model = await fastserve.loadModel(TINY, { threadCount: 1 });";
  return run(process.execPath, [...options, "--input-type=module", "--eval", head + text]);
}

test("for await, and its end", async () => {
  const answer = model.generate("The cat", { temperature: 0, reportLogprobs: 1, logprobCount: 2 });
  let text = "";
  for await (const piece of answer) {
    text += piece.text;
    assert.equal(piece.logprobs.length, piece.tokenIds.length);
    assert.equal(piece.topLogprobs[0][0].tokenId, piece.tokenIds[0]);
  }
  assert.equal(text, CAT);
  assert.equal(answer.ended.reason, fastserve.FinishReason.Stop);
  assert.equal(await answer.read(), undefined);
});

test("CommonJS sees the same", () => {
  assert.equal(createRequire(import.meta.url)("fastserve").Engine, fastserve.Engine);
});

test("leaving the loop cancels", async () => {
  const answer = model.generate("tick tock", ENDLESS);
  for await (const _ of answer) break;
  assert.equal(await answer.read(), undefined);
  assert.equal(await model.generate("The cat", { temperature: 0 }).text(), CAT);
});

test("abort while it runs, while it waits, before it begins", async () => {
  const controller = new AbortController();
  const answer = model.generate("tick tock", { ...ENDLESS, signal: controller.signal });
  await assert.rejects(async () => {
    for await (const _ of answer) setImmediate(() => controller.abort());
  }, { name: "AbortError" });
  assert.equal(await answer.read(), undefined);

  const paused = new fastserve.Engine({ threadCount: 1 });
  const waiting = await paused.load(TINY);
  paused.pause();
  const reason = new Error("enough");
  const later = new AbortController();
  const read = waiting.generate("tick tock", { ...ENDLESS, signal: later.signal }).text();
  setImmediate(() => later.abort(reason));
  await assert.rejects(read, reason);
  await paused.close();

  assert.throws(() => model.generate("x", { signal: AbortSignal.abort() }), { name: "AbortError" });
  await assert.rejects(model.engine.load(TINY, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a load that is aborted, and progress that throws", async () => {
  const controller = new AbortController();
  const load = model.engine.load(TINY, { loadDtype: fastserve.Dtype.F16, signal: controller.signal });
  controller.abort();
  await assert.rejects(load, { name: "AbortError" });
  const stop = () => {
    throw new RangeError("stop");
  };
  await assert.rejects(model.engine.load(TINY, { loadDtype: fastserve.Dtype.F16, onProgress: stop }), RangeError);
  assert.equal(model.engine.memoryStats().modelCount, 1);
});

test("errors are a tree, with the library's message", async () => {
  await assert.rejects(model.engine.load("nowhere.gguf"), (error) => error instanceof fastserve.NotFoundError
    && error instanceof fastserve.FastserveError && error.name === "NotFoundError"
    && error.code === "FSV_ERROR_NOT_FOUND" && error.status === fastserve.Status.NotFound && /nowhere\.gguf/.test(error.message));
  await assert.rejects(model.generate("").text(), fastserve.InvalidArgumentError);
  assert.throws(() => model.generate("x", { temprature: 1 }), { name: "TypeError", message: /temprature/ });
  assert.throws(() => model.generate("x", { maxTokens: "many" }), { name: "TypeError", message: /maxTokens/ });
  assert.throws(() => model.generate("x", { maxTokens: -1 }), { name: "TypeError", message: /maxTokens/ });
  assert.throws(() => new fastserve.Engine({ nonsense: 1 }), { name: "TypeError", message: /nonsense/ });
  assert.throws(() => new fastserve.Engine({ mode: 77 }), fastserve.InvalidArgumentError);
  assert.throws(() => model.tokenize(7), TypeError);
});

test("the event loop turns while models load and compute", async () => {
  let turns = 0;
  const timer = setInterval(() => ++turns, 0);
  const answer = model.generate("tick tock", ENDLESS);
  await answer.read();
  const before = turns;
  while (turns < before + 3) await answer.read(); // another thread computes: timers come in between
  answer.close();
  clearInterval(timer);
});

test("many at once", async () => {
  const texts = await Promise.all(Array.from({ length: 16 }, () => model.generate("The cat", { temperature: 0 }).text()));
  assert.deepEqual(texts, Array(16).fill(CAT));
});

test("choices, beams, scores, bias", async () => {
  const answer = model.generate("The cat", { choiceCount: 2, temperature: 0 });
  assert.equal(await answer.text(), CAT);
  assert.equal(answer.choices.length, 2);
  assert.equal(await model.generate("The cat", { beamSearch: { beamCount: 2 } }).text(), CAT);
  const ids = model.tokenize("The cat sat on the mat.");
  const scores = await model.score(ids);
  assert.equal(scores.length, ids.length);
  assert.equal(scores[0], 0);
  assert.ok(Math.min(...scores.slice(3)) > -1); // known by heart
  const [first] = model.tokenize(" sat", 0);
  const other = await model.generate("The cat", { temperature: 0, maxTokens: 3, logitBias: { [first]: -1e9 } }).text();
  assert.ok(!other.startsWith(" sat"));
});

test("what is scheduled how, and looked up", async () => {
  const answer = model.generate("tick tock", { ...ENDLESS, priority: 1, tenant: 7, firstTokenDeadlineUs: 1_000_000,
    tokenDeadlineUs: 1_000_000, speculation: fastserve.Speculation.Off });
  await answer.read();
  answer.setPriority(-1);
  answer.close();
  const engine = new fastserve.Engine({ threadCount: 1 });
  const other = await engine.load(TINY);
  engine.pause();
  const late = other.generate("The cat", { queueTimeoutUs: 1 }).text();
  await assert.rejects(late, fastserve.TimeoutError);
  await engine.close();
});

test("sessions are saved, loaded, exported, imported", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fastserve-"));
  const engine = new fastserve.Engine({ threadCount: 1, writeFolder: folder });
  const own = await engine.load(TINY);
  const session = own.createSession();
  await own.generate("The cat", { session, temperature: 0 }).text();
  await session.save("cat.session");
  const bytes = await session.export();
  assert.deepEqual(await readFile(join(folder, "cat.session")), bytes);
  for (const restored of [await own.loadSession(join(folder, "cat.session")), await own.importSession(bytes)]) {
    assert.deepEqual(restored.tokenIds, session.tokenIds);
    restored.close();
  }
  bytes[bytes.length >> 1] ^= 1;
  await assert.rejects(own.importSession(bytes), fastserve.CorruptError);
  await assert.rejects(session.save("../cat"), fastserve.InvalidArgumentError);
  await engine.close();
  await rm(folder, { recursive: true });
});

test("models come from memory too, and the library logs", async () => {
  const lines = [];
  const engine = new fastserve.Engine({ threadCount: 1, logLevel: fastserve.LogLevel.Debug, log: (...line) => lines.push(line) });
  const own = await engine.load(await readFile(TINY));
  assert.equal(await own.generate("The cat", { temperature: 0 }).text(), CAT);
  await engine.close();
  await new Promise(setImmediate);
  for (const [level, line] of lines) assert.ok(level >= 1 && level <= 4 && line.length > 0);
});

test("ends in any order, more than once, and calls after them", async () => {
  for (let order = 0; order < 24; ++order) {
    const engine = new fastserve.Engine({ threadCount: 1 });
    const own = await engine.load(TINY);
    const session = own.createSession();
    const answer = own.generate("tick tock", { ...ENDLESS, session });
    if (order % 2 === 0) await answer.read();
    const left = [engine, own, session, answer];
    for (let code = order; left.length > 0; code = Math.floor(code / (left.length + 1))) {
      const [one] = left.splice(code % left.length, 1);
      await one.close();
      await one.close();
    }
    assert.throws(() => own.info, fastserve.StaleError);
    assert.throws(() => session.info, fastserve.StaleError);
    assert.throws(() => engine.memoryStats(), fastserve.StaleError);
    await assert.rejects(own.generate("x").text(), fastserve.StaleError);
  }
});

test("an engine that is closed ends those that wait", async () => {
  const engine = new fastserve.Engine({ threadCount: 1 });
  const own = await engine.load(TINY);
  engine.pause();
  const reading = own.generate("tick tock", ENDLESS).read();
  setImmediate(() => engine.close());
  const piece = await reading.catch((error) => error);
  assert.ok(piece === undefined || piece instanceof fastserve.FastserveError);
  const shut = new fastserve.Engine({ threadCount: 1 });
  await shut.shutdown();
  await assert.rejects(shut.load(TINY), fastserve.ShutdownError);
  await shut.close();
});

test("await using", async () => {
  const engine = new fastserve.Engine({ threadCount: 1 });
  const own = await engine.load(TINY);
  for (const one of [own.generate("tick tock", ENDLESS), own.createSession(), own, engine]) await one[Symbol.asyncDispose]();
  assert.throws(() => engine.memoryStats(), fastserve.StaleError);
});

test("a pumped engine computes on this thread", async () => {
  const engine = new fastserve.Engine({ mode: fastserve.Mode.Pumped });
  const own = await engine.load(TINY);
  assert.equal(await own.generate("The cat", { temperature: 0 }).text(), CAT);
  const answer = own.generate("tick tock", ENDLESS);
  const ending = (error) => error instanceof fastserve.StaleError || error instanceof fastserve.ShutdownError;
  await Promise.all([assert.rejects(answer.text(), ending), engine.close()]);
});

test("the garbage collector closes", async () => {
  for (let i = 0; i < 6; ++i) await (await fastserve.loadModel(TINY, { threadCount: 1 })).generate("tick tock", ENDLESS).read();
  for (let i = 0; i < 20; ++i) {
    globalThis.gc();
    await new Promise(setImmediate);
  }
});

test("workers have engines of their own, and may be ended at any point", async () => {
  const text = `import("fastserve").then(async (fastserve) => {
    const { parentPort, workerData } = require("node:worker_threads");
    const model = await fastserve.loadModel(workerData.tiny, { threadCount: 1 });
    parentPort.postMessage(await model.generate("The cat", { temperature: 0 }).text());
    for await (const _ of model.generate("tick tock", workerData.endless)) parentPort.postMessage("more");
  })`;
  for (let i = 0; i < 3; ++i) {
    const worker = new Worker(text, { eval: true, workerData: { tiny: TINY, endless: ENDLESS } });
    const messages = [];
    await new Promise((resolve, reject) => {
      worker.on("error", reject);
      worker.on("message", (message) => messages.push(message) > 2 + i && resolve());
    });
    assert.equal(messages[0], CAT);
    await worker.terminate();
  }
  assert.equal(await model.generate("The cat", { temperature: 0 }).text(), CAT);
});

test("processes end with live handles, however", async () => {
  await program("model.generate('tick tock', ENDLESS);");
  await program("await model.generate('tick tock', ENDLESS).read();");
  await program("for await (const _ of model.generate('tick tock', ENDLESS)) process.exit(0);");
  await program("model.engine.close(); model.generate('tick tock', ENDLESS).text().catch(() => {});");
  await program("await model.close(); new fastserve.Engine(); new fastserve.Engine({ mode: 1 });");
  await assert.rejects(program("for await (const _ of model.generate('tick tock', ENDLESS)) throw new Error('mine');"),
    (error) => error.code === 1 && /mine/.test(error.stderr));
});
