// Runs the model in Node for the runtime `ort-web`: a line of JSON in for each call, a line out.
//
//     node node-server.mjs MODULES ORT MODEL     (folders: rnn-model.js, onnxruntime-web, model.json)

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, engine, folder] = process.argv.slice(2);
const places = { "ort/ort-wasm.wasm": join(engine, "ort-wasm-simd-threaded.wasm") };
const imported = (...parts) => import(pathToFileURL(join(...parts)).href);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const packed = ({ shape, data }) => ({
  shape, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
});
const packedAll = (tensors) => Object.fromEntries(
  Object.entries(tensors).map(([name, value]) => [name, packed(value)]),
);

const { ARRAYS, load } = await imported(modules, "rnn-model.js");

function unpacked(given) {
  return Object.fromEntries(Object.entries(given).map(([name, { dtype, shape, data }]) => {
    const bytes = Uint8Array.from(Buffer.from(data, "base64"));
    return [name, { shape, data: new ARRAYS[dtype](bytes.buffer) }];
  }));
}

let model = null;
try {
  const ort = await imported(engine, "ort.wasm.bundle.min.mjs");
  const read = async (path) => new Uint8Array(await readFile(places[path] ?? join(folder, path)));
  model = await load(read, { ort });
  say({ ready: true });
} catch (error) {
  say({ error: String(error.message ?? error) });
  process.exit(1);
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { feeds, states } = JSON.parse(line);
    const found = await model.run(unpacked(feeds), unpacked(states));
    say({ outputs: packedAll(found.outputs), states: packedAll(found.states) });
  } catch (error) {
    say({ error: String(error.message ?? error) });
  }
}
