// The self-check: golden vectors, whole and step by step, outputs and states, within their budgets.

import { ARRAYS, cutFeeds, stepsOf } from "./rnn-model.js";

/** Return the tensor of golden.json: base64 of little-endian numbers. */
export function decoded({ dtype, shape, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { shape, data: new ARRAYS[dtype](bytes.buffer) };
}

/** Return the inputs of a golden vector: {feeds, states}. */
export function inputsOf(entry, golden) {
  const feeds = {};
  const states = {};
  for (const [name, value] of Object.entries(golden.feeds)) {
    const isState = entry.states.some((state) => state.name === name);
    (isState ? states : feeds)[name] = decoded(value);
  }
  return { feeds, states };
}

/** Run every golden vector; `progress` gets the share that is done. Returns {passed, comparisons}. */
export async function verify(model, golden, progress = () => {}) {
  const comparisons = [];
  let done = 0;
  for (const one of golden.cases) {
    const { feeds, states } = inputsOf(model.entry, one);
    comparisons.push(...compared(model.entry, one, "whole", await model.run(feeds, states)));
    if (one.by_steps && model.streams) {
      const results = await byStep(model, feeds, states);
      comparisons.push(...compared(model.entry, one, "step by step", results));
    }
    done += 1;
    progress(done / golden.cases.length);
    await new Promise((next) => setTimeout(next)); // the browser stays responsive
  }
  const decisive = comparisons.some((each) => each.decisive);
  return { passed: decisive && comparisons.every((each) => each.passed), comparisons };
}

async function byStep(model, feeds, states) {
  const { entry } = model;
  const batch = feeds[entry.inputs[0].name].shape[0];
  const stream = model.stream(batch);
  stream.state = states;
  const pieces = [];
  for (let at = 0; at < stepsOf(entry, feeds); at++) {
    pieces.push(await stream.run(cutFeeds(entry, feeds, at, at + 1)));
  }
  const outputs = {};
  for (const spec of entry.outputs) {
    const axis = spec.shape.indexOf(entry.time);
    const parts = pieces.map((piece) => piece[spec.name]);
    outputs[spec.name] = axis < 0 ? parts.at(-1) : joined(parts, axis);
  }
  return { outputs, states: stream.state };
}

/** Put tensors one after the other along an axis. */
export function joined(parts, axis) {
  const shape = [...parts[0].shape];
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const size = parts[0].data.length / outer;
  const whole = new parts[0].data.constructor(outer * size * parts.length);
  for (let row = 0; row < outer; row++) {
    parts.forEach((part, at) => {
      whole.set(part.data.subarray(row * size, (row + 1) * size), (row * parts.length + at) * size);
    });
  }
  shape[axis] *= parts.length;
  return { shape, data: whole };
}

function compared(entry, one, how, { outputs, states }) {
  const listed = [
    ...entry.outputs.map(({ name }) => ({ name, kind: "output", found: outputs[name] })),
    ...entry.states.map(({ name, next }) => ({ name: next, kind: "state", found: states[name] })),
  ];
  return listed.map(({ name, kind, found }) => {
    const worst = distance(found, decoded(one.truth[name]));
    const { atol, decisive } = one.budgets[name];
    return {
      case: one.name, how, name, kind, ...worst, budget: atol, decisive,
      passed: worst.error <= atol && Number.isFinite(atol),
    };
  });
}

/** Return the largest error and where it is; NaN and infinities must be at the same places. */
export function distance(found, truth) {
  if (found.shape.join() !== truth.shape.join()) {
    return { error: Infinity, index: [], found: `shape (${found.shape})`, expected: `shape (${truth.shape})` };
  }
  let error = 0;
  let place = 0;
  for (let at = 0; at < truth.data.length; at++) {
    const a = Number(found.data[at]);
    const b = Number(truth.data[at]);
    if (Object.is(a, b) || a === b) continue;
    const here = Math.abs(a - b);
    const off = Number.isNaN(here) ? Infinity : here;
    if (off > error) [error, place] = [off, at];
  }
  return { error, index: unravelled(place, truth.shape), found: Number(found.data[place]), expected: Number(truth.data[place]) };
}

function unravelled(place, shape) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(place % shape[axis]);
    place = Math.floor(place / shape[axis]);
  }
  return index;
}
