// Generate sequences with an encoder and a decoder, token by token.
//
//     import { loadGenerator } from "./rnn-generate.js";
//     const generator = await loadGenerator(new URL("./", import.meta.url));
//     const { text, ids, score, ended } = await generator.generate("3 may 2021");
//
// The likeliest token is taken at each step. The folder is a package of `--for web --start TOKEN`.

import { ModelError, load, tensor } from "./rnn-model.js";
import { isCharacters } from "./rnn-text.js";

/** Load the encoder and the decoder in a folder (URL or text), or from a function that reads files.
 *
 * options.decode: the decoder, if it is loaded already.
 */
export async function loadGenerator(source, options = {}) {
  const decode = options.decode ?? await load(source, options);
  if (!decode.description.generate) {
    throw new ModelError("GENERATE", "this package has no decoder; package the model with --start TOKEN");
  }
  return new Generator(await load(source, { ...options, description: "encode.json" }), decode);
}

class Generator {
  #last = Promise.resolve();

  constructor(encode, decode) {
    this.encode = encode;
    this.decode = decode;
    this.facts = decode.description.generate;
  }

  /** Generate a sequence from one source: text, token ids, or a tensor of one sequence.
   *
   * options.maxSteps: how many tokens at most. options.onToken: called with each token's facts.
   * Calls run one after the other.
   */
  generate(source, options = {}) {
    const call = () => this.#generated(source, options);
    return (this.#last = this.#last.then(call, call));
  }

  async #generated(source, { maxSteps = this.facts.max_steps, onToken = () => true } = {}) {
    const { facts, encode, decode } = this;
    const [spec] = encode.entry.inputs;
    const feeds = { [spec.name]: this.sourceTensor(source) };
    const { outputs } = await encode.run(feeds);
    const known = { ...feeds, ...outputs };
    const memory = Object.fromEntries(facts.memory.map((name) => [name, known[name]]));
    const stream = decode.stream();
    stream.state = Object.fromEntries(facts.states.map((name) => [name, known[name]]));
    const found = { ids: [], score: 0, ended: false, attention: {}, steps: [] };
    for (const name of facts.attention) found.attention[name] = [];
    let token = facts.start;
    while (found.ids.length < maxSteps && !found.ended) {
      const began = performance.now();
      const results = await stream.run({ ...memory, [facts.token]: this.#fed(token) });
      const milliseconds = performance.now() - began;
      const row = Array.from(results[facts.output].data, Number);
      token = row.indexOf(Math.max(...row));
      if (token < 0) throw new ModelError("GENERATE", "the model returned NaN; use another source");
      found.score += Math.log(row[token]);
      found.ended = token === facts.end;
      if (!found.ended) found.ids.push(token);
      for (const name of facts.attention) found.attention[name].push(Array.from(results[name].data, Number));
      found.steps.push({ row, states: stream.state, milliseconds });
      if (onToken({ token, row }) === false) break;
    }
    return { ...found, text: textOf(found.ids, facts.vocabulary) };
  }

  /** Return what the encoder takes of a source. */
  sourceTensor(source) {
    const [spec] = this.encode.entry.inputs;
    if (source?.data !== undefined) return tensor(source, spec);
    if (typeof source === "string" && this.encode.description.steps[spec.name]) {
      const ready = this.encode.prepared({ [spec.name]: [source] })[spec.name];
      if (!ready[0].length) throw new ModelError("TEXT", "the source has no token; enter at least one");
      return tensor(ready, spec);
    }
    const ids = typeof source === "string" ? idsOfText(source, this.facts.source) : source;
    if (!ids.length) throw new ModelError("TEXT", "the source has no token; enter at least one");
    const below = spec.shape.length === 3 ? spec.shape[2] : spec.below ?? Infinity;
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= below);
    if (wrong !== undefined) {
      throw new ModelError("INPUT", `the source has the token ${wrong}; expected 0 to ${below - 1}`);
    }
    return tensor([spec.shape.length === 3 ? ids.map((id) => oneHot(id, below)) : ids], spec);
  }

  /** Return the tokens of a source, to show them. */
  sourceTokens(source) {
    if (typeof source !== "string") return Array.from(source, String);
    const steps = this.encode.description.steps[this.encode.entry.inputs[0].name] ?? [];
    const step = steps.find(({ kind }) => kind === "text" || kind === "tokenizer");
    if (step) return isCharacters(step) ? [...source] : source.split(/\s+/).filter(Boolean);
    return splitOf(this.facts.source)(source);
  }

  #fed(token) {
    const { one_hot: vectors } = this.facts;
    const spec = this.decode.entry.inputs.find(({ name }) => name === this.facts.token);
    return [[vectors ? oneHot(token, spec.shape[2]) : token]];
  }
}

const oneHot = (id, size) => Array.from({ length: size }, (_, at) => (at === id ? 1 : 0));

/** Return the function that splits a text in tokens; without a vocabulary, in ids. */
function splitOf(vocabulary) {
  return vocabulary?.split === "characters" ? (given) => [...given]
    : (given) => given.split(/\s+/).filter(Boolean);
}

/** Return the ids of a text; without a vocabulary it is a list of ids, such as "3 7 2". */
export function idsOfText(given, vocabulary) {
  const ids = new Map((vocabulary?.tokens ?? []).map((token, id) => [token, id]));
  return splitOf(vocabulary)(given).map((token) => {
    const id = vocabulary ? ids.get(token) : Number(token);
    if (id === undefined || !Number.isInteger(id)) {
      const expected = vocabulary ? "is not in the vocabulary" : "is no token id";
      throw new ModelError("VOCABULARY", `${JSON.stringify(token)} ${expected}`);
    }
    return id;
  });
}

/** Return the text of ids. */
export function textOf(ids, vocabulary) {
  if (!vocabulary) return ids.join(" ");
  const words = ids.map((id) => vocabulary.tokens[id] ?? `<${id}>`);
  return words.join(vocabulary.split === "characters" ? "" : " ");
}
