/** A tensor: numbers in row-major order. int64 tensors hold bigint. */
export interface Tensor {
  shape: number[];
  data:
    | Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array
    | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;
}

/** Nested lists of numbers. */
export type Nested = number | readonly Nested[];
/** An input: nested lists, a tensor, or text where the model has a vocabulary. */
export type Value = Nested | Tensor | string | readonly string[];
export type Feeds = Record<string, Value>;
export type Tensors = Record<string, Tensor>;

/** An input or output. Text in a shape is a size that may vary, such as "batch" or "time". */
export interface TensorSpec {
  name: string;
  shape: (number | string)[];
  dtype: string;
}

/** A recurrent state: it enters as `name` and leaves as `next`. */
export interface StateSpec extends TensorSpec {
  next: string;
  layer: string;
  role: string;
}

/** How the model is called. why: the reason if it does not stream. */
export interface Entry {
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  states: StateSpec[];
  time: string | null;
  streams: boolean;
  why: string;
}

export interface Prediction {
  outputs: Tensors;
  /** The final states, to be passed to the next call. */
  states: Tensors;
}

/** Consecutive calls that carry the states. */
export interface Stream {
  readonly batch: number;
  /** A copy of the states by name; assign it to resume. Empty means zero. */
  state: Tensors;
  /** Run the next steps; calls are queued. After an error the states are as before. */
  step(feeds: Feeds): Promise<Tensors>;
  /** The same, for token ids and scaled numbers. */
  run(feeds: Feeds): Promise<Tensors>;
  reset(): void;
}

export interface Model {
  readonly entry: Entry;
  readonly description: Record<string, unknown>;
  readonly streams: boolean;
  /** Run whole sequences. states: initial states by name, zero if absent. */
  predict(feeds: Feeds, states?: Tensors): Promise<Prediction>;
  /** The same, for token ids and scaled numbers. */
  run(feeds: Feeds, states?: Tensors): Promise<Prediction>;
  stream(batch?: number): Stream;
  prepared(feeds: Feeds): Feeds;
}

/** An error whose message says what to do next. */
export class ModelError extends Error {
  readonly code: "FILE" | "GENERATE" | "INPUT" | "LOAD" | "ORT" | "SHAPE" | "STREAM" | "TEXT" | "VOCABULARY";
  constructor(code: string, message: string);
}

/** Returns the bytes of a file of the package. */
export type Reader = (path: string) => Promise<Uint8Array>;

/** Load a model: from the folder of the package, or with a function that reads its files. */
export function load(source: string | URL | Reader, options?: { ort?: unknown; description?: string }): Promise<Model>;
export function tensor(value: Value, spec: TensorSpec): Tensor;
export function cut(value: Tensor, axis: number, start: number, stop: number): Tensor;
export function cutFeeds(entry: Entry, feeds: Tensors, start: number, stop: number): Tensors;
export function stepsOf(entry: Entry, feeds: Tensors): number;
/** The typed array of each dtype. */
export const ARRAYS: Record<string, { new (buffer: ArrayBuffer): Tensor["data"] }>;
