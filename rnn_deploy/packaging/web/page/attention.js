// A heat map of attention: a row for each generated token, a column for each token of the source.

import { shortNumber, text } from "./plots.js";

/** Return the figure. rows: weights of each generated token. sources, tokens: their names. */
export function attentionMap(title, rows, sources, tokens) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.append(text("strong", title), text("span", "darker: more weight", "legend"));
  const around = text("div", "", "scroll");
  around.tabIndex = 0;
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", `${title}, a row for each generated token`);
  const table = text("table", "", "attention");
  const head = table.createTHead().insertRow();
  head.append(text("td", ""));
  const width = rows[0]?.length ?? 0;
  for (let at = 0; at < width; at++) head.append(header(sources[at] ?? "", "col"));
  const body = table.createTBody();
  rows.forEach((row, step) => {
    const line = body.insertRow();
    line.append(header(tokens[step] ?? "", "row"));
    row.forEach((weight) => {
      const cell = line.insertCell();
      const shade = Number.isFinite(weight) ? Math.max(0, Math.min(1, weight)) : 0;
      cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(shade * 100)}%, transparent)`;
      cell.title = shortNumber(weight);
      cell.append(text("span", shortNumber(weight), "spoken"));
    });
  });
  around.append(table);
  figure.append(caption, around);
  return figure;
}

function header(name, scope) {
  const cell = text("th", { " ": "␣", "\n": "⏎" }[name] ?? name);
  cell.scope = scope;
  return cell;
}
