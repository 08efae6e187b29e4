// The page: load, check, then run the model on what the user enters.

import { cutFeeds, load, stepsOf } from "./rnn-model.js";
import { inputsOf, verify } from "./verify.js";
import { Timeline, at, namesOf, rowOf, showCheck, showLatency, showPrediction } from "./results.js";
import { CONTROLS, filledBatch, firstSequence } from "./controls.js";
import { GeneratingPlayer, exampleSources, generatingSnippet, verifyBoth } from "./generate.js";
import { loadGenerator } from "./rnn-generate.js";

const MOST_STEPS = 400; // that run one by one for the plots
const MOST_TIMES = 2000;
const WRITTEN = 80; // characters
const TEMPERATURE = 0.5;

/** Files of the page: embedded in it, or beside it. */
function embeddedReader() {
  const embedded = new Map(
    [...document.querySelectorAll("script[data-path]")].map((one) => [one.dataset.path, one]),
  );
  if (!embedded.size) return null;
  return async (path) => {
    if (!embedded.has(path)) throw new Error(`${path} is not in this page; package the model again`);
    const packed = Uint8Array.from(atob(embedded.get(path).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
}

/** Return the function that reads the page's files, and the options to load models with. */
async function filesOfPage() {
  const read = embeddedReader();
  if (!read) {
    const folder = document.baseURI.replace(/[^/]*([?#].*)?$/, "");
    const json = async (path) => {
      const answer = await fetch(path);
      if (!answer.ok) throw new Error(`${path} is missing (status ${answer.status}); copy the whole folder to the server`);
      return answer.json();
    };
    return { source: folder, options: {}, json };
  }
  const code = URL.createObjectURL(new Blob([await read("ort/ort.mjs")], { type: "text/javascript" }));
  const json = async (path) => JSON.parse(new TextDecoder().decode(await read(path)));
  return { source: read, options: { ort: await import(code) }, json };
}

/** Runs the model on the control's input, and only on its latest state. */
class Player {
  #model;
  #control;
  #timeline = new Timeline();
  #run = 0;
  #times = [];
  #resolution = clockResolution();

  constructor(model) {
    this.#model = model;
  }

  use(control) {
    this.#control = control;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#timeline.again();
      control.redraw?.();
    });
  }

  /** Run and show the control's input. */
  async update() {
    const run = ++this.#run;
    try {
      const feeds = filledBatch(this.#model.entry, this.#control.feeds());
      const whole = await this.#model.run(feeds);
      if (run !== this.#run) return;
      at("problem").textContent = "";
      showPrediction(this.#lastOf(whole.outputs));
      const trace = await this.#trace(feeds, whole, () => run === this.#run);
      if (trace) this.#timeline.show(trace);
    } catch (error) {
      if (run === this.#run) at("problem").textContent = error.message;
    }
  }

  #lastOf(outputs) {
    return this.#model.entry.outputs.map((spec) => {
      const row = rowOf(outputs[spec.name], spec.shape.indexOf(this.#model.entry.time ?? ""), -1);
      return { spec, row, names: this.#names(spec, row.length) };
    });
  }

  #names(spec, count) {
    const tokens = this.#control.tokens;
    if (tokens && !this.#model.description.labels[spec.name] && count === this.#model.entry.inputs[0].below) {
      return Array.from({ length: count }, (_, id) => visible(tokens.get(id) ?? "?"));
    }
    return namesOf(this.#model, spec, count);
  }

  /** Outputs and states at each step; null if the user has changed the input meanwhile. */
  async #trace(feeds, whole, wanted) {
    const { entry } = this.#model;
    const outputs = entry.outputs.map((spec) => ({ spec, rows: [] }));
    const states = entry.states.map((spec) => ({ spec, rows: [] }));
    const steps = stepsOf(entry, feeds);
    let note = "Each step ran alone, with the states of the step before.";
    if (this.#model.streams && steps <= MOST_STEPS) {
      const stream = this.#model.stream(feeds[entry.inputs[0].name].shape[0]);
      for (let step = 0; step < steps; step++) {
        const began = performance.now();
        const found = await stream.run(cutFeeds(entry, feeds, step, step + 1));
        this.#time(performance.now() - began);
        if (!wanted()) return null;
        const now = stream.state;
        for (const each of outputs) each.rows.push(rowOf(found[each.spec.name], each.spec.shape.indexOf(entry.time), 0));
        for (const each of states) each.rows.push(rowOf(now[each.spec.name], -1, 0));
      }
    } else {
      note = this.#model.streams
        ? `More than ${MOST_STEPS} steps: the whole sequence ran in one call, so states are not shown.`
        : `The whole sequence ran in one call, so states are not shown: ${entry.why}.`;
      for (const each of outputs) {
        const axis = entry.time ? each.spec.shape.indexOf(entry.time) : 1;
        const count = axis === 1 && each.spec.shape.length > 2 ? whole.outputs[each.spec.name].shape[1] : 1;
        for (let step = 0; step < count; step++) each.rows.push(rowOf(whole.outputs[each.spec.name], count > 1 ? 1 : axis, step));
      }
    }
    for (const each of outputs) each.names = this.#names(each.spec, each.rows[0].length);
    return { outputs, states, note };
  }

  #time(milliseconds) {
    this.#times.push(milliseconds);
    if (this.#times.length > MOST_TIMES) this.#times.shift();
  }

  /** Measure single steps, or whole sequences if the model has no stream. */
  async measure(feeds) {
    this.#times = [];
    const { entry } = this.#model;
    const one = this.#model.streams ? cutFeeds(entry, feeds, 0, 1) : feeds;
    const stream = this.#model.streams ? this.#model.stream(one[entry.inputs[0].name].shape[0]) : null;
    const end = performance.now() + 1000;
    for (let run = 0; run < 300 && performance.now() < end; run++) {
      const began = performance.now();
      await (stream ? stream.run(one) : this.#model.run(one));
      if (run > 4) this.#time(performance.now() - began); // the first calls allocate
    }
    showLatency(this.#times, stream ? "step" : "sequence", this.#resolution);
  }

  /** Write characters that the model draws, one after the other. */
  async write(area, tokenOf, encode) {
    const { entry } = this.#model;
    const [input, output] = [entry.inputs[0], entry.outputs[0]];
    const stream = this.#model.stream();
    const axis = output.shape.indexOf(entry.time);
    const ids = encode(area.value);
    if (!ids.length) return;
    let found = await stream.run({ [input.name]: [ids] });
    for (let count = 0; count < WRITTEN; count++) {
      const id = drawn(rowOf(found[output.name], axis, -1));
      area.value += tokenOf(id);
      found = await stream.run({ [input.name]: [[id]] });
    }
    area.scrollTop = area.scrollHeight;
    await this.update();
  }
}

const visible = (token) => ({ " ": "space", "\n": "new line", "\t": "tab", "": "padding" })[token] ?? token;

function drawn(row) {
  const sharp = row.map((value) => Math.max(0, value) ** (1 / TEMPERATURE));
  let left = Math.random() * sharp.reduce((a, b) => a + b, 0);
  const id = sharp.findIndex((value) => (left -= value) <= 0);
  return id < 0 ? row.indexOf(Math.max(...row)) : id;
}

function clockResolution() {
  let least = Infinity;
  for (let run = 0; run < 20; run++) {
    const began = performance.now();
    let now = began;
    while (now === began) now = performance.now();
    least = Math.min(least, now - began);
  }
  return Number(least.toPrecision(1));
}

function later(call, wait) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, wait);
  };
}

function showUse(model) {
  const { entry } = model;
  const steps = model.streams;
  const example = entry.inputs.map(({ name, shape }) => (
    `${JSON.stringify(name)}: ${["batch", "step"].slice(0, Math.min(2, shape.length)).map(() => "[").join("")}${
      shape.length > 2 ? "[/* features */]" : 0}${"]".repeat(Math.min(2, shape.length))}`
  )).join(", ");
  at("snippet").textContent = [
    'import { load } from "./rnn-model.js";',
    "",
    'const model = await load("./");  // the folder of this page',
    ...(steps
      ? ["const stream = model.stream();", `const outputs = await stream.step({ ${example} });`, "const saved = stream.state;  // assign it to resume"]
      : [`const { outputs } = await model.predict({ ${example} });`]),
  ].join("\n");
}

async function main() {
  const files = await filesOfPage();
  const model = await load(files.source, files.options);
  const golden = await files.json("golden.json");
  const { name, digest, onnxruntime_web: version } = model.description;
  const title = name.replace(/\.(keras|h5|hdf5)$/, "");
  document.title = title;
  at("name").textContent = title;
  at("ort-version").textContent = version;
  at("digest").textContent = `Bundle ${digest.slice(0, 12)}.`;
  const progress = (share) => {
    at("badge").textContent = `Checking… ${Math.round(share * 100)}%`;
  };
  if (model.description.generate) {
    await generatingPage(files, model, golden, progress);
    return;
  }
  const found = await verify(model, golden, progress);
  showCheck(found);
  const cases = golden.cases.map((one) => ({ name: one.name, ...inputsOf(model.entry, one) }));
  const rank = ({ name: own, feeds }) => { // real inputs first, then the longest that is plotted
    const steps = stepsOf(model.entry, feeds);
    return own === "samples" ? Infinity : steps <= MOST_STEPS ? steps : 0;
  };
  cases.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a)));
  const player = new Player(model);
  const changed = later(() => player.update(), 60);
  const control = CONTROLS[model.description.control]({
    model, changed,
    examples: cases.flatMap(({ feeds }) => everySequence(model.entry, feeds)),
    streamed: () => player.update(),
    written: (...given) => player.write(...given),
  });
  player.use(control);
  at("control").append(control.element);
  for (const id of ["try", "time", "latency", "use"]) at(id).hidden = false;
  showUse(model);
  await player.update();
  const example = filledBatch(model.entry, firstSequence(model.entry, cases[0].feeds));
  await player.measure(example);
  at("measure").addEventListener("click", () => player.measure(example));
  document.documentElement.dataset.ready = found.passed ? "passed" : "failed";
}

/** The page of an encoder-decoder. */
async function generatingPage(files, decode, golden, progress) {
  const generator = await loadGenerator(files.source, { ...files.options, decode });
  const goldenEncode = await files.json("golden-encode.json");
  const found = await verifyBoth(generator, golden, goldenEncode, progress);
  showCheck(found);
  const player = new GeneratingPlayer(generator, clockResolution());
  at("control").append(player.control(exampleSources(generator, goldenEncode)));
  for (const id of ["try", "time", "latency", "use"]) at(id).hidden = false;
  at("time-title").textContent = "Token by token";
  at("snippet").textContent = generatingSnippet();
  await player.update();
  await player.measure();
  at("measure").addEventListener("click", () => player.measure());
  document.documentElement.dataset.ready = found.passed ? "passed" : "failed";
}

/** Each sequence of a batch alone, up to four. */
function everySequence(entry, feeds) {
  const batch = feeds[entry.inputs[0].name].shape[0];
  return Array.from({ length: Math.min(4, batch) }, (_, row) => firstSequence(
    entry,
    Object.fromEntries(Object.entries(feeds).map(([name, { shape, data }]) => {
      const size = data.length / shape[0];
      return [name, { shape: [1, ...shape.slice(1)], data: data.slice(row * size, (row + 1) * size) }];
    })),
  ));
}

main().catch((error) => {
  at("badge").className = "badge bad";
  at("badge").textContent = "The model did not load";
  at("failure").hidden = false;
  at("failure").textContent = error.message;
  at("check-text").textContent = "Nothing was checked.";
  document.documentElement.dataset.ready = "error";
});
