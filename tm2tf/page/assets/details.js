"use strict";

// The pane that shows the weights of one part of the model.

const SHOWN_ROWS = 60; // rows of a table of weights, at first

/** Shows tables of weights; gives the focus back when it is closed. */
class DetailsView {
  constructor(pane, title, host) {
    Object.assign(this, { pane, title, host, giveBack: null });
  }

  /** Shows something at the reader's wish: the pane comes into sight, and has the focus. */
  show(found) {
    const { activeElement } = document;
    if (!this.pane.contains(activeElement)) {
      const box = activeElement.closest("[id]");
      this.giveBack = box && focusKeeper(box, activeElement);
    }
    this.pane.classList.add("asked");
    this.fill(found);
    this.pane.focus({ preventScroll: true });
  }

  /** Shows something where the pane stands. */
  fill({ title, facts, tables }) {
    this.title.textContent = title;
    const pairs = facts.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: unbroken(value) })]);
    this.host.replaceChildren(make("dl", {}, ...pairs), ...tables.map((table) => this.table(table)));
    this.pane.hidden = false;
    this.pane.scrollTop = 0;
  }

  table({ caption, columns, rows }) {
    if (!rows.length) return make("p", {}, make("b", { text: `${caption}: ` }), "nothing");
    const cell = (it) => (typeof it === "number" ? make("td", { class: "number", text: shown(it) }) : make("td", { text: it }));
    const line = (row) => make("tr", {}, ...row.map(cell));
    const body = make("tbody", {}, ...rows.slice(0, SHOWN_ROWS).map(line));
    const title = (name) => make("th", { scope: "col", class: name === "weight" ? "number" : null, text: name });
    const head = make("thead", {}, make("tr", {}, ...columns.map(title)));
    const found = make("div", { class: "table" }, make("table", {}, make("caption", { text: caption }), head, body));
    if (rows.length > SHOWN_ROWS) {
      const rest = make("button", { type: "button", text: `Show all ${rows.length.toLocaleString("en")}` });
      rest.addEventListener("click", () => {
        body.replaceChildren(...rows.map(line));
        rest.remove();
      });
      found.append(rest);
    }
    return found;
  }

  hide() {
    const had = this.pane.contains(document.activeElement);
    this.pane.hidden = true;
    if (had && this.giveBack) this.giveBack();
  }
}
