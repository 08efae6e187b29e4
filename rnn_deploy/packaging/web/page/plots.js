// Two plots over time: lines for outputs, a heat map for states. Both share one marked step.

const SHADES = ["--s0", "--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--s7"];
const MOST_LINES = SHADES.length;
const SVG = "http://www.w3.org/2000/svg";

/** Return a number with four significant digits. */
export function shortNumber(value) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** A figure with a line for each number of an output. rows: the output at each step. */
export function linePlot(title, names, rows, step) {
  const shown = mostChanging(rows, MOST_LINES);
  const { figure, caption } = newFigure(title);
  shown.forEach((column, at) => caption.append(legend(names[column], SHADES[at])));
  if (shown.length < names.length) caption.append(text("span", `${shown.length} of ${names.length} shown`, "legend"));
  const svg = document.createElementNS(SVG, "svg");
  figure.append(svg);
  const values = shown.flatMap((column) => rows.map((row) => row[column])).filter(Number.isFinite);
  const draw = (width) => drawLines(svg, width, { rows, shown, step, range: rangeOf(values) });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", spoken(title, shown.map((c) => names[c]), shown.map((c) => rows.map((r) => r[c]))));
  onWidth(figure, draw);
  return figure;
}

function drawLines(svg, width, { rows, shown, step, range: [low, high] }) {
  const [left, right, top, bottom, height] = [64, 8, 8, 22, 190];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.replaceChildren();
  const x = (at) => left + (rows.length < 2 ? 0.5 : at / (rows.length - 1)) * (width - left - right);
  const y = (value) => top + (1 - (value - low) / (high - low)) * (height - top - bottom);
  for (const value of [low, (low + high) / 2, high]) {
    shape(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) });
    shape(svg, "text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }).textContent = shortNumber(value);
  }
  shape(svg, "text", { x: left, y: height - 5 }).textContent = "step 1";
  shape(svg, "text", { x: width - right, y: height - 5, "text-anchor": "end" }).textContent = String(rows.length);
  shown.forEach((column, at) => {
    const points = rows.map((row, t) => [t, row[column]]).filter(([, value]) => Number.isFinite(value));
    const style = `stroke: var(${SHADES[at]}); fill: none; stroke-width: 2`;
    shape(svg, "polyline", { style, points: points.map(([t, value]) => `${x(t)},${y(value)}`).join(" ") });
    if (points.length < 40) {
      for (const [t, value] of points) {
        shape(svg, "circle", { cx: x(t), cy: y(value), r: 2.5, style: `fill: var(${SHADES[at]})` });
      }
    }
  });
  shape(svg, "line", { class: "cursor", x1: x(step), x2: x(step), y1: top, y2: height - bottom });
}

/** A figure with a row for each unit of a state and a column for each step. */
export function heatMap(title, rows, step) {
  const { figure, caption } = newFigure(title);
  const units = rows[0].length;
  const most = Math.max(...rows.flat().map(Math.abs).filter(Number.isFinite), 1e-12);
  caption.append(text("span", `${units} units`, "legend"));
  for (const [name, variable] of [[`−${shortNumber(most)}`, "--low"], [`+${shortNumber(most)}`, "--high"]]) {
    const item = legend(name, variable);
    item.firstChild.style.background = `rgb(var(${variable}))`;
    caption.append(item);
  }
  const canvas = document.createElement("canvas");
  const means = rows.map((row) => row.reduce((a, b) => a + Math.abs(b), 0) / units);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", spoken(title, ["mean magnitude"], [means]));
  figure.append(canvas);
  onWidth(figure, (width) => drawHeat(canvas, width, { rows, units, most, step }));
  return figure;
}

function drawHeat(canvas, width, { rows, units, most, step }) {
  const scale = window.devicePixelRatio || 1;
  const height = Math.min(180, Math.max(48, units * 8));
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const style = getComputedStyle(document.documentElement);
  const [low, high] = ["--low", "--high"].map((name) => style.getPropertyValue(name));
  const pen = canvas.getContext("2d");
  const [wide, tall] = [canvas.width / rows.length, canvas.height / units];
  rows.forEach((row, t) => row.forEach((value, unit) => {
    const strength = Math.min(1, Math.abs(value) / most);
    pen.fillStyle = Number.isFinite(value) ? `rgba(${value < 0 ? low : high}, ${strength})` : style.getPropertyValue("--bad");
    const [left, top] = [Math.round(t * wide), Math.round(unit * tall)];
    pen.fillRect(left, top, Math.round((t + 1) * wide) - left, Math.round((unit + 1) * tall) - top);
  }));
  pen.strokeStyle = style.getPropertyValue("--ink");
  pen.lineWidth = Math.max(1, scale);
  pen.strokeRect(step * wide + 0.5, 0.5, Math.max(1, wide - 1), canvas.height - 1);
}

function rangeOf(values) {
  const low = Math.min(...values, Infinity);
  const high = Math.max(...values, -Infinity);
  if (low > high) return [0, 1];
  if (low > 0 && low < high / 1000) return [0, high];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** The columns whose values differ most over time, in their own order. */
function mostChanging(rows, count) {
  const spread = rows[0].map((_, column) => {
    const values = rows.map((row) => row[column]);
    return Math.max(...values) - Math.min(...values) + Math.max(...values.map(Math.abs)) * 1e-3;
  });
  const order = spread.map((_, column) => column).sort((a, b) => spread[b] - spread[a]);
  return order.slice(0, count).sort((a, b) => a - b);
}

function spoken(title, names, columns) {
  const ends = columns.map((values, at) => (
    `${names[at]} from ${shortNumber(values[0])} to ${shortNumber(values.at(-1))}`
  ));
  return `${title}, ${columns[0]?.length ?? 0} steps: ${ends.join("; ")}`;
}

function newFigure(title) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.append(text("strong", title));
  figure.append(caption);
  return { figure, caption };
}

function legend(name, variable) {
  const item = text("span", "", "legend");
  const line = document.createElement("i");
  line.style.background = `var(${variable})`;
  item.append(line, name);
  return item;
}

function onWidth(figure, draw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(figure.clientWidth);
    if (width && width !== last) draw((last = width));
  }).observe(figure);
}

/** Return a new element with text. */
export function text(tag, content, name = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  if (name) element.className = name;
  return element;
}

function shape(svg, tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  svg.append(element);
  return element;
}
