"use strict";

// The page: one run, a place in it, and the views of both.

const SPEEDS = [1, 2, 4, 8, 16, 32, 64, 250, 1000, 4000]; // tokens a second
const FIRST_SPEED = 4;
const SLOW = 12; // up to so many tokens a second, the tape slides
const MOST = 20000; // passes made before the reader is asked; each looks at all tokens before it
const SLICE = 24; // milliseconds of computing between two looks at the screen
const CHUNK = 50; // passes between two looks at the clock
const NARROW = 1100; // pixels of a window in which weights are shown over the rest, as in page.css
const LONGEST_FRAME = 250; // milliseconds that count as passed between two frames, at most: not hours in a hidden tab

const byId = (id) => document.getElementById(id);

class App {
  constructor(payload) {
    this.payload = payload;
    this.machine = payload.machine;
    this.weights = new Weights(payload.model);
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.details = new DetailsView(byId("details"), byId("details-title"), byId("weights"));
    const show = (found) => this.details.show(found);
    this.tapes = Array.from({ length: this.machine.tapes }, (_, t) => new TapeView(byId("tapes"), this.machine, t));
    this.context = new ContextView(byId("strip"), byId("recalled"), payload.model, this.weights, show);
    this.layers = new LayersView(byId("layers"), payload.model, this.weights, show, (head) => this.context.point(head));
    this.history = new HistoryView(byId("history"), byId("caption"), byId("legend"), this.machine, (step) => {
      this.pause();
      this.playback.seekStep(step);
      this.draw(false);
    });
    this.prepareInput();
    this.prepareControls();
    window.addEventListener("resize", () => {
      cancelAnimationFrame(this.resized);
      this.resized = requestAnimationFrame(() => this.redraw());
    });
    this.dark.addEventListener("change", () => this.redraw());
    this.begin(payload.starts[payload.opens]);
    if (window.innerWidth > NARROW) this.introduce();
  }

  /** Shows the weights of a head that looks things up, if there is one. */
  introduce() {
    const heads = this.payload.model.layers.flatMap((layer, l) => layer.heads.map((head, h) => ({ head, l, h })));
    const chosen = heads.find(({ head }) => head.W_Q) ?? heads[0];
    if (chosen) this.details.fill(this.weights.head(chosen.l, chosen.h));
  }

  // --- a run ---------------------------------------------------------------------------------

  /** Begins a new run. */
  begin(start) {
    this.pause();
    clearTimeout(this.computing);
    this.limit = MOST;
    this.run = runOf(this.payload, start);
    this.playback = new Playback(this.run);
    this.drawn = 0;
    this.history.draw(this.run);
    this.compute();
    this.draw(false);
  }

  /** Makes passes until the run is over or the limit is reached, a slice at a time. */
  compute() {
    const until = performance.now() + SLICE;
    while (!this.run.over && this.run.passes.length < this.limit && performance.now() < until) {
      this.run.advance(Math.min(CHUNK, this.limit - this.run.passes.length));
    }
    this.computed = this.run.over || this.run.passes.length >= this.limit;
    byId("scrub").max = this.run.passes.length;
    byId("more").hidden = this.run.over || !this.computed;
    if (!this.computed) this.computing = setTimeout(() => this.compute(), 0);
    if (this.computed || this.run.passes.length - this.drawn > 2000) {
      this.drawn = this.run.passes.length;
      this.history.draw(this.run);
      this.history.point(this.playback.done);
    }
    this.count();
  }

  // --- drawing -------------------------------------------------------------------------------

  draw(animated) {
    const { playback, run } = this;
    for (const tape of this.tapes) tape.update(playback.configuration, animated && !this.still.matches);
    byId("scrub").value = playback.made;
    byId("now").textContent = this.sentence();
    this.count();
    byId("scrub").setAttribute("aria-valuetext", byId("count").textContent);
    this.history.point(playback.done);
    this.light();
    const number = playback.next ? playback.made : playback.made - 1; // at the end, the last one
    byId("which").textContent = playback.next || number < 0 ? "" : "The run is over; this was its last pass.";
    if (number >= 0) {
      const pass = run.details(number);
      const step = (position) => run.stepAt(number, position);
      const age = (position) => (step(position) === null ? null : run.passes[number].steps - step(position));
      this.context.draw(pass, run.contexts[run.passes[number].context], age, this.cells(number));
      this.layers.draw(pass);
      this.history.recall(this.recalled(pass, step), playback.done);
    } else {
      this.context.end("The run is over before it begins: no pass is made.");
      this.layers.end();
      this.history.recall([], 0);
    }
  }

  /** Returns what stands at each position before a pass, where positions are cells; else null. */
  cells(number) {
    const { run, playback } = this;
    if (this.payload.model.view !== "cells") return null;
    const { tokens } = run.contexts[0];
    // at the end the last pass is shown, and the configuration is the one after it
    const undone = run.passes[number].steps < playback.done ? run.steps[playback.done - 1] : null;
    if (undone) playback.configuration.undo(undone.before);
    const held = tokens.map((token, position) => {
      if (position === 0 || position === tokens.length - 1) return { text: run.token(token).name, number: "" };
      const at = playback.configuration.heads.map((_, t) => run.origins[t] + position - 1);
      const read = at.map((address, t) => {
        const symbol = playback.configuration.read(t, address);
        return playback.configuration.heads[t] === address ? `[${symbol}]` : symbol;
      });
      return { text: read.join(","), number: at[0] };
    });
    if (undone) playback.configuration.take(undone);
    return (position) => held[position];
  }

  /**
   * Returns for each tape which step the head that reads it recalls, and the cell; null if none.
   * A cell that was given counts as written before step 0.
   */
  recalled(pass, stepAt) {
    const found = this.tapes.map(() => null);
    const { playback, run } = this;
    if (this.payload.model.view !== "steps" || !playback.next) return found;
    const { tokens } = run.contexts[playback.next.context];
    const given = (position) => playback.step && run.token(tokens[position]).role === "prompt";
    pass.heads.forEach((layer, l) =>
      layer.forEach(({ positions }, h) => {
        const tape = /^tape(\d+)\.read$/.exec(this.payload.model.layers[l].heads[h].name)?.[1];
        if (!tape || !positions) return;
        const last = positions[positions.length - 1];
        const step = stepAt(last);
        if (step !== null) found[tape] = { step, address: run.steps[step].before.heads[tape] };
        else if (given(last)) found[tape] = { step: 0, address: playback.configuration.heads[tape] };
      }),
    );
    return found;
  }

  /** Draws all that depends on the size or the colours of the window. */
  redraw() {
    this.history.draw(this.run);
    this.draw(false);
  }

  /** Says what the step does that the next pass takes. */
  sentence() {
    const { playback, machine } = this;
    const { state } = playback.configuration;
    if (!playback.next) return this.ending();
    const reads = playback.configuration.heads.map((_, t) => playback.configuration.read(t));
    const step = playback.step;
    if (!step) {
      const token = this.run.token(playback.next.emits);
      if (token.outcome) return `State ${state} reads ${reads.join(", ")}: no rule. The model emits ${token.name}: ${token.outcome}.`;
      return `State ${state} reads ${reads.join(", ")}. The model emits ${token.name}.`;
    }
    const moves = { "-1": "left", 0: "stay", 1: "right" };
    const each = step.writes.map((symbol, t) => {
      const where = machine.tapes > 1 ? `tape ${t}: ` : "";
      const move = step.moves[t] === 0 ? "stays" : `moves ${moves[step.moves[t]]}`;
      return `${where}${symbol === reads[t] ? `leaves ${symbol}` : `writes ${symbol}`}, ${move}`;
    });
    const outcome = machine.outcomes[step.state];
    const enters = `${step.state === state ? "stays in" : "enters"} ${step.state}${outcome ? ` (${outcome})` : ""}`;
    return `State ${state} reads ${reads.join(", ")}: ${each.join("; ")}; ${enters}.`;
  }

  ending() {
    const { outcome, trouble, steps } = this.run;
    const after = `after ${steps.length.toLocaleString("en")} step${steps.length === 1 ? "" : "s"}`;
    if (trouble) return `Stopped ${after}: ${trouble}.`;
    return outcome ? `The run is over: ${outcome} ${after}, in state ${this.playback.configuration.state}.` : `${after.replace("a", "A")}: not over yet.`;
  }

  count() {
    const { playback, run } = this;
    const all = run.steps.length.toLocaleString("en");
    const state = run.over ? (run.outcome ?? "stopped") : this.computed ? "so far" : "running";
    const tokens = run.passes.length === run.steps.length ? "" : `, token ${playback.made.toLocaleString("en")}`;
    byId("count").textContent = `step ${playback.done.toLocaleString("en")} of ${all}${tokens} (${state})`;
  }

  /** Lights the state now and the edge of the step that comes next. */
  light() {
    for (const lit of byId("graph").querySelectorAll(".now, .next")) lit.classList.remove("now", "next");
    const numberOf = (state) => this.machine.states.indexOf(state);
    const from = numberOf(this.playback.configuration.state);
    const now = byId(`g-state-${from}`);
    now.classList.add("now");
    scrollInside(byId("graph"), now);
    const step = this.playback.step;
    if (step) byId(`g-edge-${from}-${numberOf(step.state)}`)?.classList.add("next");
    const { state } = this.playback.configuration;
    byId("graph").setAttribute("aria-label", `The state graph. Now: ${state}${step ? `; next: ${step.state}` : ""}`);
  }

  // --- playback ------------------------------------------------------------------------------

  get playing() {
    return this.timer !== undefined && this.timer !== null;
  }

  play() {
    if (this.playing) return;
    if (!this.playback.next && this.computed) this.playback.seek(0);
    document.body.classList.add("playing");
    byId("play").setAttribute("aria-label", "Pause");
    byId("now").setAttribute("aria-live", "off"); // else it is read out at every step
    let last = performance.now();
    let owed = 0;
    const tick = (time) => {
      owed += (Math.min(time - last, LONGEST_FRAME) * this.speed) / 1000;
      last = time;
      const due = Math.floor(owed);
      owed -= due;
      if (due > 0) {
        this.playback.seek(this.playback.made + due);
        this.draw(this.speed <= SLOW);
      }
      if (!this.playback.next && this.computed) this.pause();
      else this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
  }

  pause() {
    if (this.playing) cancelAnimationFrame(this.timer);
    this.timer = null;
    document.body.classList.remove("playing");
    byId("play").setAttribute("aria-label", "Play");
    byId("now").setAttribute("aria-live", "polite");
  }

  seek(made, animated = false) {
    this.pause();
    this.playback.seek(made);
    this.draw(animated);
  }

  /** Goes to the next step, or back to the one before. */
  stepBy(steps) {
    this.pause();
    const { playback, run } = this;
    if (steps < 0 && playback.next && playback.made > 0 && run.passes[playback.made - 1].steps === playback.done) {
      playback.seekStep(playback.done); // from within a step to its beginning
    } else playback.seekStep(playback.done + steps);
    this.draw(true);
  }

  get speed() {
    return Number(byId("speed").value);
  }

  /** Goes so many entries up or down in the list of speeds. */
  faster(by) {
    const select = byId("speed");
    select.selectedIndex = Math.max(0, Math.min(SPEEDS.length - 1, select.selectedIndex + by));
  }

  // --- controls ------------------------------------------------------------------------------

  prepareControls() {
    const on = (id, act) => byId(id).addEventListener("click", act);
    byId("speed").append(...SPEEDS.map((speed) => make("option", { value: speed, text: `${speed.toLocaleString("en")} a second`, selected: speed === FIRST_SPEED })));
    on("first", () => this.seek(0));
    on("back", (event) => (event.shiftKey ? this.stepBy(-1) : this.seek(this.playback.made - 1, true)));
    on("forward", (event) => (event.shiftKey ? this.stepBy(1) : this.seek(this.playback.made + 1, true)));
    on("last", () => this.seek(Infinity));
    on("play", () => (this.playing ? this.pause() : this.play()));
    on("close", () => this.details.hide());
    on("help", () => byId("manual").showModal());
    on("theme", () => this.theme());
    on("more", () => {
      this.limit += MOST;
      this.compute();
    });
    byId("scrub").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { tagName, type } = event.target;
    const typing = tagName === "SELECT" || (tagName === "INPUT" && type !== "range");
    if (typing || byId("manual").open) return;
    const by = event.shiftKey ? (n) => this.stepBy(n) : (n) => this.seek(this.playback.made + n, true);
    const keys = {
      ArrowRight: () => by(1),
      ArrowLeft: () => by(-1),
      Home: () => this.seek(0),
      End: () => this.seek(Infinity),
      "+": () => this.faster(1),
      "-": () => this.faster(-1),
      "?": () => byId("manual").showModal(),
      t: () => this.theme(),
      Escape: () => this.details.hide(),
    };
    if (tagName !== "BUTTON") keys[" "] = () => (this.playing ? this.pause() : this.play());
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  theme() {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : this.dark.matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    this.redraw();
  }

  prepareInput() {
    const { starts, prompts } = this.payload;
    const examples = byId("examples");
    const own = make("option", { value: "typed", text: "(typed)", hidden: true }); // so that any example is a change
    examples.append(...starts.map((start, i) => make("option", { value: i, text: start.label, title: start.note || null })), own);
    const fields = this.machine.tapes > 1 ? [...Array(this.machine.tapes).keys()] : [0];
    const typed = prompts.kind !== "none";
    const labels = fields.map((t) => make("label", {}, this.machine.tapes > 1 ? `Tape ${t} ` : "Input ", make("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", size: 14, disabled: !typed, title: `symbols: ${this.machine.symbols.join(" ")}; the word begins at cell 0, where the head is` })));
    byId("words").replaceChildren(...labels);
    const inputs = labels.map((label) => label.querySelector("input"));
    let filled; // what the fields say of an example: unchanged, it is run as it is
    const fill = (start) => {
      const joined = this.machine.symbols.every((symbol) => [...symbol].length === 1) ? "" : " ";
      filled = start.tapes.map((tape) => tape.contents.join(joined));
      inputs.forEach((input, t) => (input.value = filled[t]));
    };
    examples.addEventListener("change", () => {
      byId("problem").textContent = "";
      fill(starts[examples.value]);
      this.begin(starts[examples.value]);
    });
    examples.value = this.payload.opens;
    fill(starts[this.payload.opens]);
    if (!typed) byId("words").append(make("span", { class: "hint", text: prompts.why }));
    byId("input").addEventListener("submit", (event) => {
      event.preventDefault();
      byId("problem").textContent = "";
      try {
        const words = inputs.map((input) => input.value);
        const example = starts[examples.value];
        const asIs = example && words.every((word, t) => word === filled[t]);
        const start = asIs ? example : startOf(this.payload, words);
        if (!asIs) examples.value = "typed";
        this.begin(start);
      } catch (error) {
        byId("problem").textContent = error.message;
      }
    });
  }
}

const app = new App(JSON.parse(byId("payload").textContent));
