// What the page shows: the prediction, the plots over time, latency, and the self-check.

import { heatMap, linePlot, shortNumber, text } from "./plots.js";

const MOST_BARS = 12;
const MOST_FLAT = 512; // numbers of one output or state that are drawn
/** The element with an id. */
export const at = (id) => document.getElementById(id);

/** Return the numbers of the first sequence of a tensor, at one step if it is over time. */
export function rowOf(tensor, axis, step) {
  const batch = tensor.shape.length ? tensor.shape[0] : 1;
  const row = Array.from(tensor.data.subarray(0, tensor.data.length / batch), Number);
  if (axis < 0) return row;
  const size = row.length / tensor.shape[axis];
  const inner = axis === 1 ? size : null;
  if (inner === null) return row;
  const place = step < 0 ? tensor.shape[axis] + step : step;
  return row.slice(place * size, (place + 1) * size);
}

/** Return names of the numbers of an output: labels, tokens, or their places. */
export function namesOf(model, spec, count) {
  const labels = model.description.labels[spec.name];
  if (labels && labels.length === count) return labels;
  const names = Array.from({ length: count }, (_, index) => String(index));
  return count === 1 ? [spec.name] : names;
}

/** Show the numbers of each output. outputs: {spec, row, names}. */
export function showPrediction(outputs) {
  const parts = outputs.flatMap(({ spec, row, names }) => {
    const title = outputs.length > 1 ? [text("h3", spec.name)] : [];
    const labels = names.length === 2 && row.length === 1;
    const values = labels ? [1 - row[0], row[0]] : row;
    return [...title, ...(isDistribution(values) ? bars(values, names) : [numbers(values, names)])];
  });
  at("prediction").replaceChildren(...parts);
}

function isDistribution(row) {
  const sum = row.reduce((a, b) => a + b, 0);
  return row.length > 1 && row.every((value) => value >= -1e-6) && Math.abs(sum - 1) < 1e-3;
}

function bars(row, names) {
  const order = row.map((_, index) => index).sort((a, b) => row[b] - row[a]);
  const best = order[0];
  const listed = row.length <= MOST_BARS ? order.slice().sort((a, b) => a - b) : order.slice(0, 8);
  const list = text("ul", "", "bars");
  for (const index of listed) {
    const item = text("li", "", index === best ? "best" : "");
    const track = text("span", "", "track");
    const fill = text("span", "", "fill");
    fill.style.width = `${Math.max(0, Math.min(1, row[index])) * 100}%`;
    track.append(fill);
    item.append(text("span", names[index]), track, text("span", percent(row[index]), "amount"));
    list.append(item);
  }
  const answer = text("p", `${names[best]} `, "best-answer");
  answer.append(text("small", percent(row[best])));
  return [answer, list];
}

const percent = (share) => `${(share * 100).toFixed(1)}%`;

function numbers(row, names) {
  const list = text("dl", "", "figures");
  row.slice(0, 24).forEach((value, index) => {
    const item = document.createElement("div");
    item.append(text("dt", names[index]), text("dd", shortNumber(value)));
    list.append(item);
  });
  if (row.length > 24) list.append(text("p", `and ${row.length - 24} more`, "note"));
  return list;
}

/** Plots of a trace: {outputs: [{spec, names, rows}], states: [{spec, rows}], note}. */
export class Timeline {
  #trace = null;
  #step = 0;

  constructor() {
    at("step").addEventListener("input", () => {
      this.#step = Number(at("step").value) - 1;
      this.#draw();
    });
  }

  show(trace) {
    this.#trace = trace;
    const steps = Math.max(0, ...[...trace.outputs, ...trace.states].map(({ rows }) => rows.length));
    this.#step = Math.max(0, steps - 1);
    at("step").max = String(Math.max(1, steps));
    at("step").value = String(this.#step + 1);
    at("stepper").hidden = steps < 2;
    at("time-note").textContent = trace.note;
    this.#draw();
  }

  #draw() {
    const step = this.#step;
    const drawn = ({ rows }) => rows.length && rows[0].length && rows[0].length <= MOST_FLAT;
    const outputs = this.#trace.outputs.filter(drawn);
    const states = this.#trace.states.filter(drawn);
    at("plots").replaceChildren(
      ...outputs.map(({ spec, names, rows }) => linePlot(`Output ${spec.name}`, names, rows, step)),
      ...states.map(({ spec, rows }) => heatMap(`State ${spec.layer} (${spec.role})`, rows, step)),
    );
    const parts = outputs.map(({ spec, names, rows }) => {
      const row = rows[Math.min(step, rows.length - 1)];
      const best = row.indexOf(Math.max(...row));
      return row.length > 4 ? `${spec.name}: largest is ${names[best]}, ${shortNumber(row[best])}`
        : row.map((value, index) => `${names[index]} ${shortNumber(value)}`).join(", ");
    });
    at("step-text").textContent = `Step ${step + 1}. ${parts.join("; ")}`;
  }

  /** Draw again, for example in other colours. */
  again() {
    if (this.#trace) this.#draw();
  }
}

/** Show median and 95th percentile of times in milliseconds. */
export function showLatency(times, what, resolution) {
  const sorted = [...times].sort((a, b) => a - b);
  const quantile = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const shown = (value) => (value < resolution ? `< ${resolution} ms` : `${value.toFixed(value < 10 ? 2 : 1)} ms`);
  at("median").textContent = shown(quantile(0.5));
  at("p95").textContent = shown(quantile(0.95));
  at("count").textContent = String(sorted.length);
  at("count-name").textContent = what === "step" ? "Steps measured" : "Sequences measured";
  at("latency-note").textContent = `Time of one ${what}, one sequence, one thread, on this device. `
    + `The browser's clock has a resolution of about ${resolution} ms.`;
}

/** Show what the self-check found. */
export function showCheck({ passed, comparisons }) {
  const badge = at("badge");
  badge.className = `badge ${passed ? "good" : "bad"}`;
  const wrong = comparisons.filter((each) => !each.passed);
  badge.textContent = passed ? `Self-check passed: ${comparisons.length} comparisons` : "Self-check failed";
  const cases = new Set(comparisons.map((each) => each.case)).size;
  at("check-text").textContent = passed
    ? `Outputs and states of ${cases} golden vectors, whole and step by step, are within the error`
      + " budgets that the export derived from TensorFlow's own rounding."
    : "This page does not compute what the original model computes. Do not use its predictions."
      + " Package the model again; if it fails again, report the line below.";
  if (!passed && !wrong.length) at("wrong").append(text("p", "No comparison was decisive.", "failure"));
  for (const each of wrong.slice(0, 3)) at("wrong").append(text("p", located(each), "failure"));
  const body = at("comparisons").tBodies[0];
  for (const each of comparisons) {
    const row = body.insertRow();
    const result = each.passed ? (each.decisive ? "within" : "within, not decisive") : "outside";
    for (const cell of [each.case, each.how, `${each.kind} ${each.name}`, shortNumber(each.error), shortNumber(each.budget), result]) {
      row.insertCell().textContent = cell;
    }
    if (!each.passed) row.lastChild.className = "bad";
  }
  at("check-details").hidden = false;
  if (!passed) document.querySelector("main").prepend(at("check")); // before anything else
}

function located(each) {
  const place = `${each.name}[${each.index.join(", ")}]`;
  return `${each.case}, ${each.how}: ${each.kind} ${place} is ${each.found}, expected ${each.expected}`
    + ` within ${shortNumber(each.budget)}`;
}
