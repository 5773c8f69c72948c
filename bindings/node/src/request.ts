// Settings of requests: from the options that one writes to the structs of the C ABI.
import { ChatOptions as RawChat, SAMPLING_NAMES } from "./raw_functions";
import type { Session } from "./session";
import type { BeamSearchOptions, GenerateConfigOptions, SamplingOptions } from "./types";

/** One message of a conversation; templates may know more of it, such as tool_calls. */
export interface Message {
  role: string;
  content: string;
  [other: string]: unknown;
}

type Own = "text" | "tokenIds" | "stopStrings" | "sampling" | "session" | "userData" | "beamSearch";

/** Settings of a request, all optional: those of fsv_generate_config and fsv_sampling, and these. */
export interface GenerateOptions extends Omit<GenerateConfigOptions, Own>, Omit<SamplingOptions, "logitBias"> {
  /** Strings that end the answer; they are not part of it. */
  stop?: string[];
  /** Added to the logits of tokens, by their ids. */
  logitBias?: { [tokenId: number]: number };
  session?: Session;
  beamSearch?: BeamSearchOptions;
  /** Cancels the request; its iteration throws the signal's reason. */
  signal?: AbortSignal;
}

export interface ChatOptions extends GenerateOptions {
  /** Tool definitions, handed to the template. */
  tools?: readonly unknown[];
  /** Further variables of the template, such as enable_thinking. */
  variables?: { [name: string]: unknown };
  /** A Jinja template to use instead of the model's. */
  template?: string;
}

/** An fsv_generate_config without its prompt. */
export function generateConfig(options: GenerateOptions): GenerateConfigOptions {
  const { stop, logitBias, session, signal: _, ...others } = options;
  const config: { [name: string]: unknown } = {};
  const sampling: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) (SAMPLING_NAMES.has(name) ? sampling : config)[name] = value;
  }
  if (logitBias !== undefined) {
    sampling.logitBias = Object.entries(logitBias).map(([id, bias]) => ({ tokenId: Number(id), bias }));
  }
  if (Object.keys(sampling).length > 0) config.sampling = sampling;
  if (stop !== undefined) config.stopStrings = stop;
  if (session !== undefined) config.session = session.handle;
  return config;
}

export function promptOf(prompt: string | ArrayLike<number>): { text: string } | { tokenIds: ArrayLike<number> } {
  return typeof prompt === "string" ? { text: prompt } : { tokenIds: prompt };
}

/** The library takes messages as JSON, as every template knows them. */
export function chatOf(
  messages: readonly Message[],
  tools: readonly unknown[] | undefined,
  variables: { [name: string]: unknown } | undefined,
  template: string | undefined,
): RawChat {
  return {
    messagesJson: JSON.stringify(messages),
    toolsJson: tools && JSON.stringify(tools),
    variablesJson: variables && JSON.stringify(variables),
    templateText: template,
  };
}
