import type { Engine } from "./engine";
import { ignoringStale } from "./engine";
import { Generation } from "./generation";
import { Handle } from "./handle";
import { ChatFlags, DetokenizeFlags, ModelInfo, ModelMemory, TokenizeFlags } from "./types";
import { raw } from "./raw";
import { chatOf, generateConfig, GenerateOptions, ChatOptions, Message, promptOf } from "./request";
import { Session } from "./session";

/** A model in its engine. After close() no new request can name it; running ones finish. */
export class Model extends Handle {
  /** @internal */
  ownsEngine = false;

  /** @internal */
  constructor(
    readonly engine: Engine,
    handle: bigint,
  ) {
    super(handle, () => ignoringStale(() => raw.modelRelease(handle)));
  }

  /** Begins an answer to a text or token ids. What is refused is thrown by the iteration. */
  generate(prompt: string | ArrayLike<number>, options: GenerateOptions = {}): Generation {
    const config = { ...generateConfig(options), ...promptOf(prompt) };
    return new Generation(this, options, (userData) =>
      raw.submitGenerateAsync(this.engine.handle, this.handle, { ...config, userData }));
  }

  /** Begins an answer to a conversation. */
  chat(messages: readonly Message[], options: ChatOptions = {}): Generation {
    const { tools, variables, template, ...others } = options;
    const config = generateConfig(others);
    const chat = chatOf(messages, tools, variables, template);
    return new Generation(this, options, (userData) =>
      raw.submitChatAsync(this.engine.handle, this.handle, chat, { ...config, userData }));
  }

  /** log p(token[i] | token[0..i-1]) of every token of `prompt`; the first value is 0. */
  async score(prompt: string | ArrayLike<number>, options: { signal?: AbortSignal } = {}): Promise<number[]> {
    const scores: number[] = [];
    const scoring = new Generation(this, options, (userData) =>
      raw.submitScoreAsync(this.engine.handle, this.handle, { ...promptOf(prompt), userData }));
    for await (const piece of scoring) scores.push(...(piece.logprobs ?? []));
    return scores;
  }

  get info(): ModelInfo {
    return raw.modelGetInfo(this.handle);
  }

  /**
   * Gives its memory back now: the next request loads it again. Throws a WrongStateError with live requests, an
   * UnsupportedError where LoadFlags.Pinned keeps it.
   */
  evict(): void {
    raw.modelEvict(this.engine.handle, this.handle);
  }

  /** What it takes, and in `state` (ModelState) whether it is there. */
  get memory(): ModelMemory {
    return raw.memoryGetModel(this.engine.handle, this.handle);
  }

  /** Token ids of a text, BOS and EOS as the model asks. Computes on the calling thread. */
  tokenize(text: string, flags: TokenizeFlags | number = TokenizeFlags.AddBos): number[] {
    return raw.tokenize(this.handle, text, flags);
  }

  /** Token ids, each with the range of bytes of `text` (in UTF-8) that it stands for: [id, start, end]. */
  tokenizeRanges(text: string, flags: TokenizeFlags | number = TokenizeFlags.AddBos): [number, number, number][] {
    return raw.tokenizeRanges(this.handle, text, flags);
  }

  /** The text of one token (bytes that are no UTF-8 become U+FFFD), and its TokenAttributes. */
  token(id: number): { text: string; attributes: number } {
    const { buffer, attributes } = raw.tokenGet(this.handle, id);
    return { text: buffer, attributes };
  }

  /** The text of token ids, without control tokens unless told. */
  detokenize(tokenIds: ArrayLike<number>, flags: DetokenizeFlags | number = DetokenizeFlags.SkipSpecial): string {
    return raw.detokenize(this.handle, tokenIds, flags);
  }

  /** The conversation as the model's template writes it. */
  renderChat(messages: readonly Message[], flags: ChatFlags | number = ChatFlags.AddGenerationPrompt): string {
    const plain = messages.map(({ role, content }) => ({ role, content }));
    return raw.chatRender(this.handle, plain, flags);
  }

  /** The same as token ids: control tokens are the template's own alone. */
  tokenizeChat(messages: readonly Message[], flags: ChatFlags | number = ChatFlags.AddGenerationPrompt): number[] {
    const plain = messages.map(({ role, content }) => ({ role, content }));
    return raw.chatTokenize(this.handle, plain, flags);
  }

  /** A new, empty session of this model. */
  createSession(): Session {
    return new Session(this, raw.sessionCreate(this.engine.handle, this.handle));
  }

  /** A session of a file that Session.save() wrote. */
  async loadSession(path: string): Promise<Session> {
    return new Session(this, await raw.sessionLoadAsync(this.engine.handle, this.handle, path));
  }

  /** A session of the bytes that Session.export() gave. */
  async importSession(data: Uint8Array): Promise<Session> {
    return new Session(this, await raw.sessionImportAsync(this.engine.handle, this.handle, data));
  }

  /** Gives the model up; one of loadModel() ends its engine too. */
  async close(): Promise<void> {
    if (this.closing()) ignoringStale(() => raw.modelRelease(this.handle));
    if (this.ownsEngine) await this.engine.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
