"use strict";

// The space-time diagram: cells across, time down, the head's path over it.

const TALLEST = 420; // pixels that the rows of a run may take
const WIDEST_CELL = 24; // pixels
const LEAST_WIDTH = 100; // pixels a tape, from which tapes stand side by side
const BETWEEN = 8; // pixels from one tape to the next, as in page.css
const LEAST_CELLS = 12; // cells across, at least: else a short run would be a few wide bars

/** Draws the tapes of a run; tells which step was clicked. */
class HistoryView {
  constructor(host, caption, legend, machine, onSeek) {
    Object.assign(this, { host, caption, machine });
    this.panels = Array.from({ length: machine.tapes }, (_, t) => {
      const canvas = make("canvas", { role: "img" });
      const cursor = make("div", { class: "cursor" });
      const axis = make("p", { class: "axis" });
      const recall = make("div", { class: "recall", hidden: true });
      const box = make("div", { class: "picture" }, canvas, cursor, recall);
      const name = machine.tapes > 1 ? [make("p", { class: "tape-name", text: `tape ${t}` })] : [];
      host.append(make("div", { class: "of-tape" }, ...name, box, axis));
      box.addEventListener("click", (event) => {
        const share = (event.clientY - canvas.getBoundingClientRect().top) / canvas.clientHeight;
        onSeek(Math.round(share * this.rows * this.stride));
      });
      return { canvas, cursor, axis, recall };
    });
    machine.symbols.forEach((symbol, i) => {
      const blank = symbol === machine.blank;
      const swatch = make("span", { class: "swatch", style: blank ? "" : `background: ${machine.colours[i]}` });
      legend.append(make("li", {}, swatch, `${symbol}${blank ? " (blank)" : ""}`));
    });
    legend.append(make("li", {}, make("span", { class: "swatch line" }), "head"));
    this.recallLegend = make("li", { hidden: true }, make("span", { class: "swatch ring" }), "what attention recalls");
    legend.append(this.recallLegend);
  }

  /** Draws the whole run, as far as it was made. */
  draw(run) {
    this.run = run;
    const total = run.steps.length + 1;
    this.stride = Math.ceil(total / TALLEST);
    this.rows = Math.ceil(total / this.stride);
    this.panels.forEach((panel, tape) => this.drawTape(panel, tape));
    const every = this.stride > 1 ? `; a row is ${this.stride.toLocaleString("en")} steps` : "";
    this.caption.textContent = `${run.steps.length.toLocaleString("en")} steps${every}`;
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

  drawTape(panel, tape) {
    const { canvas, axis } = panel;
    const { run, machine, rows, stride } = this;
    const [low, high] = this.span(tape);
    const cells = high - low + 1;
    const style = getComputedStyle(document.documentElement);
    const each = (this.host.clientWidth + BETWEEN) / machine.tapes - BETWEEN;
    const room = Math.max(LEAST_WIDTH, each < LEAST_WIDTH ? this.host.clientWidth : each) - 2; // less its frame
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
    Object.assign(panel, { low, unit });
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
    axis.textContent = `cells ${low} to ${high}`;
    canvas.setAttribute("aria-label", `space-time diagram of tape ${tape}: ${axis.textContent}, ${run.steps.length} steps`);
  }

  /** Returns where the row of a step is, in pixels from above. */
  top(panel, step) {
    return (Math.floor(step / this.stride) * panel.canvas.clientHeight) / this.rows;
  }

  /**
   * Marks what attention recalls: a line down from the step that wrote a cell to the step that
   * reads it. `marks` has for each tape {step, address}, or null; `now` is the step that reads.
   */
  recall(marks, now) {
    this.panels.forEach((panel, tape) => {
      const mark = marks[tape];
      panel.recall.hidden = !mark;
      if (!mark) return;
      const half = panel.canvas.clientHeight / this.rows / 2;
      const from = this.top(panel, mark.step) + half;
      panel.recall.style.transform = `translate(${(mark.address - panel.low + 0.5) * panel.unit}px, ${from}px)`;
      panel.recall.style.height = `${this.top(panel, now) + half - from}px`;
    });
    if (marks.some(Boolean)) this.recallLegend.hidden = false;
  }

  /** Puts the cursor at a step. */
  point(step) {
    if (!this.run) return;
    for (const panel of this.panels) {
      panel.cursor.style.transform = `translateY(${this.top(panel, step)}px)`;
      panel.cursor.style.height = `${Math.max(2, panel.canvas.clientHeight / this.rows)}px`;
    }
  }
}
