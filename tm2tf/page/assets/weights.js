"use strict";

// The weights of one head, neuron, direction or token, as tables. Read off the tensors.

/** A weight as text: whole numbers as they are, powers of two from 2^16 on as such. */
function shown(number) {
  const size = Math.abs(number);
  const power = Math.log2(size);
  if (size >= 65536 && Number.isInteger(power)) return `${number < 0 ? "−" : ""}2^${power}`;
  const text = Number.isInteger(number) ? size.toLocaleString("en") : String(+size.toPrecision(6));
  return number < 0 ? `−${text}` : text;
}

/** A formula whose signs and arrows stay with what follows: lines end after no `-` (U+2060 joins). */
function unbroken(text) {
  return text.replace(/(^|[\s(])-(?=\S)/g, "$1-\u2060");
}

class Weights {
  constructor(model) {
    this.model = model;
    this.names = model.directions;
    this.embedding = new Matrix(model.W_E);
    this.unembedding = new Matrix(model.W_U);
    this.loop = model.W_loop ? new Matrix(model.W_loop).entries() : [];
    this.fixed = model.W_fixed ? new Matrix(model.W_fixed) : null;
    this.layers = model.layers.map((layer) => ({
      heads: layer.heads.map((head) => ({
        ...head,
        qk: head.W_Q ? this.qk(head) : [],
        ov: this.product(new Matrix(head.W_V), new Matrix(head.W_O)),
      })),
      mlp: {
        ...layer.mlp,
        gate: new Matrix(layer.mlp.W_gate).entries(),
        inner: new Matrix(layer.mlp.W_in).entries(),
        out: new Matrix(layer.mlp.W_out).entries(),
      },
    }));
  }

  /** Returns the entries [row, column, value] of a matrix times another. */
  product(left, right) {
    const total = new Map();
    for (const [row, middle, a] of left.entries()) {
      right.row(middle, (column, b) => {
        const place = row * right.width + column;
        total.set(place, (total.get(place) ?? 0) + a * b);
      });
    }
    return [...total]
      .filter(([, value]) => value !== 0)
      .sort(([a], [b]) => a - b)
      .map(([place, value]) => [Math.floor(place / right.width), place % right.width, value]);
  }

  /** Returns the entries [query, key, weight] of W_Q W_K^T; the constant 1 has the last number. */
  qk(head) {
    const one = this.names.length;
    const sides = [[head.W_Q, head.b_Q], [head.W_K, head.b_K]].map(([matrix, bias]) => {
      const columns = bias.map((constant) => (constant ? [[one, constant]] : []));
      for (const [row, column, value] of new Matrix(matrix).entries()) columns[column].push([row, value]);
      return columns;
    });
    const total = new Map();
    sides[0].forEach((query, i) => {
      for (const [from, a] of query) {
        for (const [to, b] of sides[1][i]) {
          const place = from * (one + 1) + to;
          total.set(place, (total.get(place) ?? 0) + a * b);
        }
      }
    });
    return [...total]
      .filter(([, value]) => value !== 0)
      .sort(([a], [b]) => a - b)
      .map(([place, value]) => [Math.floor(place / (one + 1)), place % (one + 1), value]);
  }

  name(direction) {
    return this.names[direction] ?? "1";
  }

  /** Returns what a head compares and what it moves. */
  head(layer, index) {
    const head = this.layers[layer].heads[index];
    const tables = [];
    if (head.W_Q) {
      const rows = head.qk.map(([q, k, weight]) => [this.name(q), this.name(k), weight]);
      tables.push({ caption: "QK circuit: what the score adds up", columns: ["here", "there", "weight"], rows });
    }
    const rows = head.ov.map(([from, to, weight]) => [this.name(from), this.name(to), weight]);
    tables.push({ caption: "OV circuit: what is brought", columns: ["from, there", "to, here", "weight"], rows });
    const kind = head.kind === "relative" ? `relative, ${head.offset} back` : head.kind;
    return {
      title: `Head ${layer}.${index}: ${head.name}`,
      facts: [["kind", kind], ["attends to", head.attends], ["brings", head.brings]],
      tables,
    };
  }

  /** Returns what a neuron reads and writes. */
  neuron(layer, index) {
    const { names, texts, gate, inner, out, b_gate, b_in, snap } = this.layers[layer].mlp;
    const side = (entries, bias) => [
      ...entries.filter(([, column]) => column === index).map(([row, , weight]) => [this.name(row), weight]),
      ...(bias[index] ? [["1", bias[index]]] : []),
    ];
    const written = out.filter(([row]) => row === index).map(([, column, weight]) => [this.name(column), weight]);
    return {
      title: `Neuron ${layer}.${index}`,
      facts: [
        ["label", names[index]],
        ["does", texts[index]],
        ["formula", snap[index] ? "round(relu(gate) × inner)" : "relu(gate) × inner"],
      ],
      tables: [
        { caption: "Gate: the sum of", columns: ["direction", "weight"], rows: side(gate, b_gate) },
        { caption: "Inner: the sum of", columns: ["direction", "weight"], rows: side(inner, b_in) },
        { caption: "Writes, times its activation", columns: ["direction", "weight"], rows: written },
      ],
    };
  }

  /** Returns who writes a residual direction and who reads it. */
  direction(number) {
    const { tokens } = this.model;
    const writes = [];
    const reads = [];
    for (const [token, direction, weight] of this.embedding.entries()) {
      if (direction === number) writes.push([`token ${tokens[token].name}`, weight]);
    }
    for (const [direction, weight] of this.model.W_pos) {
      if (direction === number) writes.push(["the position", weight]);
    }
    for (const [from, to, weight] of this.loop) {
      if (to === number) writes.push([`${this.name(from)}, at the end of the pass before`, weight]);
      if (from === number) reads.push([`${this.name(to)}, at the beginning of the next pass`, weight]);
    }
    this.layers.forEach(({ heads, mlp }, layer) => {
      heads.forEach((head, index) => {
        const label = `head ${layer}.${index} ${head.name}`;
        for (const [q, k, weight] of head.qk) {
          if (q === number) reads.push([`${label}: query, with key ${this.name(k)}`, weight]);
          if (k === number) reads.push([`${label}: key, with query ${this.name(q)}`, weight]);
        }
        for (const [from, to, weight] of head.ov) {
          if (from === number) reads.push([`${label}: value, to ${this.name(to)}`, weight]);
          if (to === number) writes.push([`${label}, from ${this.name(from)}`, weight]);
        }
      });
      const label = (neuron) => `neuron ${layer}.${neuron} ${mlp.names[neuron]}`;
      for (const [row, neuron, weight] of mlp.gate) if (row === number) reads.push([`${label(neuron)}: gate`, weight]);
      for (const [row, neuron, weight] of mlp.inner) if (row === number) reads.push([`${label(neuron)}: inner`, weight]);
      for (const [neuron, column, weight] of mlp.out) if (column === number) writes.push([label(neuron), weight]);
    });
    this.unembedding.row(number, (token, weight) => reads.push([`logit of ${tokens[token].name}`, weight]));
    const features = this.model.features.filter(({ directions }) => directions.includes(number));
    return {
      title: `Direction ${number}: ${this.name(number)}`,
      facts: features.length ? [["feature", features.map((feature) => feature.name).join(", ")]] : [],
      tables: [
        { caption: "Written by", columns: ["who", "weight"], rows: writes },
        { caption: "Read by", columns: ["who", "weight"], rows: reads },
      ],
    };
  }

  /** Returns what a token embeds and what its logit adds up. */
  token(id) {
    const { name, role, outcome, step, cell } = this.model.tokens[id];
    const embeds = [];
    this.embedding.row(id, (direction, weight) => embeds.push([this.name(direction), weight]));
    const again = [];
    this.fixed?.row(id, (direction, weight) => again.push([this.name(direction), weight]));
    const logit = this.unembedding
      .entries()
      .filter(([, token]) => token === id)
      .map(([row, , weight]) => [this.name(row), weight]);
    if (this.model.b_U[id]) logit.push(["1", this.model.b_U[id]]);
    const facts = [["role", role]];
    const moves = { "-1": "left", 0: "stay", 1: "right" };
    if (step) facts.push(["says", `write ${step.writes.join(", ")}; move ${step.moves.map((m) => moves[m]).join(", ")}; enter ${step.state}`]);
    if (cell) facts.push(["says", cell.state === null ? `a cell with ${cell.symbol}` : `the head's cell, with ${cell.symbol}, in state ${cell.state}`]);
    if (outcome) facts.push(["ends the run", outcome]);
    return {
      title: `Token ${id}: ${name}`,
      facts,
      tables: [
        { caption: "Embeds", columns: ["direction", "weight"], rows: embeds },
        ...(this.fixed ? [{ caption: "Adds in each later pass", columns: ["direction", "weight"], rows: again }] : []),
        { caption: "Its logit: the sum of", columns: ["direction", "weight"], rows: logit },
      ],
    };
  }
}
