"use strict";

// The space-time diagram: cells across, time down, the head's path over it.

const TALLEST = 420; // pixels that the rows of a run may take
const WIDEST_CELL = 16; // pixels
const LEAST_CELLS = 12; // cells across, at least: else a short run would be a few wide bars

/** Draws the tapes of a run; tells which step was clicked. */
class HistoryView {
  constructor(host, legend, machine, onSeek) {
    this.machine = machine;
    this.host = host;
    this.panels = Array.from({ length: machine.tapes }, (_, t) => {
      const canvas = make("canvas", { role: "img" });
      const cursor = make("div", { class: "cursor" });
      const axis = make("p", { class: "axis" });
      const box = make("div", { class: "picture" }, canvas, cursor);
      const name = machine.tapes > 1 ? [make("p", { class: "tape-name", text: `tape ${t}` })] : [];
      host.append(make("div", { class: "of-tape" }, ...name, box, axis));
      box.addEventListener("click", (event) => {
        const share = (event.clientY - canvas.getBoundingClientRect().top) / canvas.clientHeight;
        onSeek(Math.round(share * this.rows * this.stride));
      });
      return { canvas, cursor, axis };
    });
    machine.symbols.forEach((symbol, i) => {
      const blank = symbol === machine.blank;
      const swatch = make("span", { class: "swatch", style: blank ? "" : `background: ${machine.colours[i]}` });
      legend.append(make("li", {}, swatch, `${symbol}${blank ? " (blank)" : ""}`));
    });
    legend.append(make("li", {}, make("span", { class: "swatch line" }), "head"));
  }

  /** Draws the whole run, as far as it was made. */
  draw(run) {
    this.run = run;
    const total = run.steps.length + 1;
    this.stride = Math.ceil(total / TALLEST);
    this.rows = Math.ceil(total / this.stride);
    this.panels.forEach((panel, tape) => this.drawTape(panel, tape));
  }

  /** Returns the lowest and the highest address that is used on a tape. */
  span(tape) {
    const given = this.run.start.tapes[tape];
    let low = Math.min(given.head, given.contents.length ? given.origin : given.head);
    let high = Math.max(given.head, given.contents.length ? given.origin + given.contents.length - 1 : given.head);
    let head = given.head;
    for (const step of this.run.steps) {
      head += step.moves[tape];
      if (head < low) low = head;
      if (head > high) high = head;
    }
    const missing = LEAST_CELLS - (high - low + 1);
    return missing > 0 ? [low - Math.ceil(missing / 2), high + Math.floor(missing / 2)] : [low, high];
  }

  drawTape({ canvas, axis }, tape) {
    const { run, machine, rows, stride } = this;
    const [low, high] = this.span(tape);
    const cells = high - low + 1;
    const style = getComputedStyle(document.documentElement);
    const room = Math.max(120, this.host.clientWidth / (machine.tapes > 2 ? 1 : machine.tapes) - 12);
    const across = Math.min(WIDEST_CELL, Math.floor(room / cells));
    const wide = across < 1 ? Math.floor(room) : cells * across; // too many cells share pixels
    const tall = Math.max(1, Math.min(WIDEST_CELL, Math.floor(TALLEST / rows)));
    const scale = Math.min(3, Math.max(1, Math.round(window.devicePixelRatio || 1)));
    canvas.width = wide * scale;
    canvas.height = rows * tall * scale;
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${rows * tall}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = style.getPropertyValue("--paper");
    pen.fillRect(0, 0, wide, rows * tall);
    const unit = wide / cells;
    const now = run.configuration();
    const path = [];
    for (let row = 0; row < rows; row++) {
      for (const [address, symbol] of now.tapes[tape]) {
        if (symbol === machine.blank) continue;
        pen.fillStyle = machine.colours[machine.symbols.indexOf(symbol)];
        pen.fillRect((address - low) * unit, row * tall, Math.max(1, unit), tall);
      }
      path.push([(now.heads[tape] - low + 0.5) * unit, (row + 0.5) * tall]);
      const next = Math.min((row + 1) * stride, run.steps.length);
      for (let step = row * stride; step < next; step++) now.take(run.steps[step]);
    }
    const line = (colour, width) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.lineJoin = "round";
      pen.beginPath();
      path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.stroke();
    };
    if (tall > 2) line(style.getPropertyValue("--paper"), 3);
    line(style.getPropertyValue("--ink"), tall > 2 ? 1.4 : 0.8);
    const every = stride > 1 ? `; 1 row is ${stride.toLocaleString("en")} steps` : "";
    axis.textContent = `cells ${low} to ${high}, ${run.steps.length.toLocaleString("en")} steps${every}`;
    canvas.setAttribute("aria-label", `space-time diagram of tape ${tape}: ${axis.textContent}`);
  }

  /** Puts the cursor at a step. */
  point(step) {
    if (!this.run) return;
    for (const { canvas, cursor } of this.panels) {
      const tall = canvas.clientHeight / this.rows;
      cursor.style.transform = `translateY(${Math.floor(step / this.stride) * tall}px)`;
      cursor.style.height = `${Math.max(2, tall)}px`;
    }
  }
}
