"use strict";

// Runs the weights of a compiled looped model, pass by pass, in float64.
//
//   x = W_E[token] + P[n]                the first pass; n = 1, 2, ... is the position
//   x = x W_loop + W_fixed[token] + P[n] each later one
//   P[n] = n W_pos + W_positions[n - 1]
//
// All positions are there from the beginning, and heads look both ways; the rest is as in
// evaluator.js.

const KEPT = 256; // streams kept, at most: so many passes, later every second, fourth, ... of them

/** One attention head of a looped model. */
class WideHead {
  constructor(head) {
    this.kind = head.kind;
    this.offset = head.offset;
    this.queries = head.W_Q && new Matrix(head.W_Q);
    this.queryBias = Float64Array.from(head.b_Q);
    this.keysOf = head.W_K && new Matrix(head.W_K);
    this.keyBias = Float64Array.from(head.b_K);
    this.valuesOf = new Matrix(head.W_V);
    this.out = new Matrix(head.W_O);
  }

  /** Takes the streams of all positions; `attend` then tells what the head brings to one. */
  see(streams) {
    this.values = streams.map((x) => this.valuesOf.apply(x));
    this.mean = null;
    this.asked = null;
    if (this.keysOf) {
      this.keys = new Rows(this.keyBias.length);
      for (const x of streams) this.keys.push(this.keysOf.apply(x, this.keyBias.slice()));
    }
  }

  /** Returns {value, positions, score, margin}, as `Head.attend` does. */
  attend(x, position) {
    if (this.kind === "uniform") {
      this.mean ??= this.mixed(this.values.map(() => 1 / this.values.length), true);
      return { value: this.mean, positions: null, score: null, margin: null };
    }
    if (this.kind === "relative") {
      const there = Math.max(0, Math.min(this.values.length - 1, position - this.offset));
      return { value: this.values[there], positions: [there], score: null, margin: null };
    }
    if (this.asked && !this.queries.values.length) return this.asked; // it asks the same everywhere
    const query = this.queries.apply(x, this.queryBias.slice());
    const scores = this.keys.dots(query, this.values.length);
    this.asked = this.kind === "softmax" ? this.softmax(scores) : this.latest(scores);
    return this.asked;
  }

  latest(scores) {
    const { best, second } = greatest(scores);
    const margin = second === -Infinity ? null : scores[best] - second;
    return { value: this.values[best], positions: [best], score: scores[best], margin };
  }

  softmax(scores) {
    const { best } = greatest(scores);
    const root = Math.sqrt(this.keyBias.length);
    const shares = [...scores].map((score) => Math.exp((score - scores[best]) / root));
    const total = shares.reduce((sum, share) => sum + share, 0);
    const value = this.mixed(shares.map((share) => share / total), false);
    return { value, positions: [best], score: scores[best] / root, margin: null, share: shares[best] / total };
  }

  /** Returns the sum of all values, each times its share; of equal shares, one division. */
  mixed(shares, equal) {
    const sum = new Float64Array(this.valuesOf.width);
    this.values.forEach((value, i) => value.forEach((v, d) => (sum[d] += equal ? v : v * shares[i])));
    return equal ? sum.map((v) => v / this.values.length) : sum;
  }
}

/** A compiled looped model on one sequence, of which `passes` passes were made. */
class LoopedTransformer {
  constructor(model, tokens) {
    this.tokens = tokens;
    this.layers = model.layers.map((layer) => ({
      heads: layer.heads.map((head) => new WideHead(head)),
      mlp: new FeedForward(layer.mlp),
    }));
    this.loop = new Matrix(model.W_loop);
    this.unembedding = new Matrix(model.W_U);
    this.outBias = Float64Array.from(model.b_U);
    const embedding = new Matrix(model.W_E);
    const fixed = new Matrix(model.W_fixed);
    const table = model.W_positions && new Matrix(model.W_positions);
    if (table && tokens.length > table.height) {
      throw new BoundError(`${tokens.length} positions, and the weights have ${table.height}`);
    }
    const put = (matrix) =>
      tokens.map((token, i) => {
        const x = new Float64Array(embedding.width);
        matrix.row(token, (direction, value) => (x[direction] += value));
        for (const [direction, weight] of model.W_pos) x[direction] += (i + 1) * weight;
        if (table) table.row(i, (direction, value) => (x[direction] += value));
        return x;
      });
    this.fixed = put(fixed);
    this.passes = 0;
    this.stride = 1;
    this.kept = [put(embedding)]; // streams before every stride-th pass
    this.next = this.kept[0];
  }

  /** Makes one pass; returns the streams of all positions after the embedding and each layer. */
  turn() {
    const streams = this.through(this.next);
    this.next = this.after(streams);
    this.passes++;
    if (this.passes % this.stride === 0) this.kept.push(this.next);
    if (this.kept.length > KEPT) {
      this.kept = this.kept.filter((_, i) => i % 2 === 0);
      this.stride *= 2;
    }
    return streams;
  }

  /** Returns the streams of a pass that was made (from 0), or of the next one, which is not. */
  streams(pass) {
    let x = this.kept[Math.floor(pass / this.stride)];
    for (let made = pass - (pass % this.stride); made < pass; made++) x = this.after(this.through(x));
    return this.through(x);
  }

  through(start) {
    const streams = [start];
    for (const { heads, mlp } of this.layers) {
      const x = streams[streams.length - 1];
      for (const head of heads) head.see(x);
      streams.push(
        x.map((vector, position) => {
          const after = vector.slice();
          for (const head of heads) head.out.apply(head.attend(vector, position).value, after);
          return mlp.out.apply(mlp.activations(after), after);
        }),
      );
    }
    return streams;
  }

  after(streams) {
    return streams[streams.length - 1].map((x, i) => this.loop.apply(x, this.fixed[i].slice()));
  }

  /** Positions look both ways. */
  get wide() {
    return true;
  }

  /** Returns what a pass (from 0) is at a position (from 0), as `Transformer.pass` does. */
  pass(number, position) {
    const all = this.streams(number);
    const streams = all.map((x) => x[position]);
    const heads = [];
    const activations = [];
    this.layers.forEach((layer, l) => {
      const after = streams[l].slice();
      heads.push(
        layer.heads.map((head) => {
          head.see(all[l]);
          const found = { ...head.attend(streams[l], position) };
          found.brought = head.out.apply(found.value);
          found.brought.forEach((value, direction) => (after[direction] += value));
          return found;
        }),
      );
      activations.push(layer.mlp.activations(after));
    });
    const token = this.tokens[position];
    return { position, token, streams, heads, activations, ...this.emitted(streams) };
  }

  /** Returns logits, the token emitted and its margin, where streams are those of one position. */
  emitted(streams) {
    const logits = this.unembedding.apply(streams[streams.length - 1], this.outBias.slice());
    return { logits, ...decided(logits) };
  }
}

/**
 * A run of a looped model: a pass is a step, and positions are cells. Each pass is seen from the
 * cell with tape 0's head. Where a head leaves the window, it is doubled, and the passes are made
 * again: the weights do not depend on it.
 */
class LoopedRun extends Run {
  open(tokens) {
    this.transformer = new LoopedTransformer(this.model, tokens);
    this.contexts = [this.transformer];
    this.origins ??= this.start.origins; // addresses of the first cell
  }

  /** How many cells there are, between the two edges. */
  get cells() {
    return this.transformer.tokens.length - 2;
  }

  pass() {
    const { heads } = this.now;
    const position = 1 + heads[0] - this.origins[0];
    const streams = this.transformer.turn().map((x) => x[position]);
    const { emits, margin } = this.transformer.emitted(streams);
    const { name, step, role, outcome } = this.token(emits);
    if (step && heads.some((head, t) => !this.holds(head + step.moves[t] - this.origins[t]))) {
      this.widen();
      this.pass();
      return;
    }
    this.passes.push({ context: 0, position, emits, margin, steps: this.steps.length });
    if (step) this.take(step);
    if (step || role === "end") this.outcome = outcome;
    else this.trouble = `${name} was emitted, which is no step`;
  }

  holds(cell) {
    return cell >= 0 && cell < this.cells;
  }

  /** Doubles the window, and makes the passes up to here again. */
  widen() {
    const { tokens } = this.transformer;
    if (2 * this.cells + 2 > this.model.bounds.position) {
      throw new BoundError(`a head leaves the window of ${this.cells} cells, and there is none wider`);
    }
    const { left, right } = this.model.blanks;
    const before = Math.floor(this.cells / 2);
    const after = this.cells - before;
    this.origins = this.origins.map((address) => address - before);
    for (const pass of this.passes) pass.position += before;
    this.open([tokens[0], ...Array(before).fill(left), ...tokens.slice(1, -1), ...Array(after).fill(right), tokens[tokens.length - 1]]);
    for (let made = 0; made < this.steps.length; made++) this.transformer.turn();
  }

  /** Positions are cells, and none of them is a step. */
  stepAt() {
    return null;
  }

  details(number) {
    return this.contexts[0].pass(number, this.passes[number].position);
  }
}

/** Returns a new run of a model, whatever its kind. */
function runOf(payload, start) {
  return new (payload.model.view === "cells" ? LoopedRun : Run)(payload, start);
}
