import type { Model, Reader, Tensor, Tensors } from "./rnn-model.js";

/** A sequence. score: the sum of the logarithms of its tokens' probabilities, the end included. */
export interface Generated {
  text: string;
  ids: number[];
  score: number;
  /** Whether the end token came before the largest number of steps. */
  ended: boolean;
  /** By output name: for each generated token, a weight for each step of the source. */
  attention: Record<string, number[][]>;
  /** At each step: the probabilities, the decoder's states after it, and the time it took. */
  steps: { row: number[]; states: Tensors; milliseconds: number }[];
}

export interface GenerateOptions {
  maxSteps?: number;
  /** Called after each token; return false to stop. */
  onToken?: (token: { token: number; row: number[] }) => unknown;
}

export interface Generator {
  readonly encode: Model;
  readonly decode: Model;
  generate(source: string | readonly number[] | Tensor, options?: GenerateOptions): Promise<Generated>;
  sourceTensor(source: string | readonly number[] | Tensor): Tensor;
  sourceTokens(source: string | readonly number[]): string[];
}

/** Load the encoder and the decoder of a package. decode: the decoder, if it is loaded already. */
export function loadGenerator(
  source: string | URL | Reader, options?: { ort?: unknown; decode?: Model },
): Promise<Generator>;
