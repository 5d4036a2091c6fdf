"""The scratchpad construction: at every step the model writes the whole configuration out again.

So people make language models compute: the context is `<bos>` and one configuration after another.
It needs no bound on the tape, as `queue` does, and no sum over all moves, as `trace` does, and
whoever reads the text sees every tape. A step costs as many tokens as there are cells.

A row is the cells from the first to the last one that was given or visited, and `|`. A cell is `1`,
or `A:1` where the head is, in state A. A cell that the head just left to the right, in state B, is
`1>B`: it tells the next one. Where the head goes to the left of the first cell, the row begins one
cell further left, with `<B:_`; to the right of the last one it has one cell more. So bb4 begins

    A:0 |   1>B B:0 |   A:1 1 |   <B:0 1 1 |   <A:0 1 1 1 |   1>B B:1 1 1 | ...

- layer 0: `left` sums the cells grown to the left, and `begun` is where the latest `|` stands.
  With them every cell has a column, for ever the same: position - begun + left. A table says what
  the cell alone becomes, and where its head goes (`act`). `over.now`, from the latest head, is how
  the run is over.
- layer 1: two lookups by column, of the cell to be written (what it becomes, its `act`) and of the
  one to its right (does its head come?). The last token tells of the one to its left. A table
  then says what stands there: a cell without the head, one with it, or one that it just left; or
  a cell grown to the left, or the row's end.

Why a lookup by column finds the row before: the latest cell in that column is in it, as the row
being written has not come so far, and no row is narrower than the one before. A column that was
never written is beyond the end. (The cell to the left is overwritten already, hence `1>B`.)

Ends. In a halting state the last configuration is there as a whole, with `<halted>` (or accepted,
rejected) in place of `|`: a run of T steps, T rows. Where a rule is missing, nothing fits but the
default: `<stuck>`, in the next row, a cell before the head's if there is one.

Cost. Let s_t be the cells of the start row and those visited since, after t steps: s_t + 1 tokens
are step t, so a run from s_0 cells that ends with s takes, in T steps,
    (s_1 + 1) + ... + (s_T + 1)  <=  T (s + 1)  <=  T (s_0 + 1) + T (T + 1) / 2
tokens, and they all stay in the context, though only the last two rows are looked at. Exact while
the context is at most 2^51 tokens and s + 2 at most 2^26. With Q states, M symbols, R rules, K
kinds of halting, C distinct (symbol, state) left behind by moves to the right, and N_L, N_S, N_R, N
states entered by a move to the left, by staying, by a move to the right, and by any, target hard
has
    layers = 3, heads = 5, vocab = (Q + 1) M + C + N_L + K + 3,
    d_model = Q + 3 M + 2 K + 5 N_L + 2 N_S + 4 N_R + N + 27,
    d_mlp = max(R + M + 1, 4 N_L + N_S + 3 N_R + 3, 12)
(`sizes`).

Source: the practice of Nye et al. (2021), "Show Your Work: Scratchpads for Intermediate
Computation with Language Models", arXiv 2112.00114, who train models to write intermediate results
down, and Hou et al. (ICML 2025), "Universal Length Generalization with Turing Programs", arXiv
2407.03310, whose models copy a machine's tape at each step, with small changes (and a RASP program
that does). Columns, lookups by column, and growth at both ends are ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from tm2tf.constructions.construction import Construction, Options, Prompt, one_tape_only
from tm2tf.constructions.tokens import BEGIN, STUCK, escape, require_start
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Configuration, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Number, Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed

ROW = "|"
GROW = "tape0.grow"
"""-1 on a token that begins a row one cell further left than the row before."""

PLAIN, HEAD, EDGE = "plain", "head", "edge"
NONE = "none"
LEFT, HERE, RIGHT = "left", "here", "right"
GOES = {"L": LEFT, "S": HERE, "R": RIGHT}
GOING = "no"
"""What `over` is in states that do not end the run."""

Values = dict[str, str | int]


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the configurations of `machine`, row after row."""
    flags = (
        Number("is_row", "mark", ((EDGE, 1),)),
        Number("is_head", "mark", ((HEAD, 1),)),
        Number("is_cell", "mark", ((PLAIN, 1), (HEAD, 1))),
    )
    sums = (
        CausalSum("left", GROW),
        Latest(("begun",), (POSITION,), where="is_row", defaults=(1,)),
        Latest(("over.now",), ("over",), where="is_head"),
    )
    column = ((1, POSITION), (-1, "begun"), (1, "left"))
    columns = (
        Affine("column", column),
        Affine("next.column", column, 1),
        Affine("beyond.column", column, 2),
    )
    here = Latest(
        ("next.symbol", "here.act"),
        ("becomes", "act"),
        where="is_cell",
        key=("column",),
        query=("next.column",),
        defaults=(machine.blank, EDGE),
    )
    beyond = Latest(
        ("from.right",),
        ("to.left",),
        where="is_cell",
        key=("column",),
        query=("beyond.column",),
        defaults=(NONE,),
    )
    return Program(
        name=f"{machine.name} by scratchpad",
        features=_features(machine),
        tokens=tuple(_tokens(machine)),
        layers=(
            Layer((), flags),
            Layer(sums, (*columns, _transitions(machine))),
            Layer((here, beyond), (_arrivals(machine),)),
        ),
        unembed=Unembed(("next.symbol", "next.head", "over.now"), _emitted(machine), STUCK),
    )


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the row that puts the program into a start configuration.

    It goes from the first to the last cell that is the head's or not blank.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    require_start(machine, configuration)
    tape = configuration.tapes[0].trimmed(machine.blank)
    ends = [tape.origin, tape.origin + len(tape.contents) - 1] if tape.contents else []
    first, last = min([tape.head, *ends]), max([tape.head, *ends])
    tokens = [BEGIN]
    for address in range(first, last + 1):
        given = 0 <= address - tape.origin < len(tape.contents)
        symbol = tape.contents[address - tape.origin] if given else machine.blank
        here = address == tape.head
        tokens.append(_head_token(machine.start, symbol) if here else _cell_token(symbol))
    return Prompt((*tokens, _end_token(machine.outcome_of(machine.start))), (first,))


def varies(machine: Machine, options: Options) -> None:
    """Return that the tokens of a step depend on the space that the run takes."""


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of the module's docstring."""
    q, m, k = len(machine.states), len(machine.symbols), len(_kinds(machine))
    left, stay, right = (len(_entered(machine, move)) for move in "LSR")
    entered = len(_entered(machine, "LSR"))
    return {
        "layers": 3,
        "heads": 5,
        "d_model": q + 3 * m + 2 * k + 5 * left + 2 * stay + 4 * right + entered + 27,
        "d_mlp": max(len(machine.transitions) + m + 1, 4 * left + stay + 3 * right + 3, 12),
        "vocab": (q + 1) * m + len(_left_behind(machine)) + left + k + 3,
    }


def _entered(machine: Machine, moves: str) -> tuple[str, ...]:
    """Return the states that are entered by one of these moves."""
    rules = machine.transitions.values()
    return tuple(dict.fromkeys(to.state for to in rules if to.moves[0] in moves))


def _left_behind(machine: Machine) -> tuple[tuple[str, str], ...]:
    """Return what moves to the right leave behind: the symbol written and the state entered."""
    rules = machine.transitions.values()
    return tuple(dict.fromkeys((to.writes[0], to.state) for to in rules if to.moves[0] == "R"))


def _kinds(machine: Machine) -> tuple[str, ...]:
    """Return how runs can be over by their state."""
    outcomes = map(machine.outcome_of, machine.states)
    return tuple(dict.fromkeys(outcome for outcome in outcomes if outcome is not None))


# --- tokens ----------------------------------------------------------------------------------


def _cell_token(symbol: str) -> str:
    return escape(symbol).replace(ROW, f"\\{ROW}")


def _head_token(state: str, symbol: str) -> str:
    return f"{escape(state)}:{_cell_token(symbol)}"


def _left_token(symbol: str, state: str) -> str:
    """Return the token of a cell that the head just left to the right."""
    return f"{_cell_token(symbol)}>{escape(state)}"


def _grown_token(machine: Machine, state: str) -> str:
    """Return the token of a cell to the left of all others, which the head just came to."""
    return f"<{_head_token(state, machine.blank)}"


def _end_token(over: str | None) -> str:
    """Return the token that ends a row."""
    return ROW if over is None else f"<{over}>"


def _goes(way: str, state: str) -> str:
    """Return the word for a head that goes somewhere in a state."""
    return f"{way}:{state}"


def _tokens(machine: Machine) -> Iterator[Token]:
    yield Token(BEGIN, "begin", {})
    for symbol in machine.symbols:
        yield Token(_cell_token(symbol), "cell", _plain(symbol, NONE))
        for state in machine.states:
            yield Token(_head_token(state, symbol), "cell", _head(machine, state, symbol))
    for symbol, state in _left_behind(machine):
        values = _plain(symbol, _goes(RIGHT, state))
        yield Token(_left_token(symbol, state), "cell", values)
    for state in _entered(machine, "L"):
        values = _head(machine, state, machine.blank) | {GROW: -1}
        yield Token(_grown_token(machine, state), "cell", values)
    yield Token(ROW, "row", {"mark": EDGE, "to.right": EDGE})
    for kind in _kinds(machine):
        yield Token(_end_token(kind), "row", {}, kind)
    yield Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined])


def _plain(symbol: str, to_right: str) -> Values:
    return {"mark": PLAIN, "tape0.symbol": symbol, "to.right": to_right}


def _head(machine: Machine, state: str, symbol: str) -> Values:
    over = machine.outcome_of(state) or GOING
    cell: Values = {"mark": HEAD, "tape0.symbol": symbol, "to.right": NONE}
    return cell | {"state": state, "over": over}


# --- tables ----------------------------------------------------------------------------------


def _features(machine: Machine) -> tuple[Feature, ...]:
    lefts, stays, rights = (
        tuple(_goes(GOES[move], state) for state in _entered(machine, move)) for move in "LSR"
    )
    arrived = tuple(_goes(HERE, state) for state in _entered(machine, "LSR"))
    kinds = (GOING, *_kinds(machine))
    words = {
        "mark": (PLAIN, HEAD, EDGE),
        "tape0.symbol": machine.symbols,
        "state": machine.states,
        "to.right": (NONE, EDGE, *rights),
        "over": kinds,
        "over.now": kinds,
        "becomes": machine.symbols,
        "act": (NONE, EDGE, *lefts, *stays, *rights),
        "to.left": (NONE, *lefts),
        "next.symbol": machine.symbols,
        "here.act": (NONE, EDGE, *lefts, *stays, *rights),
        "from.right": (NONE, *lefts),
        "next.head": (NONE, EDGE, *lefts, *arrived, *rights),
    }
    flags = ("is_row", "is_head", "is_cell")
    numbers = ("left", "begun", "column", "next.column", "beyond.column")
    return (
        Integer(POSITION, low=1),
        Integer(GROW, -1, 0),
        *(Categorical(name, values) for name, values in words.items()),
        *(Integer(name, 0, 1) for name in flags),
        *map(Integer, numbers),
    )


def _transitions(machine: Machine) -> Table:
    """Return what a cell alone says of its next symbol and of where its head goes."""
    rules = (
        Row((HEAD, state, symbol), _done(to))
        for (state, (symbol,)), to in machine.transitions.items()
    )
    cells = (Row((PLAIN, None, symbol), (symbol, NONE, NONE)) for symbol in machine.symbols)
    return Table(
        "transitions",
        inputs=("mark", "state", "tape0.symbol"),
        outputs=("becomes", "act", "to.left"),
        rows=(*rules, *cells),
    )


def _done(to: Transition) -> tuple[str, str, str]:
    """Return `becomes`, `act` and `to.left` for a transition."""
    act = _goes(GOES[to.moves[0]], to.state)
    return to.writes[0], act, act if to.moves[0] == "L" else NONE


def _arrivals(machine: Machine) -> Table:
    """Return what the next cell is, from the cell before it and the row before.

    Here "left" is a cell grown to the left, "here" one with the head, "right" one that it left to
    the right, and "edge" that there is none.
    """
    rows: list[tuple[str | None, str, str | None, str]] = [
        (NONE, NONE, NONE, NONE),
        (EDGE, NONE, NONE, NONE),
        (NONE, EDGE, None, EDGE),
    ]
    for state in _entered(machine, "S"):
        here = _goes(HERE, state)
        rows.append((None, here, None, here))
    for state in _entered(machine, "R"):
        here, right = _goes(HERE, state), _goes(RIGHT, state)
        rows += [(None, right, None, right), *((right, act, None, here) for act in (NONE, EDGE))]
    for state in _entered(machine, "L"):
        here, left = _goes(HERE, state), _goes(LEFT, state)
        # a head that goes left was written just before, or goes beyond the first cell
        rows += [(NONE, left, None, NONE), (EDGE, left, None, left)]
        rows += [(beside, NONE, left, here) for beside in (NONE, EDGE)]
    return Table(
        "arrivals",
        inputs=("to.right", "here.act", "from.right"),
        outputs=("next.head",),
        rows=tuple(Row(row[:3], row[3:]) for row in rows),
    )


def _emitted(machine: Machine) -> dict[str, tuple[str | None, ...]]:
    """Return, for each token that is emitted, the symbol, the head and whether the run is over."""
    rows: dict[str, tuple[str | None, ...]] = {}
    for symbol in machine.symbols:
        rows[_cell_token(symbol)] = (symbol, NONE, None)
        for state in _entered(machine, "LSR"):
            rows[_head_token(state, symbol)] = (symbol, _goes(HERE, state), None)
    for symbol, state in _left_behind(machine):
        rows[_left_token(symbol, state)] = (symbol, _goes(RIGHT, state), None)
    for state in _entered(machine, "L"):
        rows[_grown_token(machine, state)] = (None, _goes(LEFT, state), None)
    rows |= {_end_token(over): (None, EDGE, over) for over in _kinds(machine)}
    return {**rows, ROW: (None, EDGE, GOING)}


CONSTRUCTION = Construction(
    name="scratchpad",
    summary="decoder-only, unbounded tape, the whole configuration a step, as text",
    source="practice of Nye et al. 2021 (arXiv 2112.00114), Hou et al. 2024 (arXiv 2407.03310)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    view="rows",
    refusal=one_tape_only,
    tokens_per_step=varies,
)
