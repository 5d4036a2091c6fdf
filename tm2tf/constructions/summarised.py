"""The summarised construction: as `trace`, but the model sums up its own context and goes on.

Every so often the model writes down where it stands, between `<summary>` and `</summary:B>`, and
what came before is forgotten: the runtime begins a new context of `<bos>` and these tokens. So the
context grows with the space that a run takes, not with its time; tapes are unbounded all the same.

A summary has, for each tape, the cell under the head (`head:0`), those to the right of it
(`right:1`) up to the first that was never visited, a turn, and those to the left of the head, going
left (`left:1`), up to the first that was never visited. Nothing is left out: the cells visited and
given are an interval that holds the head or ends beside it. `<turn>` (`<turn:0>` for several tapes)
turns, `<tape:1>` goes on to the next tape. The last token, which cuts the context, has the state.
In the new context the head is at address 0, so the same tokens lie where they lay: addresses count
from the head again.

- layer 0: `head`, `filled` as in `trace`, one sum a tape each. `walk` sums the strides of summary
  cells (+1 up to the turn, -1 from there on), `credit` adds 1 a step and takes 1 a cell.
- layer 1: the latest mark brings the walk as it was before it; tokens of the run are marks
  themselves, so `along`, the difference, is 0 there, and in a summary how far from the head it
  has come. The latest token with a state brings `now.state`. `due` is the sign of
  2 (credit - period) + 1.
- layer 2: `Latest` looks up what was last written at head + along, and whether anything was; the
  transition table, as in `trace`. A cell of a summary writes what it read where it read it,
  at head + along - stride, so an old context stays right while it is being summed up.

The next token depends on `phase`, which tokens embed: in a run it is the row of the table, or
`<summary>` once `due` is positive; in a summary the cell just looked up, or, if it was never
visited and is not the head's, a turn, the next tape or the end.

When: at a step token, if the steps since the cut less the cells of the summary that the context
begins with reach `period`. So with at most s cells visited on all k tapes (heads' included) at most
period + s steps are taken between two cuts, and, `<bos>` counted,
    context after a cut <= s + 2 k + 2
    longest context     <= 3 s + period + 4 k + 3     (or the prompt + period + s + 2 k + 1)
    tokens a step        = 1 + (s + 2 k + 1) / (s + period)     where s no longer grows
    tokens in n steps   <= (k + 2) n + (2 k + 1) n / period + k + cells given      whatever s is,
as a summary has, besides the cells of the one before, at most k a step taken since. A cut makes a
runtime read s + 2 k + 2 tokens again.

With Q states (A of them running), M symbols, T distinct results of R rules, target hard has
    layers = 4, heads = 3 k + 4, d_mlp = max(R, 6 k),
    d_model = 3 Q + k (3 M + 21) + 15, vocab = k (4 M + 3) + T + A + 3.

Source: after Brösamle & Eckstein (ICML 2026), whose model sums up its own run, of a machine with
one-way tapes. Two-way tapes, addresses that count from the head, how a summary is laid out and when
it is written are original. Kin: PENCIL (Yang et al. 2025, arXiv 2503.14337), which erases parts of
a chain of thought that tokens mark.
"""

from __future__ import annotations

from tm2tf.constructions import trace
from tm2tf.constructions.construction import Construction, Option, Options, Prompt
from tm2tf.constructions.tokens import BEGIN, START, STUCK, escape, input_token, left_token
from tm2tf.constructions.transitions import asked, features, results, running, table, unembed
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine, Tape, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import SIGNS, Affine, CausalSum, Latest, Sign
from tm2tf.program.program import Layer, Program, Token, Unembed

SUMMARY = "<summary>"
RUN = "run"
PARTS = {"head": 1, "right": 1, "left": -1}
"""Where the cells of a tape's summary are, in order, and how far each takes the walk."""

PERIOD = Option("period", 256, 1, "steps between summaries, besides one for each cell summed up")
Values = dict[str, str | int]


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the runs of `machine` and sums them up."""
    tapes = range(machine.tapes)
    return Program(
        name=f"{machine.name} by summarised",
        features=_features(machine),
        tokens=(
            *_prompt_tokens(machine),
            Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
            *(_step(machine, name, to) for name, to in results(machine).items()),
            *_summary_tokens(machine),
        ),
        layers=(
            _sums(machine, options["period"]),
            _marks(machine),
            Layer(tuple(_lookup(machine, t) for t in tapes), (table(machine),)),
        ),
        unembed=_unembed(machine),
    )


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the tokens that put the program into a start configuration.

    As in `trace`, but contents that end to the left of the head are followed by blanks up to it,
    so that no cell between them is one that was never visited.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    tapes = []
    for tape in configuration.tapes:
        gap = tape.head - tape.origin - len(tape.contents)
        blanks = (machine.blank,) * (gap if tape.contents else 0)
        tapes.append(Tape(tape.contents + blanks, tape.origin, tape.head))
    return trace.prompt(machine, Configuration(configuration.state, tuple(tapes)), options)


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    k, q, m = machine.tapes, len(machine.states), len(machine.symbols)
    return {
        "layers": 4,
        "heads": 3 * k + 4,
        "d_model": 3 * q + k * (3 * m + 21) + 15,
        "d_mlp": max(len(machine.transitions), 6 * k),
        "vocab": k * (4 * m + 3) + len(results(machine)) + len(closing(machine)) + 3,
    }


def varies(machine: Machine, options: Options) -> None:
    """Return that the tokens of a step depend on the space that the run takes."""


def closing(machine: Machine) -> list[str]:
    """Return the states that summaries may end in: running ones, or any if there is none."""
    return running(machine) or list(machine.states)


# --- tokens ----------------------------------------------------------------------------------


def _opening(t: int) -> str:
    """Return the token after which a tape is summed up."""
    return SUMMARY if t == 0 else f"<tape:{t}>"


def _turn(machine: Machine, t: int) -> str:
    return "<turn>" if machine.tapes == 1 else f"<turn:{t}>"


def _cell(machine: Machine, t: int, part: str, symbol: str) -> str:
    word = f"{part}:{escape(symbol)}"
    return word if machine.tapes == 1 else f"tape{t}:{word}"


def _close(state: str) -> str:
    return f"</summary:{escape(state)}>"


def _written(t: int, symbol: str) -> Values:
    return {f"tape{t}.write": symbol, f"tape{t}.writes": 1, f"tape{t}.visited": "yes"}


def _state(state: str) -> Values:
    return {"state": state, "has_state": 1, "is_mark": 1, "phase": RUN}


def _prompt_tokens(machine: Machine) -> list[Token]:
    tokens = [Token(BEGIN, "begin", {})]
    for t in range(machine.tapes):
        given: Values = {f"tape{t}.fill": 1, f"tape{t}.is_input": 1}
        tokens.append(Token(left_token(machine, t), "prompt", {f"tape{t}.fill": -1}))
        tokens += [
            Token(input_token(machine, t, symbol), "prompt", given | _written(t, symbol))
            for symbol in machine.symbols
        ]
    outcome = machine.outcome_of(machine.start)
    return [*tokens, Token(START, "prompt", _state(machine.start), outcome)]


def _step(machine: Machine, name: str, to: Transition) -> Token:
    values = _state(to.state) | {"tick": 1}
    for t in range(machine.tapes):
        values |= _written(t, to.writes[t])
        values[f"tape{t}.move"] = OFFSET[to.moves[t]]
    return Token(name, "step", values, machine.outcome_of(to.state))


def _summary_tokens(machine: Machine) -> list[Token]:
    tokens = []
    for t in range(machine.tapes):
        opened: Values = {"phase": f"head{t}", "is_mark": 1}
        turned: Values = {"phase": f"left{t}", "is_mark": 1, "stride": -1}
        tokens += [
            Token(_opening(t), "part" if t else "summary", opened),
            Token(_turn(machine, t), "part", turned),
        ]
        for part, stride in PARTS.items():
            side = "left" if part == "left" else "right"
            cell: Values = {"phase": f"{side}{t}", "stride": stride, "tick": -1}
            tokens += [
                Token(_cell(machine, t, part, symbol), "part", cell | _written(t, symbol))
                for symbol in machine.symbols
            ]
    return tokens + [Token(_close(state), "cut", _state(state)) for state in closing(machine)]


# --- layers ----------------------------------------------------------------------------------


def _sums(machine: Machine, period: int) -> Layer:
    heads = [CausalSum("walk", "stride"), CausalSum("credit", "tick")]
    for t in range(machine.tapes):
        heads += [
            CausalSum(f"tape{t}.head", f"tape{t}.move"),
            CausalSum(f"tape{t}.filled", f"tape{t}.fill", when=f"tape{t}.is_input"),
        ]
    before = Affine("walk.before", ((1, "walk"), (-1, "stride")))
    overdue = Affine("overdue", ((2, "credit"),), 1 - 2 * period)  # odd, so never zero
    return Layer(tuple(heads), (before, overdue))


def _marks(machine: Machine) -> Layer:
    mark = Latest(("mark.walk",), ("walk.before",), where="is_mark", defaults=(0,))
    state = Latest(("now.state",), ("state",), where="has_state")
    forms = [Affine("along", ((1, "walk"), (-1, "mark.walk")))]
    for t in range(machine.tapes):
        look = f"tape{t}.look"
        given = ((1, f"tape{t}.filled"), (-1, f"tape{t}.is_input"))
        forms += [
            Affine(look, ((1, f"tape{t}.head"), (1, "along"))),
            Affine(
                f"tape{t}.address",
                ((1, look), (-1, "stride"), (-1, f"tape{t}.move"), *given),
            ),
        ]
    return Layer((mark, state), (*forms, Sign("due", "overdue")))


def _lookup(machine: Machine, t: int) -> Latest:
    return Latest(
        outs=(f"tape{t}.read", f"tape{t}.known"),
        values=(f"tape{t}.write", f"tape{t}.visited"),
        where=f"tape{t}.writes",
        key=(f"tape{t}.address",),
        query=(f"tape{t}.look",),
        defaults=(machine.blank, "no"),
    )


def _unembed(machine: Machine) -> Unembed:
    """Return which token comes next, by phase."""
    negative, _, positive = SIGNS
    rows = {
        name: {"phase": RUN, "due": negative} | asked(machine, to)
        for name, to in results(machine).items()
    }
    rows[SUMMARY] = {"phase": RUN, "due": positive}
    for t in range(machine.tapes):
        for part in PARTS:
            visited = {} if part == "head" else {f"tape{t}.known": "yes"}
            for symbol in machine.symbols:
                here = {"phase": f"{part}{t}", f"tape{t}.read": symbol}
                rows[_cell(machine, t, part, symbol)] = here | visited
        beyond = {f"tape{t}.known": "no"}
        rows[_turn(machine, t)] = {"phase": f"right{t}"} | beyond
        done = {"phase": f"left{t}"} | beyond
        if t + 1 < machine.tapes:
            rows[_opening(t + 1)] = done
        else:
            rows |= {_close(state): done | {"now.state": state} for state in closing(machine)}
    return unembed(rows)


def _features(machine: Machine) -> tuple[Feature, ...]:
    states, symbols, yes_no = machine.states, machine.symbols, ("no", "yes")
    words = {
        "state": states,
        "now.state": states,
        "phase": (RUN, *(f"{part}{t}" for t in range(machine.tapes) for part in PARTS)),
        "due": SIGNS,
    }
    signs, flags = ["stride", "tick"], ["is_mark", "has_state"]
    numbers = ["walk", "walk.before", "mark.walk", "along", "credit", "overdue"]
    for t in range(machine.tapes):
        words |= {f"tape{t}.write": symbols, f"tape{t}.read": symbols}
        words |= {f"tape{t}.visited": yes_no, f"tape{t}.known": yes_no}
        signs += [f"tape{t}.move", f"tape{t}.fill"]
        flags += [f"tape{t}.is_input", f"tape{t}.writes"]
        numbers += [f"tape{t}.{name}" for name in ("head", "filled", "look", "address")]
    return (
        Integer(POSITION, low=1),
        *(Categorical(name, values) for name, values in words.items()),
        *(Integer(name, -1, 1) for name in signs),
        *(Integer(name, 0, 1) for name in flags),
        *map(Integer, numbers),
        *features(machine),
    )


CONSTRUCTION = Construction(
    name="summarised",
    summary="decoder-only, unbounded tapes, context of the order of the space: it sums itself up",
    source="after Brösamle & Eckstein 2026 (arXiv 2605.18079); kin: PENCIL, Yang et al. 2025 "
    "(arXiv 2503.14337)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(PERIOD,),
    tokens_per_step=varies,
    rebases=True,
)
