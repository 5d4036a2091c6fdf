"""The queue construction: constant precision; the context is a queue read at fixed distances.

The context is `<bos>`, then row after row of S cells (option `tape`), each row a configuration with
`#` behind it. A cell is `1`, or `A:1` where the head is, in state A. A step costs S + 1 tokens.

Offsets. A row takes S + 1 tokens, so a token and the one for the same cell a row ago lie S + 1
apart. The position that emits is one before the one that is emitted, and sees them from there:
    the same cell  S back;    its left neighbour  S + 1 back;    its right neighbour  S - 1 back.
Beyond the ends of a row stands a `#`, and left of the first one `<bos>`: the edge. A distance is
all that attention knows of positions, and no weight depends on S.

- layer 0: the table `transitions`, at each cell alone: what the cell becomes, what its head does
  (`act`), and which state it hands to its left and to its right. Edges hand on "edge".
- layer 1: four relative heads bring what the cell becomes, what its head did, and what comes from
  either side. A table then says where the head is: not here, here and in which state, beyond the
  edge ("full"), or that this place is the edge.

Ends. A cell with a halting state, and those after it in the row, embed how the run is over
(`over`): a register that the tokens carry to the row's end, which is then not `#` but `<halted>`
(or accepted, rejected) and ends the run. So the last configuration is there as a whole, and a run
that halts in T steps takes T (S + 1) passes. Where a rule is missing, `transitions` has no row, and
nothing fits but the default: `<stuck>`, in the next row, a cell before the head's if there is one.
A head that would leave the tape, halting or not, gives `<tape-full>` in place of its cell.

Cost: S + 1 tokens a step (a sweep that applies several steps to a row would take fewer); the
context is the whole run, but its last S + 2 tokens are all that is looked at. With Q states, M
symbols, R rules, K kinds of halting, and N_L, N_S, N_R, N states entered by a move to the left, by
staying, by a move to the right, and by any, target hard has
    layers = 2, heads = 4, vocab = (Q + K + 1) M + K + 4,
    d_model = Q + 3 M + K + 2 (N_L + N_S + N_R) + N + 25,
    d_mlp = max(R + M + 1, 2 N_L + N_S + N_R + 8)
(`sizes`). All features are words and all sums at most 3, so 3 significant bits are enough,
whatever the tape and time: the weights are the same and exact in float32, bfloat16 and float16.

Source: after Li & Wang (2025), "Constant Bit-size Transformers Are Turing Complete", arXiv
2506.12027, whose context is the queue of a Post machine, read at a distance that is its length.
They go through a Post machine; rows of cells, a cellular automaton's history, and the register for
the end are ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from tm2tf.constructions.addresses import TAPE_FULL, Addresses, origin
from tm2tf.constructions.construction import (
    Construction,
    Option,
    Options,
    Prompt,
    one_tape_only,
)
from tm2tf.constructions.tokens import BEGIN, STUCK, escape, require_start
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Configuration, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Relative, Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed

ROW = "#"
PLAIN, HEAD = "plain", "head"
NONE, EDGE, FULL = "none", "edge", "full"
LEFT, RIGHT = "left", "right"
GOING = "no"
"""What a register holds that does not say how the run is over."""


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the configurations of `machine`, row after row."""
    cells = options["tape"]
    heads = (
        Relative("next.symbol", cells, "becomes"),
        Relative("here.act", cells, "act"),
        Relative("from.left", cells + 1, "to.right", default=EDGE),
        Relative("from.right", cells - 1, "to.left"),
    )
    return Program(
        name=f"{machine.name} by queue",
        features=_features(machine),
        tokens=tuple(_tokens(machine)),
        layers=(Layer((), (_transitions(machine),)), Layer(heads, (_arrivals(machine),))),
        unembed=Unembed(("next.symbol", "next.head", "over"), _emitted(machine), STUCK),
    )


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the row that puts the program into a start configuration.

    What is given lies in the middle of the tape.

    Raises:
        ConfigurationError: its state is not the machine's start state, or it does not fit.
    """
    require_start(machine, configuration)
    (tape,) = configuration.tapes
    first = origin(tape, Addresses(options["tape"]))
    over = machine.outcome_of(machine.start)
    tokens = [BEGIN]
    for address in range(first, first + options["tape"]):
        given = 0 <= address - tape.origin < len(tape.contents)
        symbol = tape.contents[address - tape.origin] if given else machine.blank
        if address == tape.head:
            tokens.append(_head_token(machine.start, symbol))
        else:
            tokens.append(_cell_token(symbol, over if address > tape.head else None))
    return Prompt((*tokens, _end_token(over)), (first,))


def tokens_per_step(machine: Machine, options: Options) -> int:
    """Return how many tokens a step takes."""
    return options["tape"] + 1


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by formula, without building anything."""
    q, m, k = len(machine.states), len(machine.symbols), len(_kinds(machine))
    left, stay, right = (len(_entered(machine, move)) for move in "LSR")
    return {
        "layers": 2,
        "heads": 4,
        "d_model": q + 3 * m + k + 2 * (left + stay + right) + len(_entered(machine, "LSR")) + 25,
        "d_mlp": max(len(machine.transitions) + m + 1, 2 * left + stay + right + 8),
        "vocab": (q + k + 1) * m + k + 4,
    }


def _entered(machine: Machine, moves: str) -> tuple[str, ...]:
    """Return the states that are entered by one of these moves."""
    rules = machine.transitions.values()
    return tuple(dict.fromkeys(to.state for to in rules if to.moves[0] in moves))


def _kinds(machine: Machine) -> tuple[str, ...]:
    """Return how runs can be over by their state."""
    outcomes = map(machine.outcome_of, machine.states)
    return tuple(dict.fromkeys(outcome for outcome in outcomes if outcome is not None))


def _cell_token(symbol: str, over: str | None = None) -> str:
    """Return the token of a cell without the head; `over` is how the run is over left of it."""
    word = escape(symbol).replace(ROW, f"\\{ROW}")
    return word if over is None else f"<{over}>:{word}"


def _head_token(state: str, symbol: str) -> str:
    return f"{escape(state)}:{_cell_token(symbol)}"


def _end_token(over: str | None) -> str:
    """Return the token that ends a row."""
    return ROW if over is None else f"<{over}>"


def _enter(state: str) -> str:
    """Return the word for a head that comes in a state: no word without one looks like it."""
    return f">{state}"


def _tokens(machine: Machine) -> Iterator[Token]:
    yield Token(BEGIN, "begin", {})
    for symbol in machine.symbols:
        cell = {"tape0.symbol": symbol}
        yield Token(_cell_token(symbol), "cell", {**cell, "mark": PLAIN, "over": GOING})
        for state in machine.states:
            outcome = machine.outcome_of(state)
            more = {"mark": HEAD, "over": GOING} if outcome is None else {"over": outcome}
            yield Token(_head_token(state, symbol), "cell", {**cell, "state": state, **more})
        for kind in _kinds(machine):
            yield Token(_cell_token(symbol, kind), "cell", {**cell, "over": kind})
    yield Token(ROW, "row", {"mark": EDGE, "over": GOING})
    for kind in _kinds(machine):
        yield Token(_end_token(kind), "row", {}, kind)
    yield Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined])
    yield Token(f"<{TAPE_FULL}>", "end", {}, TAPE_FULL)


def _features(machine: Machine) -> tuple[Feature, ...]:
    left, stay, right = (tuple(map(_enter, _entered(machine, move))) for move in "LSR")
    acts = (NONE, EDGE, LEFT, RIGHT, *stay)
    return (
        Integer(POSITION, low=1),
        Categorical("tape0.symbol", machine.symbols),
        Categorical("state", machine.states),
        Categorical("mark", (PLAIN, HEAD, EDGE)),
        Categorical("over", (GOING, *_kinds(machine))),
        Categorical("becomes", machine.symbols),
        Categorical("act", acts),
        Categorical("to.left", (NONE, EDGE, *left)),
        Categorical("to.right", (NONE, EDGE, *right)),
        Categorical("next.symbol", machine.symbols),
        Categorical("here.act", acts),
        Categorical("from.left", (NONE, EDGE, *right)),
        Categorical("from.right", (NONE, EDGE, *left)),
        Categorical("next.head", (NONE, EDGE, FULL, *map(_enter, _entered(machine, "LSR")))),
    )


def _transitions(machine: Machine) -> Table:
    """Return what a cell alone says of its next symbol and of where its head goes."""
    rules = (
        Row((HEAD, state, symbol), (to.writes[0], *_goes(to)))
        for (state, (symbol,)), to in machine.transitions.items()
    )
    cells = (Row((PLAIN, None, symbol), (symbol, NONE, NONE, NONE)) for symbol in machine.symbols)
    edge = Row((EDGE, None, None), (machine.blank, EDGE, EDGE, EDGE))
    return Table(
        "transitions",
        inputs=("mark", "state", "tape0.symbol"),
        outputs=("becomes", "act", "to.left", "to.right"),
        rows=(*rules, *cells, edge),
    )


def _goes(to: Transition) -> tuple[str, str, str]:
    """Return `act`, `to.left` and `to.right` for a transition."""
    state = _enter(to.state)
    by_move = {"L": (LEFT, state, NONE), "S": (state, NONE, NONE), "R": (RIGHT, NONE, state)}
    return by_move[to.moves[0]]


def _arrivals(machine: Machine) -> Table:
    """Return where the head is, from what came from the left, was here, came from the right."""
    rows: list[tuple[str | None, str | None, str | None, str]] = []
    for state in map(_enter, _entered(machine, "S")):
        rows.append((None, state, None, state))
    for state in map(_enter, _entered(machine, "R")):
        rows.append((state, NONE, None, state))
    for state in map(_enter, _entered(machine, "L")):
        rows += [(beside, NONE, state, state) for beside in (NONE, EDGE)]
    rows += [
        (NONE, NONE, NONE, NONE),
        (EDGE, NONE, NONE, NONE),
        (NONE, NONE, EDGE, NONE),
        (NONE, LEFT, None, NONE),
        (EDGE, LEFT, None, FULL),
        (None, RIGHT, NONE, NONE),
        (None, RIGHT, EDGE, FULL),
        (None, EDGE, None, EDGE),
    ]
    return Table(
        "arrivals",
        inputs=("from.left", "here.act", "from.right"),
        outputs=("next.head",),
        rows=tuple(Row(row[:3], row[3:]) for row in rows),
    )


def _emitted(machine: Machine) -> dict[str, tuple[str | None, ...]]:
    """Return, for each token that is emitted, the cell's symbol, its head and the register."""
    rows: dict[str, tuple[str | None, ...]] = {}
    for symbol in machine.symbols:
        rows[_cell_token(symbol)] = (symbol, NONE, GOING)
        for state in _entered(machine, "LSR"):
            rows[_head_token(state, symbol)] = (symbol, _enter(state), None)
        for over in _kinds(machine):
            rows[_cell_token(symbol, over)] = (symbol, NONE, over)
    rows |= {_end_token(over): (None, EDGE, over) for over in _kinds(machine)}
    return {**rows, ROW: (None, EDGE, GOING), f"<{TAPE_FULL}>": (None, FULL, None)}


CONSTRUCTION = Construction(
    name="queue",
    summary="decoder-only, bounded tape, a row of cells a step, constant precision",
    source="after Li & Wang 2025 (arXiv 2506.12027)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(Option("tape", 64, 2, "cells of the tape; a step takes one token more"),),
    view="rows",
    refusal=one_tape_only,
    tokens_per_step=tokens_per_step,
)
