// Controls for the model's inputs. Each returns {element, feeds(), wholeAtOnce}: `feeds` returns what
// the model computes with, as tensors; `changed` is called when the user changes something.

import { tensor } from "./rnn-model.js";
import { idsOf, isCharacters, tokensById } from "./rnn-text.js";
import { shortNumber, text } from "./plots.js";

/** Return the first sequence of the inputs of a golden vector. */
export function firstSequence(entry, feeds) {
  return Object.fromEntries(entry.inputs.map(({ name }) => {
    const { shape, data } = feeds[name];
    const size = data.length / shape[0];
    return [name, { shape: [1, ...shape.slice(1)], data: data.slice(0, size) }];
  }));
}

/** Repeat one sequence, where the model has a fixed batch. */
export function filledBatch(entry, feeds) {
  return Object.fromEntries(entry.inputs.map((spec) => {
    const one = feeds[spec.name];
    const batch = typeof spec.shape[0] === "number" ? spec.shape[0] : 1;
    if (batch === one.shape[0]) return [spec.name, one];
    const data = new one.data.constructor(one.data.length * batch);
    for (let row = 0; row < batch; row++) data.set(one.data, row * one.data.length);
    return [spec.name, { shape: [batch, ...one.shape.slice(1)], data }];
  }));
}

export const scalerOf = (model, name) => (model.description.steps[name] ?? []).find((s) => s.kind === "scaler");

/** Return what the user sees of numbers that the model's scaler changes. */
function raw(model, spec, { shape, data }) {
  const scaler = scalerOf(model, spec.name);
  if (!scaler) return Array.from(data, Number);
  const part = (values, at) => (Array.isArray(values) ? values[at % shape.at(-1)] : values);
  return Array.from(data, (value, at) => {
    const factor = part(scaler.factor, at);
    return factor === 0 ? part(scaler.offset, at) : Number(value) / factor + part(scaler.offset, at);
  });
}

/** Return the tensor of raw numbers in a shape, scaled if the model has a scaler. */
function ready(model, spec, shape, values) {
  const given = { shape, data: values };
  const value = scalerOf(model, spec.name) ? model.prepared({ [spec.name]: given })[spec.name] : given;
  return tensor(value, spec);
}

function button(label, pressed, name = "") {
  const element = text("button", label, name);
  element.type = "button";
  element.addEventListener("click", pressed);
  return element;
}

function group(...elements) {
  const row = text("div", "", "buttons");
  row.append(...elements);
  return row;
}

function labelled(label, element, id) {
  const name = text("label", label);
  name.htmlFor = element.id = id;
  return [name, element];
}

/** Examples to choose from; `chosen` gets one of them. */
function exampleButton(examples, chosen) {
  let next = 0;
  return button("Next example", () => {
    next = (next + 1) % examples.length;
    chosen(examples[next]);
  });
}

/** Text entry, for an input with a vocabulary. */
export function textControl({ model, examples, changed, written }) {
  const [spec] = model.entry.inputs;
  const step = model.description.steps[spec.name].find((s) => ["text", "tokenizer"].includes(s.kind));
  const tokens = tokensById(step);
  const between = isCharacters(step) ? "" : " ";
  const shown = (feeds) => Array.from(feeds[spec.name].data, (id) => tokens.get(Number(id)) ?? "")
    .filter((token) => token && token !== "\uFFFD").join(between).trim();
  const area = document.createElement("textarea");
  area.spellcheck = false;
  area.value = shown(examples[0]);
  area.addEventListener("input", changed);
  const element = document.createElement("div");
  element.append(...labelled(isCharacters(step) ? "Text" : "Words", area, "text"));
  const buttons = [exampleButton(examples, (feeds) => {
    area.value = shown(feeds);
    changed();
  })];
  const classes = model.entry.outputs[0].shape.at(-1);
  if (isCharacters(step) && model.streams && classes === spec.below) {
    buttons.unshift(button("Write on", () => written(area, (id) => tokens.get(id) ?? "", idsOf(step)), "main"));
  }
  element.append(group(...buttons));
  return {
    element,
    tokens,
    feeds: () => ({ [spec.name]: tensor(model.prepared({ [spec.name]: [area.value] })[spec.name], spec) }),
  };
}

/** A drawing pad, for rows of pixels from 0 to 1. */
export function drawControl({ model, examples, changed }) {
  const [spec] = model.entry.inputs;
  const width = spec.shape[2];
  const height = typeof spec.shape[1] === "number" ? spec.shape[1] : width;
  let pixels = new Float64Array(width * height);
  let [column, row] = [Math.floor(width / 2), Math.floor(height / 2)];
  const pad = document.createElement("canvas");
  pad.className = "pad";
  pad.width = width * 16;
  pad.height = height * 16;
  pad.style.aspectRatio = `${width} / ${height}`;
  pad.tabIndex = 0;
  pad.setAttribute("role", "application");
  pad.setAttribute("aria-label", `Drawing pad, ${width} by ${height} pixels`);
  pad.setAttribute("aria-describedby", "pad-hint");
  const live = text("p", "", "spoken");
  live.setAttribute("aria-live", "polite");

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const pen = pad.getContext("2d");
    pen.clearRect(0, 0, pad.width, pad.height);
    pen.fillStyle = style.getPropertyValue("--ink");
    pixels.forEach((value, at) => {
      pen.globalAlpha = Math.max(0, Math.min(1, value));
      pen.fillRect((at % width) * 16, Math.floor(at / width) * 16, 16, 16);
    });
    pen.globalAlpha = 1;
    if (document.activeElement === pad && pad.matches(":focus-visible")) {
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 3;
      pen.strokeRect(column * 16 + 1, row * 16 + 1, 14, 14);
    }
  };
  const dab = (x, y) => {
    const reach = Math.max(0.75, width / 16); // a stroke is about an eighth of the pad wide
    for (let r = 0; r < height; r++) {
      for (let c = 0; c < width; c++) {
        const far = Math.hypot(c + 0.5 - x, r + 0.5 - y) / reach;
        pixels[r * width + c] = Math.max(pixels[r * width + c], Math.max(0, Math.min(1, 1.5 - far)));
      }
    }
  };
  let last = null;
  const strokeTo = (event) => {
    const box = pad.getBoundingClientRect();
    const to = [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
    const from = last ?? to;
    const dabs = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2));
    for (let at = 1; at <= dabs; at++) {
      dab(from[0] + (to[0] - from[0]) * at / dabs, from[1] + (to[1] - from[1]) * at / dabs);
    }
    last = to;
    draw();
    changed();
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = null;
    strokeTo(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (last && event.buttons) strokeTo(event);
  });
  pad.addEventListener("pointerup", () => { last = null; });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const at = row * width + column;
    if (event.key in moves) {
      column = Math.max(0, Math.min(width - 1, column + moves[event.key][0]));
      row = Math.max(0, Math.min(height - 1, row + moves[event.key][1]));
    } else if (event.key === " ") {
      pixels[at] = pixels[at] > 0.5 ? 0 : 1;
      changed();
    } else {
      return;
    }
    event.preventDefault();
    const filled = pixels[row * width + column] > 0.5 ? "filled" : "empty";
    live.textContent = `row ${row + 1}, column ${column + 1}, ${filled}`;
    draw();
  });
  for (const name of ["focus", "blur"]) pad.addEventListener(name, draw);

  const shown = (feeds) => {
    pixels = new Float64Array(width * height);
    pixels.set(raw(model, spec, feeds[spec.name]).slice(0, width * height));
    draw();
    changed();
  };
  const pictures = examples.filter((feeds) => raw(model, spec, feeds[spec.name]).every((v) => v >= 0 && v <= 1));
  const buttons = [button("Clear", () => {
    pixels = new Float64Array(width * height);
    draw();
    changed();
  })];
  if (pictures.length) {
    pixels.set(raw(model, spec, pictures[0][spec.name]).slice(0, width * height));
    buttons.push(exampleButton(pictures, shown));
  }
  const element = document.createElement("div");
  const hint = text("p", "Draw with a finger or the mouse. Keyboard: arrow keys move, space fills a pixel.", "hint");
  hint.id = "pad-hint";
  element.append(pad, live, hint, group(...buttons));
  draw();
  return {
    element,
    redraw: draw,
    feeds: () => ({ [spec.name]: ready(model, spec, [1, height, width], [...pixels]) }),
  };
}

/** Numbers as lines of comma-separated values. */
function parsed(lines, columns, what) {
  const rows = lines.split(/\r?\n/).map((line) => line.trim()).filter(Boolean).map((line) => line.split(/[,;\t]/));
  const header = rows.length && rows[0].every((cell) => !cell.trim() || Number.isNaN(Number(cell)));
  const names = header ? rows.shift().map((cell) => cell.trim()) : null;
  const values = rows.map((row, at) => {
    if (row.length !== columns) throw new Error(`${what}, row ${at + 1}: expected ${columns} numbers, got ${row.length}`);
    return row.map((cell) => {
      const value = cell.trim() === "" ? NaN : Number(cell);
      if (Number.isNaN(value) && cell.trim().toLowerCase() !== "nan") {
        throw new Error(`${what}, row ${at + 1}: '${cell.trim()}' is no number`);
      }
      return value;
    });
  });
  if (!values.length) throw new Error(`${what}: enter at least one row`);
  return { names, values };
}

/** A table that streams row by row. `streamed` gets the rows that run from the start. */
export function csvControl({ model, examples, changed, streamed }) {
  const [spec] = model.entry.inputs;
  const columns = spec.shape[2];
  const names = model.description.features[spec.name] ?? Array.from({ length: columns }, (_, at) => `x${at}`);
  const lines = (feeds) => {
    const values = raw(model, spec, feeds[spec.name]);
    const rows = Array.from({ length: values.length / columns }, (_, at) => values.slice(at * columns, (at + 1) * columns));
    return [names.join(","), ...rows.map((row) => row.map((value) => Number(value.toPrecision(6))).join(","))].join("\n");
  };
  const area = document.createElement("textarea");
  area.className = "code";
  area.wrap = "off";
  area.spellcheck = false;
  area.value = lines(examples[0]);
  const file = document.createElement("input");
  file.type = "file";
  file.accept = ".csv,text/csv,text/plain";
  let timer = null;
  let at = null; // the number of rows that ran; null: all of them
  const rows = () => parsed(area.value, columns, "CSV").values.slice(0, at ?? undefined);
  const progress = text("p", "", "hint");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Stream row by row";
  };
  const show = () => {
    let count = 0;
    try {
      count = parsed(area.value, columns, "CSV").values.length;
    } catch {
      progress.textContent = ""; // `changed` shows the message
    }
    if (count) progress.textContent = at === null ? `${count} rows` : `row ${at} of ${count}`;
    if (timer && at >= count) stop();
  };
  const next = () => {
    at = (at ?? 0) + 1;
    show();
    streamed();
  };
  const restart = () => {
    stop();
    at = null;
    show();
    changed();
  };
  const play = button("Stream row by row", () => {
    if (timer) {
      stop();
      return;
    }
    at = 0;
    timer = setInterval(next, 150);
    play.textContent = "Pause";
  }, "main");
  area.addEventListener("input", restart);
  file.addEventListener("change", async () => {
    if (!file.files.length) return;
    area.value = await file.files[0].text();
    restart();
  });
  const element = document.createElement("div");
  element.append(...labelled(`CSV: ${names.join(", ")}`, area, "csv"));
  element.append(...labelled("Or a file", file, "csv-file"), progress);
  element.append(group(play, button("All rows", restart), exampleButton(examples, (feeds) => {
    area.value = lines(feeds);
    restart();
  })));
  show();
  return {
    element,
    feeds: () => {
      const found = rows();
      return { [spec.name]: ready(model, spec, [1, found.length, columns], found.flat()) };
    },
  };
}

/** Numbers for every input: a row for each step. */
export function tableControl({ model, examples, changed }) {
  const element = document.createElement("div");
  const areas = new Map();
  const width = (spec) => spec.shape.slice(2).reduce((a, b) => a * b, 1);
  const show = (feeds) => {
    for (const [spec, area] of areas) {
      const values = raw(model, spec, feeds[spec.name]);
      const columns = spec.shape.length > 1 ? values.length / feeds[spec.name].shape[1] : 1;
      const size = spec.shape.length > 2 ? columns : 1;
      const rows = [];
      for (let at = 0; at < values.length; at += size) rows.push(values.slice(at, at + size).map(shortNumber).join(", "));
      area.value = rows.join("\n");
    }
  };
  model.entry.inputs.forEach((spec, at) => {
    const area = document.createElement("textarea");
    area.className = "code";
    area.wrap = "off";
    area.spellcheck = false;
    area.addEventListener("input", changed);
    const below = spec.below ? `, whole numbers from 0 to ${spec.below - 1}` : "";
    const names = model.description.features[spec.name];
    const what = spec.shape.length > 2 ? `a row for each step, ${width(spec)} numbers in a row` : "a number in each row";
    element.append(...labelled(`Input ${spec.name}`, area, `input-${at}`));
    area.setAttribute("aria-describedby", `about-${at}`);
    const hint = text("p", `${what}${below}${names ? `: ${names.join(", ")}` : ""}`, "hint");
    hint.id = `about-${at}`;
    element.append(hint);
    areas.set(spec, area);
  });
  show(examples[0]);
  element.append(group(exampleButton(examples, (feeds) => {
    show(feeds);
    changed();
  })));
  return {
    element,
    feeds: () => Object.fromEntries([...areas].map(([spec, area]) => {
      const columns = spec.shape.length > 2 ? width(spec) : 1;
      const { values } = parsed(area.value, columns, `Input ${spec.name}`);
      const flat = values.flat();
      if (spec.below && flat.some((id) => id < 0 || id >= spec.below)) {
        throw new Error(`Input ${spec.name}: expected whole numbers from 0 to ${spec.below - 1}`);
      }
      const shape = spec.shape.length > 1 ? [1, values.length, ...spec.shape.slice(2)] : [1];
      return [spec.name, ready(model, spec, shape, flat)];
    })),
  };
}

export const CONTROLS = { text: textControl, draw: drawControl, csv: csvControl, table: tableControl };
