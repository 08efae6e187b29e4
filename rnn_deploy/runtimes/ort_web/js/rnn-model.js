// A recurrent model of rnn_deploy in JavaScript: whole sequences, streams, states.
//
//     import { load } from "./rnn-model.js";
//     const model = await load(new URL("./", import.meta.url));   // the folder with model.json
//     const { outputs } = await model.predict({ x: [[[0.1, 0.2], [0.3, 0.4]]] });
//     const stream = model.stream();
//     const now = await stream.step({ x: [[[0.1, 0.2]]] });       // one step, or several
//     const saved = stream.state;                                 // put it back to resume
//
// It needs onnxruntime-web in the folder ort/, or as `options.ort`. It sends nothing anywhere.

import { encoder } from "./rnn-text.js";

export const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array,
  int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array,
  int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};

/** An error whose message says what to do next; `code` is stable. */
export class ModelError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "ModelError";
    this.code = code;
  }
}

/** Load the model in a folder (URL or text), or from a function from paths to bytes.
 *
 * options.description: the file that describes the model, if it is not model.json.
 */
export async function load(source, options = {}) {
  const read = typeof source === "function" ? source : (path) => fetched(path, source);
  const described = await read(options.description ?? "model.json");
  const description = JSON.parse(new TextDecoder().decode(described));
  const ort = options.ort ?? (await ortFrom(source));
  if (!ort.env.wasm.wasmBinary) ort.env.wasm.wasmBinary = await read("ort/ort-wasm.wasm");
  ort.env.wasm.numThreads = 1; // more threads need headers that most servers do not send
  ort.env.logLevel = "error";
  const model = await sized(read, description.model);
  const weights = description.weights ? await sized(read, description.weights) : null;
  const settings = { executionProviders: ["wasm"] };
  if (weights) settings.externalData = [{ path: description.weights.name, data: weights }];
  try {
    return new Model(description, ort, await ort.InferenceSession.create(model, settings));
  } catch (error) {
    const why = error?.message ?? error;
    throw new ModelError("LOAD", `onnxruntime-web did not load the model: ${why}`);
  }
}

async function ortFrom(source) {
  if (typeof source === "function") throw new ModelError("ORT", "pass onnxruntime-web as options.ort");
  return import(new URL("ort/ort.mjs", absolute(source)).href);
}

const absolute = (source) => {
  const base = globalThis.document?.baseURI;
  const url = new URL(source, base);
  return url.href.endsWith("/") ? url : new URL(`${url.href}/`);
};

async function fetched(path, folder) {
  const url = new URL(path, absolute(folder));
  let answer;
  try {
    answer = await fetch(url);
  } catch (error) {
    throw new ModelError("FILE", `${url.href} cannot be read (${error.message}); serve the whole folder`);
  }
  if (!answer.ok) {
    throw new ModelError(
      "FILE", `${path} is missing (status ${answer.status}); copy the whole folder to the server`,
    );
  }
  return new Uint8Array(await answer.arrayBuffer());
}

async function sized(read, file) {
  const content = await read(file.path);
  if (content.byteLength !== file.size) {
    throw new ModelError(
      "FILE",
      `${file.path} has ${content.byteLength} bytes, expected ${file.size}; copy the whole folder again`,
    );
  }
  return content;
}

class Model {
  #ort;
  #session;
  #last = Promise.resolve();

  constructor(description, ort, session) {
    this.description = description;
    this.entry = description.entry;
    this.#ort = ort;
    this.#session = session;
  }

  /** Whether the model can run step by step. */
  get streams() {
    return this.entry.time !== null && this.entry.streams;
  }

  /** Run whole sequences: raw numbers or text in, outputs and final states out. */
  async predict(feeds, states = {}) {
    return this.run(this.prepared(feeds), states);
  }

  /** Run sequences that already are what the model computes with: ids, scaled numbers. */
  async run(feeds, states = {}) {
    const given = { ...this.#checked(feeds), ...this.#states(states, batchOf(feeds, this.entry)) };
    const call = () => this.#session.run(given);
    const found = await (this.#last = this.#last.then(call, call)); // one call at a time
    const result = { outputs: {}, states: {} };
    for (const { name } of this.entry.outputs) result.outputs[name] = plain(found[name]);
    for (const state of this.entry.states) result.states[state.name] = plain(found[state.next]);
    return result;
  }

  /** Return a stream of `batch` sequences whose states start from zero. */
  stream(batch = 1) {
    if (!this.streams) throw new ModelError("STREAM", `this model has no stream: ${this.entry.why}`);
    return new Stream(this, batch);
  }

  /** Return what the model computes with: token ids for text, scaled numbers for raw ones. */
  prepared(feeds) {
    const ready = {};
    for (const [name, value] of Object.entries(feeds)) {
      const spec = this.entry.inputs.find((input) => input.name === name);
      if (!spec) this.#unknown(name);
      ready[name] = (this.description.steps[name] ?? []).reduce(
        (now, step) => encoder(step, spec, ModelError)(now), value,
      );
    }
    return ready;
  }

  #checked(feeds) {
    const given = {};
    for (const name of Object.keys(feeds)) {
      if (!this.entry.inputs.some((input) => input.name === name)) this.#unknown(name);
    }
    const sizes = {};
    for (const spec of this.entry.inputs) {
      if (!(spec.name in feeds)) {
        throw new ModelError("INPUT", `input '${spec.name}' is missing; expected ${shown(spec)}`);
      }
      given[spec.name] = this.#tensor(spec, feeds[spec.name], sizes);
    }
    return given;
  }

  #states(states, batch) {
    for (const name of Object.keys(states)) {
      if (!this.entry.states.some((state) => state.name === name)) this.#unknown(name);
    }
    const given = {};
    for (const spec of this.entry.states) {
      const shape = spec.shape.map((size) => (typeof size === "string" ? batch : size));
      const zero = { shape, data: new ARRAYS[spec.dtype](shape.reduce((a, b) => a * b, 1)) };
      given[spec.name] = this.#tensor(spec, states[spec.name] ?? zero, {});
    }
    return given;
  }

  #tensor(spec, value, sizes) {
    const { shape, data } = tensor(value, spec);
    const fits = shape.length === spec.shape.length && shape.every((size, axis) => {
      const wanted = spec.shape[axis];
      if (typeof wanted === "number") return size === wanted;
      return (sizes[wanted] ??= size) === size;
    });
    if (!fits) {
      throw new ModelError(
        "SHAPE", `expected ${shown(spec)}, got the shape (${shape.join(", ")})`,
      );
    }
    return new this.#ort.Tensor(spec.dtype, data, shape);
  }

  #unknown(name) {
    const known = [...this.entry.inputs, ...this.entry.states].map((spec) => spec.name);
    throw new ModelError("INPUT", `there is no input '${name}'; the inputs are ${known.join(", ")}`);
  }
}

class Stream {
  #model;
  #states = {};
  #last = Promise.resolve();

  constructor(model, batch) {
    this.#model = model;
    this.batch = batch;
  }

  /** The states by name, to save; assign them to resume. Steps that run now are not included. */
  get state() {
    return copied(this.#states);
  }

  set state(states) {
    this.#states = copied(states);
  }

  /** Start again from zero. */
  reset() {
    this.#states = {};
  }

  /** Run the next steps of each sequence; after an error the states are as before. */
  step(feeds) {
    return this.#queued(() => this.#model.predict(feeds, this.#states));
  }

  /** Run the next steps of inputs that already are what the model computes with. */
  run(feeds) {
    return this.#queued(() => this.#model.run(feeds, this.#states));
  }

  #queued(call) {
    const next = async () => {
      const { outputs, states } = await call();
      this.#states = states;
      return outputs;
    };
    return (this.#last = this.#last.then(next, next));
  }
}

/** Return {shape, data} of nested lists, or of {shape, data}, in the type of an input. */
export function tensor(value, spec) {
  const Kind = ARRAYS[spec.dtype];
  if (value && value.data !== undefined && value.shape) {
    const data = value.data instanceof Kind ? value.data : Kind.from(converted(value.data, Kind, spec));
    if (data.length !== value.shape.reduce((a, b) => a * b, 1)) {
      throw new ModelError("SHAPE", `'${spec.name}': ${data.length} numbers do not fill (${value.shape})`);
    }
    return { shape: [...value.shape], data };
  }
  const shape = [];
  for (let at = value; isList(at); at = at[0]) shape.push(at.length);
  const flat = [];
  flatten(value, shape, 0, flat, spec);
  return { shape, data: Kind.from(converted(flat, Kind, spec)) };
}

const isList = (value) => Array.isArray(value) || ArrayBuffer.isView(value);

function flatten(value, shape, axis, flat, spec) {
  if (axis === shape.length) {
    flat.push(value);
    return;
  }
  if (!isList(value) || value.length !== shape[axis]) {
    throw new ModelError("SHAPE", `'${spec.name}': its lists have different lengths`);
  }
  for (const item of value) flatten(item, shape, axis + 1, flat, spec);
}

function converted(values, Kind, spec) {
  const big = Kind === BigInt64Array || Kind === BigUint64Array;
  const float = Kind === Float32Array || Kind === Float64Array;
  return Array.from(values, (item) => {
    const number = typeof item === "string" || item === null ? NaN : Number(item);
    if (typeof item !== "number" && typeof item !== "bigint" && typeof item !== "boolean") {
      throw new ModelError("INPUT", `'${spec.name}' takes numbers, got ${JSON.stringify(item)}`);
    }
    if (!float && !Number.isInteger(number)) {
      throw new ModelError("INPUT", `'${spec.name}' takes whole numbers, got ${item}`);
    }
    return big ? BigInt(item) : number;
  });
}

/** Return the steps `start` to `stop` of a tensor along an axis. */
export function cut({ shape, data }, axis, start, stop) {
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const size = shape[axis];
  const part = new data.constructor(outer * (stop - start) * inner);
  for (let row = 0; row < outer; row++) {
    const from = (row * size + start) * inner;
    part.set(data.subarray(from, from + (stop - start) * inner), row * (stop - start) * inner);
  }
  return { shape: shape.map((size, i) => (i === axis ? stop - start : size)), data: part };
}

/** Return the feeds of one call, cut along the model's time. */
export function cutFeeds(entry, feeds, start, stop) {
  const parts = {};
  for (const spec of entry.inputs) {
    const axis = spec.shape.indexOf(entry.time);
    parts[spec.name] = axis < 0 ? feeds[spec.name] : cut(feeds[spec.name], axis, start, stop);
  }
  return parts;
}

/** Return the number of steps in feeds that are tensors. */
export function stepsOf(entry, feeds) {
  const timed = entry.inputs.find((spec) => spec.shape.includes(entry.time));
  return timed ? feeds[timed.name].shape[timed.shape.indexOf(entry.time)] : 1;
}

function batchOf(feeds, entry) {
  const value = feeds[entry.inputs[0].name];
  return value?.shape?.[0] ?? value?.length ?? 1;
}

const plain = (found) => ({ shape: [...found.dims], data: found.data.slice() });
const copied = (states) => Object.fromEntries(
  Object.entries(states).map(([name, { shape, data }]) => [name, { shape: [...shape], data: data.slice() }]),
);
const shown = (spec) => `${spec.name} ${spec.dtype}(${spec.shape.join(", ")})`;
