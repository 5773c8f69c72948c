// The Node runner of bindings/conformance: one command a line in, one reply a line out.
import { createInterface } from "node:readline";
import * as fastserve from "fastserve";

const objects = new Map();
const INTEGERS = { max_tokens: "maxTokens", seed: "seed", top_k: "topK", ignore_eos: "ignoreEos",
  context_full: "contextFull", choice_count: "choiceCount", speculation: "speculation",
  priority: "priority" };
const ENGINE = { mode: "mode", context_tokens: "contextTokens", max_sequences: "maxSequences",
  memory_budget_bytes: "memoryBudgetBytes", memory_events: "memoryEvents", thread_count: "threadCount" };
const flag = (value) => (value ? 1 : 0);
const get = (name) => objects.get(name);
const numbers = (text) => text.split(",").filter(Boolean).map(Number);

function picked(names, a) {
  return Object.fromEntries(Object.entries(names).filter(([key]) => key in a).map(([key, name]) => [name, Number(a[key])]));
}

const timeout = (a) => ("timeout_us" in a ? Number(a.timeout_us) / 1000 : undefined);

function begin(a) {
  const options = picked(INTEGERS, a);
  if ("temperature" in a) options.temperature = Number(a.temperature);
  if ("stop" in a) options.stop = [a.stop];
  if ("session" in a) options.session = get(a.session);
  const model = get(a.model);
  if (!("user" in a)) return model.generate("prompt" in a ? a.prompt : numbers(a.prompt_ids), options);
  const parts = [["system", "system"], ["user", "user"], ["assistant", "reply"], ["user", "then"]];
  const messages = parts.filter(([, key]) => key in a).map(([role, key]) => ({ role, content: a[key] }));
  return model.chat(messages, options);
}

/** An answer that remembers what came. */
function remembering(generation) {
  return { generation, text: "", ids: [], close: () => generation.close() };
}

async function next(stream, timeoutMs) {
  const piece = await stream.generation.read(timeoutMs);
  if (piece !== undefined) {
    stream.text += piece.text;
    stream.ids.push(...piece.tokenIds);
  }
  return piece === undefined;
}

async function finish(stream) {
  while (!(await next(stream)));
  const { ended } = stream.generation;
  return { text: stream.text, ids: stream.ids.join(), finish: fastserve.FinishReason[ended.reason].toLowerCase(),
    prompt_tokens: ended.promptTokens, generated_tokens: ended.generatedTokens, cached_tokens: ended.cachedTokens,
    whole_code_points: flag(!stream.text.includes("\ufffd")) };
}

async function load(a) {
  const seen = [];
  const onProgress = (done, total) => seen.push([done, total]);
  objects.set(a.id, await get(a.engine).load(a.path, { flags: Number(a.flags ?? 0), onProgress }));
  const [done, total] = seen.at(-1);
  return { monotonic: flag(seen.every(([at], i) => i === 0 || seen[i - 1][0] <= at)), complete: flag(done === total && total > 0) };
}

async function concurrent(a) {
  const texts = await Promise.all(Array.from({ length: Number(a.count) }, () => begin(a).text()));
  return { same: flag(texts.every((text) => text === texts[0])), text: texts[0] };
}

async function cycle(a) {
  const engine = new fastserve.Engine({ threadCount: 1 });
  for (let i = 0; i < Number(a.count); ++i) {
    const model = await engine.load(a.path);
    await model.generate("x", { maxTokens: 1 }).text();
    await model.close();
  }
  await engine.close();
  globalThis.gc?.();
}

async function cancelElsewhere(a) {
  const stream = get(a.stream);
  await next(stream);
  setImmediate(() => stream.generation.cancel());
  return finish(stream);
}

async function machine() {
  const { usableCpuCount, kernels } = fastserve.machine();
  const { readBytesPerSecond } = await fastserve.measureMachine(1, 50);
  return { cpus: usableCpuCount, kernels, devices: (await fastserve.devices()).length, measured: flag(readBytesPerSecond > 0) };
}

async function inspect({ path }) {
  const { architecture, name, vocabularySize } = await fastserve.inspect(path);
  const [json, plan] = [await fastserve.inspectJson(path), await fastserve.planJson(path)];
  return { architecture, name, vocabulary_size: vocabularySize, json, plan };
}

async function estimate(a) {
  const found = await fastserve.estimate(a.path, picked(ENGINE, a));
  const parts = found.weightBytes + found.kvBytes + found.activationBytes + found.otherBytes;
  return { weights: found.weightBytes, complete: flag(found.totalBytes === parts && parts <= found.peakBytes) };
}

async function transfer(a) {
  const data = await get(a.session).export();
  if ("damaged" in a) data[data.length - 1] ^= 1;
  objects.set(a.id, await get(a.model).importSession(data));
}

/** An answer that was submitted. */
async function info(stream) {
  while (stream.generation.info === undefined) await new Promise(setImmediate);
  const { state, generatedTokenCount } = stream.generation.info;
  return { state, generated: generatedTokenCount };
}

async function reset() {
  for (const made of [...objects.values()].reverse()) await made.close();
  objects.clear();
}

const COMMANDS = {
  layout: () => ({ layout: "" }), // the addon is compiled with the C header
  version: () => ({ version: fastserve.libraryVersion(), abi: fastserve.ABI_VERSION }),
  open: (a) => void objects.set(a.id,
    new fastserve.Engine({ threadCount: 1, writeFolder: a.write_folder, ...picked(ENGINE, a) })),
  load,
  info: ({ model }) => {
    const { architecture, name, vocabularySize } = get(model).info;
    return { architecture, name, vocabulary_size: vocabularySize };
  },
  tokenize: (a) => ({ ids: get(a.model).tokenize(a.text).join() }),
  detokenize: (a) => ({ text: get(a.model).detokenize(numbers(a.ids)) }),
  render: (a) => ({ text: get(a.model).renderChat([{ role: a.role, content: a.content }]) }),
  chat_ids: (a) => ({ ids: get(a.model).tokenizeChat([{ role: a.role, content: a.content }]).join() }),
  ranges: (a) => {
    const rows = get(a.model).tokenizeRanges(a.text);
    const [ids, starts, ends] = [0, 1, 2].map((column) => rows.map((row) => row[column]).join());
    return { ids, starts, ends };
  },
  token: (a) => get(a.model).token(Number(a.token)),
  score: async (a) => ({ scores: (await get(a.model).score(a.prompt)).map((value) => Math.floor(value * 10 + 0.5)).join() }),
  machine,
  inspect,
  estimate,
  transfer,
  request_info: (a) => info(get(a.stream)),
  step_target: (a) => get(a.engine).setStepTarget(Number(a.us)),
  metrics: (a) => {
    const { stepTargetUs, submittedRequests } = get(a.engine).metrics();
    return { step_target: stepTargetUs, submitted: submittedRequests };
  },
  generate: (a) => finish(remembering(begin(a))),
  start: (a) => void objects.set(a.id, remembering(begin(a))),
  next: async (a) => ({ end: flag(await next(get(a.stream), timeout(a))) }),
  finish: (a) => finish(get(a.stream)),
  cancel: (a) => get(a.stream).generation.cancel(),
  cancel_elsewhere: cancelElsewhere,
  concurrent,
  session: (a) => void objects.set(a.id, get(a.model).createSession()),
  fork: (a) => void objects.set(a.id, get(a.session).fork()),
  save: (a) => get(a.session).save(a.name),
  restore: async (a) => void objects.set(a.id, await get(a.model).loadSession(a.path)),
  priority: (a) => get(a.stream).generation.setPriority(Number(a.priority)),
  truncate: (a) => get(a.session).truncate(Number(a.tokens)),
  undo: (a) => get(a.session).undo(),
  session_info: (a) => {
    const { tokenCount, turnCount } = get(a.session).info;
    return { tokens: tokenCount, turns: turnCount, ids: get(a.session).tokenIds.join() };
  },
  close: (a) => get(a.id).close(),
  pause: (a) => get(a.engine).pause(),
  resume: (a) => get(a.engine).resume(),
  shutdown: (a) => get(a.engine).shutdown(),
  budget: (a) => get(a.engine).setMemoryBudget(Number(a.bytes)),
  trim: (a) => get(a.engine).trim(Number(a.flags)),
  evict: (a) => get(a.model).evict(),
  model_memory: (a) => ({ state: get(a.model).memory.state }),
  memory_event: async (a) => {
    const { pressure, usedBytes, budgetBytes } = await get(a.engine).nextMemoryEvent(timeout(a));
    return { pressure, used: usedBytes, budget: budgetBytes };
  },
  stats: (a) => {
    const { modelCount, usedBytes, sessionCount, weightBytes } = get(a.engine).memoryStats();
    return { models: modelCount, used: usedBytes, sessions: sessionCount, weights: weightBytes };
  },
  cycle,
  reset,
};

async function answer(line) {
  const [command, ...pairs] = line.split(" ");
  const a = Object.fromEntries(pairs.map((pair) => pair.split("=").map(decodeURIComponent)));
  let kind = "ok";
  let reply;
  try {
    reply = (await COMMANDS[command](a)) ?? {};
  } catch (failure) {
    if (!(failure instanceof fastserve.FastserveError)) throw failure;
    kind = "error";
    reply = { status: failure.code, message: failure.message };
  }
  return [kind, ...Object.entries(reply).map(([key, value]) => `${key}=${encodeURIComponent(value)}`)].join(" ");
}

for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${await answer(line)}\n`);
