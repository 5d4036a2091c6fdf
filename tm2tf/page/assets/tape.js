"use strict";

const FAR = 500; // cells: a strip that has slid so far is laid anew, as browsers lose pixels far out
const LONG = 6; // characters of an address: of longer ones, only every fifth is shown

/** Makes an element: its tag, its attributes (`text` is its text), and what is in it. */
function make(tag, attributes = {}, ...inside) {
  const svg = ["svg", "g", "path", "rect", "line", "circle", "text", "title"].includes(tag);
  const found = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") found.textContent = value;
    else if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) found.setAttribute(name, value === true ? "" : value);
  }
  found.append(...inside);
  return found;
}

/** Returns what gives the focus back to a part of a box, or to what stands in its place by then. */
function focusKeeper(box, part) {
  const all = () => [...box.querySelectorAll("button, [tabindex]")];
  const place = all().indexOf(part);
  return () => {
    const found = part.isConnected ? part : all()[Math.min(place, all().length - 1)];
    found?.focus({ preventScroll: true });
  };
}

/** Puts other parts into a box; if one had the focus, the one in its place gets it. */
function renew(box, ...parts) {
  const { activeElement } = document;
  const focus = box.contains(activeElement) ? focusKeeper(box, activeElement) : null;
  box.replaceChildren(...parts);
  if (focus) focus();
}

/** One tape: a strip of cells that slides under its head. */
class TapeView {
  constructor(host, machine, number) {
    this.machine = machine;
    this.number = number;
    this.cells = new Map(); // address -> element
    this.base = 0; // the address from which cells are laid
    this.strip = make("div", { class: "cells" });
    this.state = make("span", { class: "badge" });
    const longest = Math.max(...machine.symbols.map((symbol) => [...symbol].length));
    this.wide = Math.max(2.75, longest * 0.72 + 1.2); // in rem: a symbol's width, and its margins
    const label = machine.tapes > 1 ? [make("span", { class: "tape-name", text: `tape ${number}` })] : [];
    const head = make("div", { class: "head" }, ...(number === 0 ? [this.state] : []));
    this.window = make("div", { class: "tape", role: "img", style: `--wide: ${this.wide}rem` }, ...label, this.strip, head);
    host.append(this.window);
  }

  update(configuration, animated) {
    const head = configuration.heads[this.number];
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    if (Math.abs(head - this.base) > FAR) {
      this.base = head;
      this.cells.clear();
      this.strip.replaceChildren();
      animated = false;
    }
    const half = Math.ceil(this.window.clientWidth / (this.wide * rem) / 2) + 1;
    const margin = animated ? 2 : 0; // cells that slide out of sight
    for (const [address, cell] of this.cells) {
      if (Math.abs(address - head) <= half + margin) continue;
      cell.remove();
      this.cells.delete(address);
    }
    for (let address = head - half; address <= head + half; address++) this.draw(address, configuration, head);
    this.strip.classList.toggle("still", !animated);
    this.strip.style.transform = `translateX(${(this.base - head - 0.5) * this.wide}rem)`;
    if (this.number === 0) this.state.textContent = configuration.state;
    const around = [];
    for (let address = head - 3; address <= head + 3; address++) around.push(configuration.read(this.number, address));
    this.window.setAttribute("aria-label", `tape ${this.number}: head at ${head}, on ${around[3]}; around it ${around.join(" ")}`);
  }

  draw(address, configuration, head) {
    const symbol = configuration.read(this.number, address);
    let cell = this.cells.get(address);
    if (!cell) {
      cell = make("div", { class: "cell", style: `left: ${(address - this.base) * this.wide}rem` }, make("b"), make("i", { text: address }));
      this.cells.set(address, cell);
      this.strip.append(cell);
    }
    if (cell.dataset.symbol !== symbol) {
      cell.dataset.symbol = symbol;
      cell.firstChild.textContent = symbol;
      const blank = symbol === this.machine.blank;
      cell.classList.toggle("blank", blank);
      cell.style.setProperty("--symbol", blank ? "transparent" : this.machine.colours[this.machine.symbols.indexOf(symbol)]);
    }
    cell.classList.toggle("here", address === head);
    const room = String(address).length <= LONG || address === head || (address % 5 === 0 && Math.abs(address - head) > 2);
    cell.classList.toggle("unnumbered", !room);
  }
}
