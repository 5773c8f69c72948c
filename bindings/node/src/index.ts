/**
 * fastserve: language models in your own process.
 *
 *     const model = await loadModel("model.gguf");
 *     for await (const piece of model.chat([{ role: "user", content: "Hello" }])) process.stdout.write(piece.text);
 */
import { VERSION } from "./types";
import { raw } from "./raw";

export { Engine, loadModel } from "./engine";
export type { EngineOptions, LoadOptions, MemoryEvent } from "./engine";
export { FastserveError } from "./failure";
export { Generation } from "./generation";
export type { End, Piece } from "./generation";
export { devices, estimate, inspect, inspectJson, machine, measureMachine, planJson } from "./machine";
export { Model } from "./model";
export type { ChatOptions, GenerateOptions, Message } from "./request";
export { Session } from "./session";
export * from "./types";

/** Of this package. */
export const version = VERSION;

/** Of the library in use. */
export function libraryVersion(): string {
  return raw.versionString();
}
