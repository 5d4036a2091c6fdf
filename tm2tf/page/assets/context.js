"use strict";

// The tokens of the context, with an arc from the current one to each that a head attends to.

const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4", "10 4"]; // heads differ by more than colour
const LETTER = 7.3; // pixels of a letter of the tokens' font, 12 pixels high
const ROW = 26; // pixels of a token's height
const GAP = 34; // pixels for "23 more"
const AROUND = 1; // tokens shown on either side of one that is attended to

/** Returns the positions to show: those attended to with their neighbours, and the latest. */
function shownPositions(current, attended, widthOf, room) {
  let chosen;
  const choose = (around) => {
    chosen = new Set([0, current]);
    for (const position of attended) {
      for (let p = position - around; p <= position + around; p++) if (p >= 0 && p <= current) chosen.add(p);
    }
  };
  const used = () => {
    let total = 0;
    let before = -1;
    for (const p of [...chosen].sort((a, b) => a - b)) {
      total += widthOf(p) + (p > before + 1 ? GAP : 0);
      before = p;
    }
    return total;
  };
  choose(AROUND);
  if (used() > room) choose(0);
  for (let p = current - 1; p > 0 && used() + widthOf(p) <= room; p--) chosen.add(p);
  return [...chosen].sort((a, b) => a - b);
}

class ContextView {
  constructor(host, list, model, weights, onShow) {
    Object.assign(this, { host, list, model, weights, onShow });
  }

  name(token) {
    return this.model.tokens[token].name;
  }

  /** Shows a pass: the context up to it, and what its heads recall. `of` is the Transformer. */
  draw(pass, of) {
    this.strip(pass, of);
    this.recalled(pass, of);
  }

  /** Shows that there is no pass: the run is over. */
  end(text) {
    this.host.replaceChildren(make("p", { class: "hint", text }));
    this.list.replaceChildren();
  }

  strip(pass, of) {
    const arcs = [];
    let uniform = 0;
    let head = 0;
    pass.heads.forEach((layer, l) =>
      layer.forEach((found, h) => {
        if (found.positions === null) arcs.push({ head, level: uniform++, all: true, l, h });
        else for (const to of found.positions.slice(-8)) arcs.push({ head, to, l, h });
        head++;
      }),
    );
    const widthOf = (position) => [...this.name(of.tokens[position])].length * LETTER + 14;
    const emits = this.name(pass.emits);
    const room = Math.max(280, this.host.clientWidth) - [...emits].length * LETTER - 90;
    const attended = arcs.filter((arc) => !arc.all).map((arc) => arc.to);
    const shown = shownPositions(pass.position, attended, widthOf, room);
    const places = new Map();
    const parts = [];
    let x = 4;
    let before = -1;
    const hops = arcs.filter((arc) => !arc.all).length;
    const top = hops ? 30 + Math.min(hops, 6) * 9 : 8;
    for (const position of shown) {
      if (position > before + 1) {
        parts.push(make("text", { x: x + GAP / 2, y: top + ROW / 2 + 4, class: "gap", text: `…${position - before - 1}…` }));
        x += GAP;
      }
      const wide = widthOf(position);
      places.set(position, x + wide / 2);
      parts.push(this.box(x, top, wide - 4, position, of.tokens[position], pass));
      x += wide;
      before = position;
    }
    parts.push(make("path", { class: "emit", d: `M${x + 2} ${top + ROW / 2}h22m-6 -4 6 4-6 4` }));
    const wide = [...emits].length * LETTER + 14;
    parts.push(this.box(x + 30, top, wide - 4, null, pass.emits, pass));
    const bottom = top + ROW + 18;
    arcs.forEach((arc, i) => parts.push(this.arc(arc, i, places, pass, top, bottom)));
    const height = bottom + uniform * 6 + 4;
    const size = { width: x + 34 + wide, height, viewBox: `0 0 ${x + 34 + wide} ${height}` };
    const label = `${pass.position + 1} tokens; the model emits ${emits}`;
    this.host.replaceChildren(make("svg", { ...size, role: "img", "aria-label": label }, ...parts));
    this.host.scrollLeft = this.host.scrollWidth;
  }

  box(x, y, wide, position, token, pass) {
    const role = this.model.tokens[token].role;
    const kind = position === null ? "next" : position === pass.position ? "current" : role === "begin" || role === "prompt" ? "given" : "";
    const number = position === null ? "next" : position + 1;
    return make(
      "g",
      { class: `token ${kind}`, tabindex: 0, role: "button", onclick: () => this.onShow(this.weights.token(token)), onkeydown: onEnter },
      make("title", { text: `${position === null ? "emitted" : `position ${position + 1}`}: ${this.name(token)}` }),
      make("rect", { x, y, width: wide, height: ROW, rx: 4 }),
      make("text", { x: x + wide / 2, y: y + ROW / 2 + 4, text: this.name(token) }),
      make("text", { x: x + wide / 2, y: y + ROW + 12, class: "position", text: number }),
    );
  }

  arc(arc, i, places, pass, top, bottom) {
    const style = `stroke: var(--head-${arc.head % 7}); stroke-dasharray: ${DASHES[arc.head % DASHES.length] || "none"}`;
    const from = places.get(pass.position);
    if (arc.all) {
      const y = bottom + arc.level * 6;
      return make("path", { class: "arc", style, d: `M${places.get(0)} ${y}H${from}` });
    }
    const to = places.get(arc.to);
    const rise = 18 + (i % 6) * 9;
    const shift = (i % 3) * 3 - 3; // arcs to one token do not end in one point
    if (to === from) {
      return make("path", { class: "arc", style, d: `M${from - 6} ${top}c-6 ${-rise} 18 ${-rise} 12 0m-3 -6 3 6 4 -5` });
    }
    const d = `M${from + shift} ${top}C${from + shift} ${top - rise} ${to + shift} ${top - rise} ${to + shift} ${top - 1}m-4 -6 4 6 4 -6`;
    return make("path", { class: "arc", style, d });
  }

  /** Lists what each head attended to and brought. */
  recalled(pass, of) {
    const rows = [];
    let number = 0;
    pass.heads.forEach((layer, l) =>
      layer.forEach((found, h) => {
        const head = this.model.layers[l].heads[h];
        const where = this.where(found, pass, of);
        const line = make("svg", { class: "sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, make("path", {
          class: "arc", style: `stroke: var(--head-${number % 7}); stroke-dasharray: ${DASHES[number % DASHES.length] || "none"}`, d: "M1 4H27",
        }));
        const said = this.said(found, pass);
        const button = make("button", { type: "button", class: "row", onclick: () => this.onShow(this.weights.head(l, h)) },
          line, make("b", { text: `${l}.${h} ${head.name}` }), make("span", { text: where }),
          make("span", { class: "said", text: said.length ? `brought ${said.slice(0, 4).join(", ")}${said.length > 4 ? " …" : ""}` : "brought nothing" }));
        rows.push(make("li", {}, button));
        number++;
      }),
    );
    this.list.replaceChildren(...rows);
  }

  /** Returns what a head brought, direction by direction; means of whole numbers as fractions. */
  said({ brought, positions }, pass) {
    const n = positions === null ? pass.position + 1 : positions.length;
    const found = [];
    brought.forEach((value, d) => {
      const whole = Math.round(value * n);
      const fraction = n > 1 && !Number.isInteger(value) && Math.abs(value * n - whole) < 1e-9;
      const name = this.model.directions[d];
      if (value) found.push(fraction ? `${name} = ${shown(whole)}/${n}` : valued(name, value));
    });
    return found;
  }

  where({ positions, score, margin }, pass, of) {
    if (positions === null) return `all ${pass.position + 1} positions, equally`;
    const last = positions[positions.length - 1];
    const token = `${this.name(of.tokens[last])} at ${last + 1}`;
    const at = positions.length > 1 ? `${positions.length} positions, the last ${token}` : token;
    const by = score === null ? "" : `; score ${shown(score)}${margin === null ? "" : `, ahead by ${shown(margin)}`}`;
    return at + by;
  }
}

/** A direction with its value: the name alone where that is 1. */
function valued(name, value) {
  return value === 1 ? name : `${name} ${name.includes("=") ? "× " : "= "}${shown(value)}`;
}

/** Makes a key that activates buttons activate what is none, such as a part of a drawing. */
function onEnter(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.stopPropagation();
  event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true }));
}
