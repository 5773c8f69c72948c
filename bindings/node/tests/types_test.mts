// Compiled, never run: what users write is well typed, and what they should not write is not.
import { Engine, FastserveError, FinishReason, loadModel, Mode, NotFoundError, type Piece } from "fastserve";

export async function typed(): Promise<string> {
  await using engine = new Engine({ threadCount: 2, mode: Mode.Threaded, log: (level, line) => void [level, line] });
  await using model = await engine.load("model.gguf", {
    signal: AbortSignal.timeout(1000),
    onProgress: (done: number, total: number) => void [done, total],
  });
  using session = model.createSession();
  const pieces: Piece[] = [];
  const answer = model.chat([{ role: "user", content: "Hello" }], {
    session, temperature: 0, topK: 40, seed: 2n ** 63n, stop: ["\n"], logitBias: { 5: -1 }, priority: 1,
    firstTokenDeadlineUs: 1000, beamSearch: { beamCount: 2 }, tools: [], variables: { enable_thinking: false },
  });
  for await (const piece of answer) pieces.push(piece);
  const reason: FinishReason | undefined = answer.ended?.reason;
  const code: string = new NotFoundError(4, "FSV_ERROR_NOT_FOUND", String(reason)).code;
  const error: FastserveError | undefined = undefined;
  const ids: number[] = model.tokenize("text");
  const saved: Buffer = await session.export();
  const restored = await model.importSession(saved);
  return [code, error, ids, restored.info.tokenCount, pieces[0]?.text].join();
}

export async function refused(): Promise<void> {
  const model = await loadModel("model.gguf", { threadCount: 1 });
  // @ts-expect-error: no such setting
  model.generate("x", { temprature: 1 });
  // @ts-expect-error: of another type
  model.generate("x", { maxTokens: "many" });
  // @ts-expect-error: a prompt is needed
  model.generate();
}
