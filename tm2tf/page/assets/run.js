"use strict";

// Reads what a decoder emits as the run of its machine, through the labels of its tokens.
//
// A model's `view` says where machine steps are to be read:
// "steps": tokens with a `step` are steps: the state entered, the symbols written, the moves;
// "rows": tokens with a `cell` are cells, and those up to a token with the role "row" are the next
// configuration.

/** A machine's configuration. Tapes are maps from address to symbol; what is not there is blank. */
class Configuration {
  constructor(state, tapes, blank) {
    this.state = state;
    this.blank = blank;
    this.heads = tapes.map((tape) => tape.head);
    this.tapes = tapes.map(
      (tape) => new Map(tape.contents.map((symbol, i) => [tape.origin + i, symbol])),
    );
  }

  read(tape, address = this.heads[tape]) {
    return this.tapes[tape].get(address) ?? this.blank;
  }

  /** Takes a step; returns what undoes it. */
  take(step) {
    const before = {
      state: this.state,
      heads: this.heads.slice(),
      reads: this.heads.map((_, t) => this.read(t)),
    };
    step.writes.forEach((symbol, t) => this.tapes[t].set(this.heads[t], symbol));
    this.heads = this.heads.map((head, t) => head + step.moves[t]);
    this.state = step.state;
    return before;
  }

  undo(before) {
    this.heads = before.heads.slice();
    this.state = before.state;
    before.reads.forEach((symbol, t) => this.tapes[t].set(this.heads[t], symbol));
  }
}

/** Returns the step between a configuration and the row of cells that follows it (one tape). */
function stepBetween(configuration, row, origin) {
  const head = configuration.heads[0];
  const now = row.findIndex((cell) => cell.state !== null);
  if (now < 0) return null;
  const under = row[head - origin];
  return {
    state: row[now].state,
    writes: [under === undefined ? configuration.blank : under.symbol],
    moves: [origin + now - head],
  };
}

/**
 * A run, as far as it was made. Pass number i (from 0) emits `passes[i].emits`, at
 * `passes[i].position` of the context `passes[i].context`, when `passes[i].steps` steps were done.
 */
class Run {
  constructor(payload, start) {
    this.model = payload.model;
    this.machine = payload.machine;
    this.start = start;
    this.passes = [];
    this.steps = []; // {state, writes, moves, pass, before}, in order
    this.contexts = [];
    this.outcome = null;
    this.trouble = null;
    this.now = this.configuration();
    this.row = []; // cells since the last row ended
    this.origin = start.origins[0]; // address of a row's first cell
    this.open(start.prompt);
    this.outcome = this.token(start.prompt[start.prompt.length - 1]).outcome;
  }

  /** Returns the configuration that the run begins with. */
  configuration() {
    const { machine, start } = this;
    return new Configuration(machine.start, start.tapes, machine.blank);
  }

  get over() {
    return this.outcome !== null || this.trouble !== null;
  }

  token(id) {
    return this.model.tokens[id];
  }

  /** Begins a context; all its tokens but the last are fed, and the last is due. */
  open(tokens) {
    this.transformer = new Transformer(this.model);
    this.contexts.push(this.transformer);
    for (const token of tokens.slice(0, -1)) this.transformer.feed(token);
    this.due = tokens[tokens.length - 1];
  }

  /** Makes up to `count` more passes; fewer if the run is over. Returns how many. */
  advance(count) {
    let made = 0;
    while (made < count && !this.over) {
      try {
        this.pass();
      } catch (error) {
        if (!(error instanceof BoundError)) throw error;
        this.trouble = error.message;
        break;
      }
      made++;
    }
    return made;
  }

  pass() {
    const { emits, margin, position } = this.transformer.feed(this.due);
    const context = this.contexts.length - 1;
    this.passes.push({ context, position, emits, margin, steps: this.steps.length });
    const token = this.token(emits);
    this.outcome = token.outcome;
    if (token.step) this.take(token.step);
    if (this.model.view === "rows") this.write(token);
    if (token.role === "cut") this.cut(emits);
    else this.due = emits;
  }

  take(step) {
    const before = this.now.take(step);
    this.steps.push({ ...step, before, pass: this.passes.length - 1 });
  }

  /** Takes one more token of a row. */
  write(token) {
    if (token.cell) {
      if (this.row.length === 0 && token.cell.grows) this.origin--;
      this.row.push(token.cell);
    }
    if (token.role !== "row") return;
    const step = stepBetween(this.now, this.row, this.origin);
    if (step === null) this.trouble = "a row of cells has no head";
    else this.take(step);
    this.row = [];
  }

  /** Begins anew with the first token, and all from the last summary to the token that cuts. */
  cut(token) {
    const fed = this.transformer.tokens;
    let from = fed.length - 1;
    while (from >= 0 && this.token(fed[from]).role !== "summary") from--;
    if (from < 0) {
      this.trouble = `${this.token(token).name} ends a summary that nothing began`;
      return;
    }
    this.open([fed[0], ...fed.slice(from), token]);
  }

  /**
   * Returns the number (from 0) of the step that the token at a position says, in the context of
   * a pass that was made; null where that token was given or is no step.
   */
  stepAt(number, position) {
    const pass = this.passes[number];
    const from = number - (pass.position - position) - 1; // it was emitted one position earlier
    const emitted = this.passes[from];
    if (!emitted || emitted.context !== pass.context) return null;
    return this.steps[emitted.steps]?.pass === from ? emitted.steps : null;
  }

  /** Returns the details of a pass that was made, as `Transformer.pass` has them. */
  details(number) {
    const { context, position } = this.passes[number];
    return this.contexts[context].pass(position);
  }
}

/** A place in a run: so many passes were made; forward and back. */
class Playback {
  constructor(run) {
    this.run = run;
    this.made = 0;
    this.configuration = run.configuration();
    this.done = 0;
  }

  /** The pass that is made next; null at the end of what was run. */
  get next() {
    return this.made < this.run.passes.length ? this.run.passes[this.made] : null;
  }

  /** Goes to where so many passes were made, as far as there are. */
  seek(made) {
    this.made = Math.max(0, Math.min(made, this.run.passes.length));
    const { steps, passes } = this.run;
    const wanted = this.made < passes.length ? passes[this.made].steps : steps.length;
    while (this.done < wanted) this.configuration.take(steps[this.done++]);
    while (this.done > wanted) this.configuration.undo(steps[--this.done].before);
  }

  /** Goes to where so many steps were done. */
  seekStep(steps) {
    const wanted = Math.max(0, Math.min(steps, this.run.steps.length));
    this.seek(wanted === 0 ? 0 : this.run.steps[wanted - 1].pass + 1);
  }

  /** The step that the next pass takes, or null if it takes none. */
  get step() {
    const step = this.run.steps[this.done];
    return this.next && step && step.pass === this.made ? step : null;
  }
}

/**
 * Splits a word into symbols as `Machine.split` does: one a character, or separated by spaces.
 * Throws an Error that names a symbol which the machine does not have.
 */
function symbolsOf(word, machine) {
  const single = machine.symbols.every((symbol) => [...symbol].length === 1);
  const whole = single && (machine.symbols.includes(" ") || !/\s/.test(word));
  const symbols = whole ? [...word] : word.split(/\s+/).filter((symbol) => symbol !== "");
  for (const symbol of symbols) {
    if (machine.symbols.includes(symbol)) continue;
    throw new Error(`${symbol} is no symbol of this machine; it has ${machine.symbols.join(" ")}`);
  }
  return symbols;
}

/**
 * Returns the start of a run on typed words, one a tape, each from address 0, where the head is.
 * Throws an Error that says why there is none.
 */
function startOf(payload, words) {
  const { prompts, machine } = payload;
  const given = Array.from({ length: machine.tapes }, (_, t) => symbolsOf(words[t] ?? "", machine));
  const tapes = given.map((contents) => ({ contents, origin: 0, head: 0 }));
  if (prompts.kind === "line") {
    const typed = given.map((symbols, t) => symbols.map((symbol) => prompts.cells[t][symbol]));
    const prompt = [...prompts.before, ...typed.flat(), ...prompts.after];
    return { prompt, origins: tapes.map(() => 0), tapes };
  }
  if (prompts.kind !== "lengths") throw new Error(prompts.why);
  const symbols = given[0].slice();
  while (prompts.trimmed && symbols[symbols.length - 1] === machine.blank) symbols.pop();
  const template = prompts.lengths[symbols.length];
  if (!template) {
    const most = prompts.lengths.length - 1;
    throw new Error(`${symbols.length} symbols are too many: this page takes up to ${most}`);
  }
  const prompt = template.tokens.slice();
  template.places.forEach((place, i) => (prompt[place] = template.cells[i][symbols[i]]));
  return { prompt, origins: template.origins, tapes };
}
