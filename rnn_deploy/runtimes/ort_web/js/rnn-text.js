// Token ids from text and scaled numbers from raw ones, as Keras and rnn_deploy in Python make them.

const PUNCTUATION = new Set("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'");
const SPACES = /[ \t\n\r\v\f]+/; // of ASCII, as Keras splits

/** Return the function of one step of preprocessing; what already is numbers passes through. */
export function encoder(step, spec, ModelError) {
  if (step.kind === "scaler") return (value) => scaled(value, step, spec, ModelError);
  if (step.kind === "text" || step.kind === "tokenizer") {
    const ids = idsOf(step);
    return (value) => {
      const texts = typeof value === "string" ? [value] : value;
      return isTexts(texts) ? padded(texts.map(ids), step, spec, ModelError) : value;
    };
  }
  const known = new Map(words(step));
  if (step.mask !== null) known.set(step.mask, 0);
  const one = (item) => {
    if (Array.isArray(item)) return item.map(one);
    const index = known.get(item) ?? step.unknown;
    if (index < 0) {
      throw new ModelError("VOCABULARY", `'${spec.name}': ${JSON.stringify(item)} is not in the vocabulary`);
    }
    return index;
  };
  return (value) => (Array.isArray(value) ? one(value) : value);
}

/** Return a function from one text to its ids. */
export function idsOf(step) {
  if (step.kind === "tokenizer") return (text) => oldIds(step, text);
  const known = new Map(words(step));
  return (text) => tokens(step, text).map((token) => (
    token === step.mask ? 0 : known.get(token) ?? step.unknown
  ));
}

/** Return the token of each id, to show ids as text. */
export function tokensById(step) {
  if (step.kind !== "tokenizer") return new Map(step.vocabulary.map((word, id) => [id, String(word)]));
  return new Map(Object.entries(step.index).map(([word, id]) => [id, word]));
}

/** Whether the tokens of a step are single characters. */
export function isCharacters(step) {
  return step.kind === "tokenizer" ? step.characters : step.kind === "text" && step.split === "character";
}

const isTexts = (value) => Array.isArray(value) && value.every((item) => typeof item === "string");

function words(step) {
  const first = step.special.length;
  return step.vocabulary.slice(first).map((word, index) => [word, first + index]);
}

function padded(rows, step, spec, ModelError) {
  const length = step.length ?? (rows.length > 1 || step.pad ? Math.max(0, ...rows.map((r) => r.length)) : null);
  if (rows.every((row) => row.length === 0) && !length) {
    throw new ModelError("TEXT", `'${spec.name}': the text holds no token; enter at least one`);
  }
  if (length === null) return rows;
  return rows.map((row) => [...row.slice(0, length), ...Array(Math.max(0, length - row.length)).fill(0)]);
}

function tokens(step, text) {
  const standardize = step.standardize ?? "";
  let found = text;
  if (standardize.startsWith("lower")) found = found.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  if (standardize.endsWith("strip_punctuation")) {
    found = [...found].filter((letter) => !PUNCTUATION.has(letter)).join("");
  }
  let list = [found];
  if (step.split === "whitespace") list = found.split(SPACES).filter(Boolean);
  if (step.split === "character") list = [...found];
  if (step.ngrams === null || step.ngrams === undefined) return list;
  return step.ngrams.flatMap((width) => (
    list.slice(0, Math.max(0, list.length - width + 1)).map((_, at) => list.slice(at, at + width).join(" "))
  ));
}

function oldIds(step, text) {
  let found = step.lower ? text.toLowerCase() : text;
  let list = [...found];
  if (!step.characters) {
    const filters = new Set(step.filters);
    found = [...found].map((letter) => (filters.has(letter) ? step.separator : letter)).join("");
    list = found.split(step.separator).filter(Boolean);
  }
  const get = (word) => (Object.hasOwn(step.index, word) ? step.index[word] : undefined);
  return list
    .map((word) => {
      const id = get(word);
      return id === undefined || (step.words !== null && id >= step.words) ? get(step.unknown) : id;
    })
    .filter((id) => id !== undefined);
}

function scaled(value, step, spec, ModelError) {
  const lists = Array.isArray(step.offset);
  const part = (values, at) => (lists ? values[at] : values);
  const one = (number, at) => (number - part(step.offset, at)) * part(step.factor, at);
  const width = lists ? step.offset.length : 0;
  const refuse = (found) => {
    if (lists && found !== width) {
      throw new ModelError("SHAPE", `'${spec.name}': expected ${width} features to scale, got ${found}`);
    }
  };
  if (value && value.data !== undefined) {
    const last = value.shape.at(-1);
    refuse(last);
    return { shape: value.shape, data: Array.from(value.data, (n, at) => one(Number(n), at % last)) };
  }
  const nested = (item) => {
    if (!item.length || !(Array.isArray(item[0]) || ArrayBuffer.isView(item[0]))) {
      refuse(item.length);
      return Array.from(item, one);
    }
    return Array.from(item, nested);
  };
  return nested(value);
}
