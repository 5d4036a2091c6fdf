"use strict";

// Runs the weights of a compiled decoder (target "hard"), token by token, in float64.
//
//   x = W_E[token] + n W_pos                               n = 1, 2, ... is the position
//   x = x + sum over heads of attend(q, k, v) W_O          q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V
//   x = x + snap(relu(x W_gate + b_gate) * (x W_in + b_in)) W_out
//   logits = x W_U + b_U
//
// It reads tensors and the kinds of heads, and nothing else of a model: no machine, no labels.

/** A sparse matrix: its entries (row, column, value), rows rising. */
class Matrix {
  constructor({ shape, rows, columns, values }) {
    [this.height, this.width] = shape;
    this.columns = Int32Array.from(columns);
    this.values = Float64Array.from(values);
    this.starts = new Int32Array(this.height + 1);
    for (const row of rows) this.starts[row + 1]++;
    for (let row = 0; row < this.height; row++) this.starts[row + 1] += this.starts[row];
  }

  /** Calls visit(column, value) for the entries of a row. */
  row(number, visit) {
    for (let i = this.starts[number]; i < this.starts[number + 1]; i++) {
      visit(this.columns[i], this.values[i]);
    }
  }

  /** Adds x times the matrix to y, and returns y. */
  apply(x, y = new Float64Array(this.width)) {
    for (let row = 0; row < this.height; row++) {
      if (x[row] === 0) continue;
      for (let i = this.starts[row]; i < this.starts[row + 1]; i++) {
        y[this.columns[i]] += x[row] * this.values[i];
      }
    }
    return y;
  }

  /** Returns all entries as [row, column, value]. */
  entries() {
    const found = [];
    for (let row = 0; row < this.height; row++) {
      this.row(row, (column, value) => found.push([row, column, value]));
    }
    return found;
  }
}

const made = new WeakMap(); // data of a model -> what was made of it

/** Returns what `Kind` makes of some data of a model, made once: the contexts of a run share it. */
function shared(Kind, data) {
  if (!made.has(data)) made.set(data, new Kind(data));
  return made.get(data);
}

/** Rounds to the nearest integer, halves to the even one, as IEEE 754 and torch do. */
function nearest(number) {
  const below = Math.floor(number);
  const over = number - below;
  if (over !== 0.5) return over < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** Rows of one width, one after another, that may become more. */
class Rows {
  constructor(width) {
    this.width = width;
    this.count = 0;
    this.numbers = new Float64Array(16 * width);
  }

  push(row) {
    const place = this.count++ * this.width;
    if (place + this.width > this.numbers.length) {
      const more = new Float64Array(2 * this.numbers.length);
      more.set(this.numbers);
      this.numbers = more;
    }
    this.numbers.set(row, place);
  }

  row(number) {
    return this.numbers.subarray(number * this.width, (number + 1) * this.width);
  }

  /** Returns the products of a vector with the first rows, so many. */
  dots(vector, count) {
    const { width, numbers } = this;
    const found = new Float64Array(count);
    for (let row = 0, place = 0; row < count; row++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += vector[i] * numbers[place++];
      found[row] = sum;
    }
    return found;
  }
}

/** Returns the index of the greatest number, of equals the first. */
function argmax(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}

/** Returns the last place of the greatest number, and the greatest that differs from it. */
function greatest(numbers) {
  let best = 0;
  let second = -Infinity;
  for (let i = 1; i < numbers.length; i++) {
    if (numbers[i] > numbers[best]) {
      second = numbers[best];
      best = i;
    } else if (numbers[i] === numbers[best]) best = i;
    else if (numbers[i] > second) second = numbers[i];
  }
  return { best, second };
}

/** Returns which token logits emit, and by what margin to the second (null: there is no second). */
function decided(logits) {
  const emits = argmax(logits);
  let second = -Infinity;
  logits.forEach((logit, token) => {
    if (token !== emits && logit > second) second = logit;
  });
  return { emits, margin: second === -Infinity ? null : logits[emits] - second };
}

/** A run left the range in which the weights are exact. */
class BoundError extends Error {}

/** One attention head with its cache; `attend` says what it brings to a position, and why. */
class Head {
  constructor(head, keyBound) {
    this.kind = head.kind;
    this.offset = head.offset;
    this.queries = head.W_Q && shared(Matrix, head.W_Q);
    this.queryBias = Float64Array.from(head.b_Q);
    this.keysOf = head.W_K && shared(Matrix, head.W_K);
    this.keyBias = Float64Array.from(head.b_K);
    this.valuesOf = shared(Matrix, head.W_V);
    this.out = shared(Matrix, head.W_O);
    this.onParabola = head.onParabola;
    this.keyBound = keyBound;
    this.keys = new Rows(this.queryBias.length); // of each position
    this.values = new Rows(this.valuesOf.width);
    this.sums = new Rows(this.valuesOf.width); // of all values up to each position, for "uniform"
  }

  get scored() {
    return this.kind === "latest" || this.kind === "mean";
  }

  /** Takes a new position into the cache. */
  remember(x) {
    const value = this.valuesOf.apply(x);
    this.values.push(value);
    if (this.kind === "uniform") {
      const { count } = this.sums;
      this.sums.push(count ? value.map((v, i) => v + this.sums.row(count - 1)[i]) : value);
    }
    if (this.scored) {
      const key = this.keysOf.apply(x, this.keyBias.slice());
      this.keys.push(key);
      if (this.onParabola && Math.abs(key[0]) > this.keyBound) this.tooFar();
    }
  }

  tooFar() {
    throw new BoundError(`a lookup went further than address ${this.keyBound.toLocaleString("en")}`);
  }

  /**
   * Returns {value, positions, score, margin} for a position (from 0) whose stream is x.
   * `positions` are those attended to (null: all up to this one); `margin` is by how much the
   * greatest score exceeds the greatest one that differs from it (null: there is none).
   */
  attend(x, position) {
    if (this.kind === "uniform") {
      const value = this.sums.row(position).map((sum) => sum / (position + 1));
      return { value, positions: null, score: null, margin: null };
    }
    if (this.kind === "relative") {
      const there = Math.max(0, position - this.offset);
      return { value: this.values.row(there), positions: [there], score: null, margin: null };
    }
    const query = this.queries.apply(x, this.queryBias.slice());
    if (this.onParabola && Math.abs(query[0]) / 2 > this.keyBound) this.tooFar();
    const scores = this.keys.dots(query, position + 1);
    const { best: latest, second } = greatest(scores);
    const score = scores[latest];
    const margin = second === -Infinity ? null : score - second;
    if (this.kind === "latest") {
      return { value: this.values.row(latest), positions: [latest], score, margin };
    }
    const positions = [];
    const value = new Float64Array(this.valuesOf.width);
    for (let there = 0; there <= position; there++) {
      if (scores[there] !== score) continue;
      positions.push(there);
      this.values.row(there).forEach((v, i) => (value[i] += v));
    }
    return { value: value.map((v) => v / positions.length), positions, score, margin };
  }
}

/** A feed-forward layer of gated neurons. */
class FeedForward {
  constructor(mlp) {
    this.gate = new Matrix(mlp.W_gate);
    this.gateBias = Float64Array.from(mlp.b_gate);
    this.inner = new Matrix(mlp.W_in);
    this.innerBias = Float64Array.from(mlp.b_in);
    this.out = new Matrix(mlp.W_out);
    this.snap = mlp.snap;
  }

  /** Returns the activations of all neurons. */
  activations(x) {
    const gates = this.gate.apply(x, this.gateBias.slice());
    const inner = this.inner.apply(x, this.innerBias.slice());
    return gates.map((gate, i) => {
      const found = Math.max(gate, 0) * inner[i];
      return this.snap[i] ? nearest(found) : found;
    });
  }
}

/** A compiled decoder. Feed it the tokens of a sequence; it keeps what later positions need. */
class Transformer {
  constructor(model) {
    this.embedding = shared(Matrix, model.W_E);
    this.counting = model.W_pos; // pairs of a direction and its weight
    this.layers = model.layers.map((layer) => ({
      heads: layer.heads.map((head) => new Head(head, model.bounds.key)),
      mlp: shared(FeedForward, layer.mlp),
    }));
    this.unembedding = shared(Matrix, model.W_U);
    this.outBias = Float64Array.from(model.b_U);
    this.longest = model.bounds.position;
    this.tokens = [];
  }

  /** Takes one more token; returns the pass, as `pass` does. */
  feed(token) {
    if (this.tokens.length >= this.longest) {
      const limit = this.longest.toLocaleString("en");
      throw new BoundError(`the context is longer than ${limit} tokens`);
    }
    this.tokens.push(token);
    return this.evaluate(this.tokens.length - 1, true);
  }

  /**
   * Returns what the pass at a position (from 0) is:
   * `streams`, the residual stream after the embedding and after each layer; `heads` and
   * `activations` of each layer; `logits`; `emits`, the token; `margin` to the second logit.
   */
  pass(position) {
    return this.evaluate(position, false);
  }

  evaluate(position, isNew) {
    let x = new Float64Array(this.embedding.width);
    this.embedding.row(this.tokens[position], (direction, value) => (x[direction] += value));
    for (const [direction, weight] of this.counting) x[direction] += (position + 1) * weight;
    const streams = [x];
    const heads = [];
    const activations = [];
    for (const layer of this.layers) {
      const after = x.slice();
      heads.push(
        layer.heads.map((head) => {
          if (isNew) head.remember(x);
          const found = head.attend(x, position);
          found.brought = head.out.apply(found.value);
          found.brought.forEach((value, direction) => (after[direction] += value));
          return found;
        }),
      );
      const neurons = layer.mlp.activations(after);
      activations.push(neurons);
      x = layer.mlp.out.apply(neurons, after);
      streams.push(x);
    }
    const logits = this.unembedding.apply(x, this.outBias.slice());
    const token = this.tokens[position];
    return { position, token, streams, heads, activations, logits, ...decided(logits) };
  }
}
