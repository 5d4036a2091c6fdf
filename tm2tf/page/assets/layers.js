"use strict";

// One forward pass, layer by layer: heads, neurons that fired, directions written, logits.

const FIRED = 6; // neurons that are told in words, a layer
const LOGITS = 5;
const MANY = 150; // neurons that are drawn smaller

class LayersView {
  constructor(host, model, weights, onShow, onPoint) {
    Object.assign(this, { host, model, weights, onShow, onPoint, heads: 0 });
    this.stages = [];
    this.add("Embedding", model.view === "cells" ? "the cell, and what the pass before left" : "the token, and its position");
    model.layers.forEach((layer, l) => this.addLayer(layer, l));
    this.add("Unembedding", "which token comes next");
  }

  add(title, purpose) {
    const body = make("div", { class: "body" });
    const name = make("div", { class: "name" }, make("h3", { text: title }), make("p", { class: "purpose", text: purpose }));
    this.host.append(make("section", { class: "layer" }, name, body));
    const stage = { body };
    this.stages.push(stage);
    return stage;
  }

  addLayer(layer, l) {
    const stage = this.add(`Layer ${l}`, layer.purpose);
    stage.neurons = layer.mlp.names.map((name, i) =>
      make("button", { type: "button", class: "neuron", tabindex: -1, title: name, "aria-label": `neuron ${l}.${i}: ${name}`, onclick: () => this.onShow(this.weights.neuron(l, i)) }),
    );
    const many = stage.neurons.length > MANY;
    const about = { role: "group", "aria-label": `neurons of layer ${l}; arrow keys go from one to the next` };
    stage.grid = make("div", { class: many ? "neurons many" : "neurons", ...about, onkeydown: (event) => goAlong(stage.neurons, event) }, ...stage.neurons);
    stage.lit = [];
    stage.heads = layer.heads.map((head, h) => {
      const number = this.heads++;
      const pointing = { onpointerenter: () => this.onPoint(number), onpointerleave: () => this.onPoint(null) };
      return make("button", { type: "button", class: "chip of-head", ...pointing, onclick: () => this.onShow(this.weights.head(l, h)) }, `${l}.${h} ${head.name}`);
    });
    stage.fired = make("ul", { class: "fired" });
    stage.written = make("div", { class: "chips" });
    const parts = [];
    if (stage.heads.length) parts.push(make("h4", { text: "Heads" }), make("div", { class: "chips" }, ...stage.heads));
    if (stage.neurons.length) parts.push(make("h4", { text: `Neurons (${stage.neurons.length}), and those that fire` }), stage.grid, stage.fired);
    stage.body.append(make("div", {}, ...parts), make("div", {}, make("h4", { text: "Written to the stream" }), stage.written));
  }

  draw(pass) {
    const { tokens } = this.model;
    const looped = this.model.view === "cells";
    const [first, last] = [this.stages[0], this.stages[this.stages.length - 1]];
    const written = make("div", { class: "chips" }, ...this.chips(pass.streams[0], null));
    const token = make("button", { type: "button", class: "chip of-token", onclick: () => this.onShow(this.weights.token(pass.token)), text: tokens[pass.token].name });
    renew(first.body,
      make("div", {}, make("h4", { text: `${looped ? "Cell that was given" : "Token"} at position ${pass.position + 1}` }), make("div", { class: "chips" }, token)),
      make("div", {}, make("h4", { text: looped ? "In the stream as the pass begins" : "Written to the stream" }), written),
    );
    this.model.layers.forEach((layer, l) => {
      const stage = this.stages[l + 1];
      const fired = [];
      pass.activations[l].forEach((activation, i) => activation !== 0 && fired.push(i));
      this.light(stage, fired);
      if (fired.length) scrollInside(stage.grid, stage.neurons[fired[0]]);
      pass.heads[l].forEach(({ brought }, h) => stage.heads[h].classList.toggle("lit", brought.some((value) => value !== 0)));
      const rows = fired.slice(0, FIRED).map((i) =>
        make("li", {}, make("button", { type: "button", class: "row", onclick: () => this.onShow(this.weights.neuron(l, i)) }, make("b", { text: `${l}.${i}` }), make("span", {}, unbroken(layer.mlp.texts[i]), make("span", { class: "said", text: ` = ${shown(pass.activations[l][i])}` })))),
      );
      if (fired.length > FIRED) rows.push(make("li", { class: "hint", text: `and ${fired.length - FIRED} more` }));
      if (!fired.length && stage.neurons.length) rows.push(make("li", { class: "hint", text: "none fires" }));
      renew(stage.fired, ...rows);
      const chips = this.chips(pass.streams[l + 1], pass.streams[l]);
      renew(stage.written, ...(chips.length ? chips : [make("span", { class: "hint", text: "nothing" })]));
    });
    renew(last.body, ...this.logits(pass));
  }

  /** Lights the neurons that fire, and no others; the first of them is where Tab leads. */
  light(stage, fired) {
    for (const i of stage.lit) stage.neurons[i].classList.remove("lit");
    for (const i of fired) stage.neurons[i].classList.add("lit");
    stage.lit = fired;
    if (stage.grid.contains(document.activeElement) || !stage.neurons.length) return;
    for (const part of stage.grid.querySelectorAll('[tabindex="0"]')) part.tabIndex = -1;
    stage.neurons[fired[0] ?? 0].tabIndex = 0;
  }

  /** Returns a chip for each direction that differs from what it was before. */
  chips(stream, before) {
    const found = [];
    stream.forEach((value, d) => {
      if (value === (before ? before[d] : 0)) return;
      const text = valued(this.model.directions[d], value);
      found.push(make("button", { type: "button", class: "chip lit", text, onclick: () => this.onShow(this.weights.direction(d)) }));
    });
    return found;
  }

  logits(pass) {
    const order = [...pass.logits.keys()].sort((a, b) => pass.logits[b] - pass.logits[a] || a - b).slice(0, LOGITS);
    const least = Math.min(0, ...order.map((id) => pass.logits[id]));
    const range = pass.logits[order[0]] - least || 1;
    const rows = order.map((id, i) =>
      make("li", { class: i ? "" : "best" },
        make("button", { type: "button", class: "row", onclick: () => this.onShow(this.weights.token(id)) },
          make("b", { text: this.model.tokens[id].name }),
          make("span", { class: "bar", style: `--share: ${Math.max(0, (pass.logits[id] - least) / range)}` }),
          make("span", { class: "said", text: shown(pass.logits[id]) }))),
    );
    const ahead = pass.margin === null ? "" : `, ahead by ${shown(pass.margin)}`;
    return [
      make("div", {}, make("h4", { text: "Greatest logits" }), make("ul", { class: "logits" }, ...rows)),
      make("div", {}, make("h4", { text: "Emits" }), make("b", { text: this.model.tokens[pass.emits].name }), ahead),
    ];
  }

  end() {
    for (const stage of this.stages) {
      const { body, neurons, heads, fired, written } = stage;
      if (!neurons) {
        body.replaceChildren(make("p", { class: "hint", text: "no pass" }));
        continue;
      }
      this.light(stage, []);
      for (const head of heads) head.classList.remove("lit");
      fired.replaceChildren();
      written.replaceChildren();
    }
  }
}

/** Goes from one of many parts, in rows, to the next by an arrow key: they are one stop of Tab. */
function goAlong(parts, event) {
  const now = parts.indexOf(event.target);
  const across = parts.findIndex((part) => part.offsetTop > parts[0].offsetTop);
  const row = across < 0 ? parts.length : across;
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row }[event.key];
  if (by === undefined || now < 0) return;
  event.preventDefault();
  event.stopPropagation();
  const next = parts[now + by];
  if (!next) return;
  parts[now].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** Scrolls a box, and nothing around it, so that a part of it is seen. */
function scrollInside(box, part) {
  if (box.scrollHeight <= box.clientHeight && box.scrollWidth <= box.clientWidth) return;
  const [outer, inner] = [box.getBoundingClientRect(), part.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) box.scrollTop += (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
  if (inner.left < outer.left || inner.right > outer.right) box.scrollLeft += (inner.left + inner.right - outer.left - outer.right) / 2;
}
