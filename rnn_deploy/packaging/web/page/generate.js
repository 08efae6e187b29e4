// The page of an encoder-decoder: source text in, the generated sequence and its attention out.

import { textOf } from "./rnn-generate.js";
import { inputsOf, verify } from "./verify.js";
import { attentionMap } from "./attention.js";
import { firstSequence } from "./controls.js";
import { at, showLatency } from "./results.js";
import { text } from "./plots.js";

const MOST_ALTERNATIVES = 5;

/** Check the encoder and the decoder; progress gets the share that is done. */
export async function verifyBoth(generator, golden, goldenEncode, progress) {
  const first = await verify(generator.encode, goldenEncode, (share) => progress(share / 2));
  const second = await verify(generator.decode, golden, (share) => progress(0.5 + share / 2));
  return {
    passed: first.passed && second.passed,
    comparisons: [
      ...first.comparisons.map((each) => ({ ...each, how: `encode, ${each.how}` })),
      ...second.comparisons.map((each) => ({ ...each, how: `decode, ${each.how}` })),
    ],
  };
}

/** Return the sources of golden vectors as text. */
export function exampleSources(generator, goldenEncode) {
  const { encode, facts } = generator;
  const [spec] = encode.entry.inputs;
  return goldenEncode.cases.map((one) => {
    const value = firstSequence(encode.entry, inputsOf(encode.entry, one).feeds)[spec.name];
    const size = spec.shape.length === 3 ? spec.shape[2] : 1;
    const rows = Array.from({ length: value.data.length / size }, (_, step) => (
      Array.from(value.data.slice(step * size, (step + 1) * size), Number)
    ));
    const ids = rows.map((row) => (size > 1 ? row.indexOf(Math.max(...row)) : row[0]));
    return textOf(ids.filter((id) => id !== spec.padding), facts.source);
  }).filter(Boolean);
}

/** The control and the results of a page that generates. */
export class GeneratingPlayer {
  #generator;
  #area = document.createElement("textarea");
  #resolution;
  #wanted = 0;

  constructor(generator, resolution) {
    this.#generator = generator;
    this.#resolution = resolution;
  }

  /** Return the control. examples: sources as text. */
  control(examples) {
    const element = document.createElement("div");
    const ids = !this.#generator.facts.source && !this.#hasText();
    const label = text("label", ids ? "Source, as token ids" : "Source");
    label.htmlFor = this.#area.id = "source";
    this.#area.spellcheck = false;
    this.#area.value = examples[0] ?? "";
    let timer = null;
    this.#area.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.update(), 150);
    });
    const go = text("button", "Generate", "main");
    go.type = "button";
    go.addEventListener("click", () => this.update());
    const row = text("div", "", "buttons");
    row.append(go);
    let next = 0;
    if (examples.length > 1) {
      const another = text("button", "Next example");
      another.type = "button";
      another.addEventListener("click", () => {
        next = (next + 1) % examples.length;
        this.#area.value = examples[next];
        this.update();
      });
      row.append(another);
    }
    element.append(label, this.#area, row);
    return element;
  }

  #hasText() {
    const { encode } = this.#generator;
    return Boolean(encode.description.steps[encode.entry.inputs[0].name]);
  }

  /** Generate from the source and show the result, unless the source changes meanwhile. */
  async update() {
    const run = ++this.#wanted;
    const source = this.#area.value;
    try {
      const found = await this.#generator.generate(source, { onToken: () => run === this.#wanted });
      if (run !== this.#wanted) return;
      at("problem").textContent = "";
      this.#show(source, found);
    } catch (error) {
      if (run === this.#wanted) at("problem").textContent = error.message;
    }
  }

  #show(source, found) {
    const { facts } = this.#generator;
    const answer = text("p", found.text || "(nothing)", "best-answer");
    const list = text("dl", "", "figures");
    const figures = [
      ["Tokens", String(found.ids.length)],
      ["Probability", `${(Math.exp(found.score) * 100).toPrecision(3)}%`],
      ["End", found.ended ? "end token" : `after ${facts.max_steps} tokens`],
    ];
    for (const [name, value] of figures) {
      const item = document.createElement("div");
      item.append(text("dt", name), text("dd", value));
      list.append(item);
    }
    at("prediction").replaceChildren(answer, list);
    const names = [...found.ids, ...(found.ended ? [facts.end] : [])]
      .map((id) => (id === facts.end ? "end" : textOf([id], facts.vocabulary)));
    const sources = this.#generator.sourceTokens(source);
    const maps = Object.entries(found.attention).filter(([, rows]) => rows.length)
      .map(([name, rows]) => attentionMap(`Attention ${name}`, averaged(rows, sources.length), sources, names));
    at("plots").replaceChildren(...maps, this.#alternatives(found, names));
    at("time-note").textContent = "The decoder ran once for each token, with the states of the step before.";
  }

  /** A table of the likeliest tokens at each step. */
  #alternatives(found, names) {
    const { facts } = this.#generator;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.append(text("strong", "Likeliest tokens at each step"));
    const around = text("div", "", "scroll");
    around.tabIndex = 0;
    around.setAttribute("role", "region");
    around.setAttribute("aria-label", "Likeliest tokens at each step");
    const table = document.createElement("table");
    const body = table.createTBody();
    found.steps.forEach(({ row }, step) => {
      const line = body.insertRow();
      const head = text("th", names[step] ?? "");
      head.scope = "row";
      line.append(head);
      const order = row.map((_, id) => id).sort((a, b) => row[b] - row[a]).slice(0, MOST_ALTERNATIVES);
      for (const id of order) {
        const name = id === facts.end ? "end" : textOf([id], facts.vocabulary);
        line.insertCell().textContent = `${name} ${(row[id] * 100).toFixed(1)}%`;
      }
    });
    around.append(table);
    figure.append(caption, around);
    return figure;
  }

  /** Measure single steps of the decoder, on the source that is entered. */
  async measure() {
    const times = [];
    const end = performance.now() + 1000;
    try {
      await this.#generator.generate(this.#area.value); // the first calls allocate
      while (performance.now() < end && times.length < 300) {
        const { steps } = await this.#generator.generate(this.#area.value);
        times.push(...steps.map(({ milliseconds }) => milliseconds));
      }
    } catch (error) {
      at("problem").textContent = error.message;
    }
    if (times.length) showLatency(times, "step", this.#resolution);
  }
}

/** The weights of each source token: attention with several heads is averaged over them. */
function averaged(rows, width) {
  return rows.map((row) => {
    const heads = Math.max(1, Math.round(row.length / Math.max(1, width)));
    const size = row.length / heads;
    return Array.from({ length: size }, (_, place) => {
      let sum = 0;
      for (let head = 0; head < heads; head++) sum += row[head * size + place];
      return sum / heads;
    });
  });
}

/** Return the example code of a page that generates. */
export function generatingSnippet() {
  return [
    'import { loadGenerator } from "./rnn-generate.js";',
    "",
    'const generator = await loadGenerator("./");  // the folder of this page',
    "const { text, ids, score } = await generator.generate(source);",
  ].join("\n");
}
