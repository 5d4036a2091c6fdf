"use strict";

// The tokens of the context, with an arc from the current one to each that a head attends to.

const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4", "10 4"]; // heads differ by more than colour
const FONT = '12px ui-monospace, Menlo, Consolas, monospace'; // of tokens, as in page.css
const ROW = 26; // pixels of a token's height
const GAP = 48; // pixels for "…19999…"
const AROUND = 1; // tokens shown on either side of one that is attended to

/**
 * Returns the positions to show, up to the last one that is seen: those attended to with their
 * neighbours, and those nearest to the current one.
 */
function shownPositions(current, last, attended, widthOf, room) {
  let chosen;
  const choose = (around) => {
    chosen = new Set([0, current]);
    for (const position of attended) {
      for (let p = position - around; p <= position + around; p++) if (p >= 0 && p <= last) chosen.add(p);
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
  const fits = (p) => p > 0 && p <= last && used() + widthOf(p) <= room;
  for (let far = 1, more = true; more; far++) {
    more = false;
    for (const p of [current - far, current + far]) {
      if (!fits(p)) continue;
      chosen.add(p);
      more = true;
    }
  }
  return [...chosen].sort((a, b) => a - b);
}

class ContextView {
  constructor(host, list, model, weights, onShow) {
    Object.assign(this, { host, list, model, weights, onShow, pointed: null });
    this.pen = document.createElement("canvas").getContext("2d");
    this.pen.font = FONT;
    this.widths = new Map(); // of tokens, in pixels
    for (const box of [host, list]) {
      const on = (event) => this.point(headOf(event.target));
      for (const type of ["pointerover", "focusin"]) box.addEventListener(type, on);
      for (const type of ["pointerleave", "focusout"]) box.addEventListener(type, () => this.point(null));
    }
  }

  /** Brings out one head by its number: its arc, its line in the list, what it recalls. Null: none. */
  point(head) {
    this.pointed = head;
    for (const part of [...this.host.querySelectorAll("[data-head]"), ...this.list.querySelectorAll("[data-head]")]) {
      const own = Number(part.dataset.head) === head;
      part.classList.toggle("faint", head !== null && !own);
      part.classList.toggle("pointed", own);
    }
    const to = this.recalls?.[head] ?? [];
    for (const token of this.host.querySelectorAll(".token")) token.classList.toggle("recalled", to.includes(Number(token.dataset.position)));
  }

  /** Returns the width of a box with a text. */
  width(text) {
    if (!this.widths.has(text)) this.widths.set(text, Math.ceil(this.pen.measureText(text).width) + 14);
    return this.widths.get(text);
  }

  name(token) {
    return this.model.tokens[token].name;
  }

  /**
   * Shows a pass: the context up to it (of looped weights: all cells), and what its heads recall.
   * `of` is the Transformer; `age` says how many steps ago a position's token was a step, null if
   * it was none; `place` what stands at a position, {text, number}, if that is not its token.
   */
  draw(pass, of, age, place = null) {
    this.last = of.wide ? of.tokens.length - 1 : pass.position;
    this.place = place ?? ((position) => ({ text: this.name(of.tokens[position]), number: position + 1 }));
    this.recalls = pass.heads.flat().map(({ positions }) => positions ?? []);
    this.strip(pass, of);
    this.recalled(pass, age);
    if (this.pointed !== null) this.point(this.pointed);
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
    const widthOf = (position) => this.width(this.place(position).text);
    const emits = this.name(pass.emits);
    const wide = this.width(emits);
    const room = Math.max(280, this.host.clientWidth) - wide - 76;
    const attended = arcs.filter((arc) => !arc.all).map((arc) => arc.to);
    const shown = shownPositions(pass.position, this.last, attended, widthOf, room);
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
      const across = widthOf(position);
      places.set(position, x + across / 2);
      parts.push(this.box(x, top, across - 4, position, of.tokens[position], pass));
      x += across;
      before = position;
    }
    parts.push(make("path", { class: "emit", d: `M${x + 2} ${top + ROW / 2}h22m-6 -4 6 4-6 4` }));
    parts.push(this.box(x + 30, top, wide - 4, null, pass.emits, pass));
    const bottom = top + ROW + 18;
    arcs.forEach((arc, i) => parts.push(this.arc(arc, i, places, pass, top, bottom)));
    const height = bottom + uniform * 6 + 4;
    const size = { width: x + 34 + wide, height, viewBox: `0 0 ${x + 34 + wide} ${height}` };
    const label = `${this.last + 1} tokens; the model emits ${emits}`;
    renew(this.host, make("svg", { ...size, role: "group", "aria-label": label }, ...parts));
    this.host.scrollLeft = places.get(pass.position) - widthOf(pass.position) / 2 - 4;
  }

  box(x, y, wide, position, token, pass) {
    const role = this.model.tokens[token].role;
    const given = ["begin", "prompt"].includes(role);
    const kind = position === null ? "next" : position === pass.position ? "current" : given ? "given" : "";
    const { text, number } = position === null ? { text: this.name(token), number: "next" } : this.place(position);
    return make(
      "g",
      { class: `token ${kind}`, "data-position": position, tabindex: 0, role: "button", onclick: () => this.onShow(this.weights.token(token)), onkeydown: onEnter },
      make("title", { text: `${position === null ? "emitted" : `position ${position + 1}`}: ${text}` }),
      make("rect", { x, y, width: wide, height: ROW, rx: 4 }),
      make("text", { x: x + wide / 2, y: y + ROW / 2 + 4, text }),
      make("text", { x: x + wide / 2, y: y + ROW + 12, class: "position", text: number }),
    );
  }

  arc(arc, i, places, pass, top, bottom) {
    const colour = `stroke: var(--head-${arc.head % 7}); stroke-dasharray: ${DASHES[arc.head % DASHES.length] || "none"}`;
    const drawn = (d) =>
      make("g", { class: "of-head", "data-head": arc.head, onclick: () => this.onShow(this.weights.head(arc.l, arc.h)) },
        make("path", { class: "near", d }), make("path", { class: "arc", style: colour, d }));
    const from = places.get(pass.position);
    if (arc.all) {
      const y = bottom + arc.level * 6;
      return drawn(`M${places.get(0)} ${y}H${Math.max(...places.values())}`);
    }
    const to = places.get(arc.to);
    const rise = 18 + (i % 6) * 9;
    const shift = (i % 3) * 3 - 3; // arcs to one token do not end in one point
    if (to === from) {
      return drawn(`M${from - 6} ${top}c-6 ${-rise} 18 ${-rise} 12 0m-3 -6 3 6 4 -5`);
    }
    const d = `M${from + shift} ${top}C${from + shift} ${top - rise} ${to + shift} ${top - rise} ${to + shift} ${top - 1}m-4 -6 4 6 4 -6`;
    return drawn(d);
  }

  /** Lists what each head attended to and brought. */
  recalled(pass, age) {
    const rows = [];
    let number = 0;
    pass.heads.forEach((layer, l) =>
      layer.forEach((found, h) => {
        const head = this.model.layers[l].heads[h];
        const where = this.where(found, age);
        const line = make("svg", { class: "sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, make("path", {
          class: "arc", style: `stroke: var(--head-${number % 7}); stroke-dasharray: ${DASHES[number % DASHES.length] || "none"}`, d: "M1 4H27",
        }));
        const said = this.said(found, pass);
        const button = make("button", { type: "button", class: "row", "data-head": number, onclick: () => this.onShow(this.weights.head(l, h)) },
          line, make("b", { text: `${l}.${h} ${head.name}` }), make("span", { text: where }),
          make("span", { class: "said", text: said.length ? `brought ${said.slice(0, 4).join(", ")}${said.length > 4 ? " …" : ""}` : "brought nothing" }));
        rows.push(make("li", {}, button));
        number++;
      }),
    );
    renew(this.list, ...rows);
  }

  /** Returns what a head brought, direction by direction; means of whole numbers as fractions. */
  said({ brought, positions }, pass) {
    const n = positions === null ? this.last + 1 : positions.length;
    const found = [];
    brought.forEach((value, d) => {
      const whole = Math.round(value * n);
      const fraction = n > 1 && !Number.isInteger(value) && Math.abs(value * n - whole) < 1e-9;
      const name = this.model.directions[d];
      if (value) found.push(fraction ? `${name} = ${shown(whole)}/${n}` : valued(name, value));
    });
    return found;
  }

  where({ positions, score, margin, share }, age) {
    if (positions === null) return `all ${this.last + 1} positions, equally`;
    const last = positions[positions.length - 1];
    const steps = age(last);
    const ago = steps === null ? "" : steps === 1 ? ", the last step" : `, ${steps.toLocaleString("en")} steps ago`;
    const { text, number } = this.place(last);
    const token = `${text} at ${number}${ago}`;
    const at = positions.length > 1 ? `${positions.length} positions, the last ${token}` : token;
    const by = score === null ? "" : `; score ${shown(score)}${margin === null ? "" : `, ahead by ${shown(margin)}`}`;
    return at + by + (share === undefined ? "" : `, a share of ${shown(share)}`);
  }
}

/** Returns the number of the head that a part of the page is of, or null. */
function headOf(part) {
  const found = part.closest("[data-head]");
  return found ? Number(found.dataset.head) : null;
}

/** A direction with its value; the name alone if that has a value in it, which holds fully (1). */
function valued(name, value) {
  if (!name.includes("=")) return `${name} = ${shown(value)}`;
  return value === 1 ? name : `${name} × ${shown(value)}`;
}

/** Makes a key that activates buttons activate what is none, such as a part of a drawing. */
function onEnter(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.stopPropagation();
  event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true }));
}
