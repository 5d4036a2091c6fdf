"""The looped construction: one position a cell, one pass through the layers a machine step.

A sequence is `<bos>`, W cells, `<edge>`: the window. All of it is there from the beginning, and
what the cells hold after a pass is the next configuration, so nothing is written and the weights,
which do not depend on W, run as many steps as they are passed through. A cell holds a symbol of
every tape and, for each, the way to its head: `tapeN.here` is `yes`, or says that it lies to the
`left` or to the `right`. Of a cell to the right of a head only the left neighbour can hand the
head over, which is a cell then and never an edge; so each cell's next way follows from its own,
one neighbour's and the move, and the two edges hold nothing, ever. The tokens of cells show the
same: `0>` has the head on its right, `[0]` under it, `<0` on its left.

The state stands at every cell (for cells that know their neighbours alone see
`looped_neighbours`). Pass:
- layer 0: for each tape one lookup without a key brings the symbol at the head to all cells, and
  two heads the neighbours' ways; the transition table is then evaluated at every cell.
- layer 1, neurons alone: the next symbol (what was written, where the head is) and the next way.
Every cell emits the same token, the step's. Where a head has left the window no cell holds it:
its lookup finds nothing and the tables match no more, so states and ways are gone a pass later.

All heads begin at one cell: address 0 of a tape is its own head's address, less that cell. A step
token (the word for a step: it is emitted and never fed) embeds what the step did.

Cost: W + 2 positions; one pass a step; W bounds space, nothing bounds time. With Q states, M
symbols, k tapes, R rules, T distinct results of rules (T <= R), target hard has
    layers = 2, heads = 3 k, d_mlp = max(R, k (3 M + 11)),
    d_model = 2 Q + k (5 M + 16) + 2, vocab = 3 M^k + T + 3.
All features are words, and no table or unembedding asks for more than max(4, 2 k + 1) of them: up
to three tapes 4 significant bits hold every sum (`bits` of the hard target); bfloat16 has 8.

Source: weight-tied passes after Dehghani et al. 2019 (Universal Transformers, arXiv 1807.03819);
a loop whose pass is an instruction after Giannou et al. 2023 (arXiv 2301.13196). Ways are original.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tm2tf.constructions.construction import (
    Construction,
    Option,
    Options,
    Prompt,
)
from tm2tf.constructions.tokens import BEGIN, STUCK, escape, require_start
from tm2tf.constructions.transitions import asked, each, features, results, table, unembed
from tm2tf.errors import ConfigurationError
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Latest, Number, Relative, Row, Table
from tm2tf.program.program import Layer, Program, Token

EDGE = "<edge>"
WINDOW = Option("window", 64, 2, "cells, the same for all tapes")
MOST_CELLS = 2**18
"""Tokens of cells, at most: each has a row of the embedding."""

LEFT, YES, RIGHT = WAYS = ("left", "yes", "right")
"""`tapeN.here`: whether the head is here, else where it lies."""

_SHAPES = {RIGHT: "{}>", YES: "[{}]", LEFT: "<{}"}


def cell_token(symbols: tuple[str, ...], way: str) -> str:
    """Return the token of a cell with a symbol a tape, all heads lying the same way from it."""
    return _SHAPES[way].format(",".join(map(escape, symbols)))


def span(machine: Machine, configuration: Configuration) -> tuple[int, int]:
    """Return the first and last cell that a start needs, counted from the heads."""
    ends = [0]
    for tape in configuration.tapes:
        kept = tape.trimmed(machine.blank)
        if kept.contents:
            first = kept.origin - kept.head
            ends += [first, first + len(kept.contents) - 1]
    return min(ends), max(ends)


def fitting(machine: Machine, configuration: Configuration, cells: int) -> int:
    """Return the window, of so many cells or that doubled again and again, that a start fits."""
    first, last = span(machine, configuration)
    while cells <= last - first:
        cells *= 2
    return cells


def wide_enough(machine: Machine, configuration: Configuration, options: Options) -> Options:
    """Return the options with a window that a start fits."""
    return {**options, WINDOW.name: fitting(machine, configuration, options[WINDOW.name])}


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the tokens that put the program into a start configuration, in mid-window.

    Raises:
        ConfigurationError: its state is not the machine's start state, or it does not fit.
    """
    require_start(machine, configuration)
    first, last = span(machine, configuration)
    window, width = options[WINDOW.name], last - first + 1
    if width > window:
        raise ConfigurationError(
            f"heads and contents of the start take {width:,} cells, and the window has "
            f"{window:,}; compile with --window {width} or more"
        )
    head = (window - width) // 2 - first
    symbols = [[machine.blank] * window for _ in configuration.tapes]
    for row, tape in zip(symbols, configuration.tapes, strict=True):
        kept = tape.trimmed(machine.blank)
        place = head + kept.origin - kept.head
        if kept.contents:
            row[place : place + len(kept.contents)] = kept.contents
    ways = [RIGHT] * head + [YES] + [LEFT] * (window - head - 1)
    tokens = map(cell_token, zip(*symbols, strict=True), ways)
    origins = tuple(tape.head - head for tape in configuration.tapes)
    return Prompt((BEGIN, *tokens, EDGE), origins)


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab of `looped`, by formula."""
    q, m, k, r = len(machine.states), len(machine.symbols), machine.tapes, len(machine.transitions)
    return {
        "layers": 2,
        "heads": 3 * k,
        "d_model": 2 * q + k * (5 * m + 16) + 2,
        "d_mlp": max(r, k * (3 * m + 11)),
        "vocab": 3 * m**k + len(set(machine.transitions.values())) + 3,
    }


def program(machine: Machine, options: Options) -> Program:
    """Return the program of `looped`, whose passes are the steps of `machine`."""
    k = range(machine.tapes)
    heads = tuple(Number(f"tape{t}.at", f"tape{t}.here", ((YES, 1),)) for t in k)
    lookups = tuple(Latest((f"tape{t}.read",), (f"tape{t}.symbol",), f"tape{t}.at") for t in k)
    sides = tuple(
        Relative(f"tape{t}.{side}", offset, f"tape{t}.here")
        for t in k
        for side, offset in ((LEFT, 1), (RIGHT, -1))
    )
    nexts = tuple(made for t in k for made in (_next_symbol(machine, t), _next_way(t)))
    held = (*each(machine, "tape{}.symbol"), *each(machine, "tape{}.here"))
    return Program(
        name=f"{machine.name} by looped",
        features=_features(machine),
        tokens=tuple(_tokens(machine)),
        layers=(
            Layer(feed_forward=heads),  # a name for the flags, no neurons
            Layer((*lookups, *sides), (table(machine),)),
            Layer(feed_forward=nexts),
        ),
        unembed=unembed({name: asked(machine, to) for name, to in results(machine).items()}),
        loop=tuple((f"next.{name}", name) for name in ("state", *held)),
    )


def _next_symbol(machine: Machine, t: int) -> Table:
    """Return what cells of tape `t` hold next: what is written where its head is."""
    kept = [Row((way, None, s), (s,)) for way in (LEFT, RIGHT) for s in machine.symbols]
    written = [Row((YES, symbol, None), (symbol,)) for symbol in machine.symbols]
    inputs = (f"tape{t}.here", f"next.tape{t}.write", f"tape{t}.symbol")
    return Table(f"tape{t} written", inputs, (f"next.tape{t}.symbol",), (*written, *kept))


def _next_way(t: int) -> Table:
    """Return where the head of tape `t` lies next, from each cell."""
    rows = [Row((YES, move, None, None), (way,)) for move, way in zip("LSR", WAYS, strict=True)]
    for way, towards, others in ((LEFT, "R", "LS"), (RIGHT, "L", "RS")):
        rows += [Row((way, move, None, None), (way,)) for move in others]
        for neighbour in (way, YES):  # the head comes here, if it was next to here
            asked = (neighbour, None) if way == LEFT else (None, neighbour)
            rows.append(Row((way, towards, *asked), (neighbour,)))
    inputs = (f"tape{t}.here", f"next.tape{t}.move", f"tape{t}.{LEFT}", f"tape{t}.{RIGHT}")
    return Table(f"tape{t} moved", inputs, (f"next.tape{t}.here",), tuple(rows))


def _tokens(machine: Machine) -> Iterator[Token]:
    yield from end_tokens(machine)
    for way in WAYS:
        for symbols in product(machine.symbols, repeat=machine.tapes):
            values: dict[str, str | int] = {"state": machine.start}
            for t, symbol in enumerate(symbols):
                values |= {f"tape{t}.symbol": symbol, f"tape{t}.here": way}
            yield Token(cell_token(symbols, way), "cell", values)
    yield from step_tokens(machine)


def end_tokens(machine: Machine) -> tuple[Token, ...]:
    """Return the tokens of both edges, and the one that a head's cell emits without a rule."""
    return (
        Token(BEGIN, "begin", {}),
        Token(EDGE, "prompt", {}, machine.outcome_of(machine.start)),
        Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
    )


def step_tokens(machine: Machine) -> Iterator[Token]:
    """Yield a token for each result of rules."""
    for name, to in results(machine).items():
        values: dict[str, str | int] = {"state": to.state}
        for t in range(machine.tapes):
            values |= {f"tape{t}.write": to.writes[t], f"tape{t}.move": OFFSET[to.moves[t]]}
        yield Token(name, "step", values, machine.outcome_of(to.state))


def _features(machine: Machine) -> tuple[Feature, ...]:
    found: list[Feature] = [Integer(POSITION, low=1), Categorical("state", machine.states)]
    for t in range(machine.tapes):
        found += [
            Categorical(f"tape{t}.symbol", machine.symbols),
            Categorical(f"tape{t}.here", WAYS),
            Categorical(f"tape{t}.write", machine.symbols),
            Integer(f"tape{t}.move", -1, 1),
            Integer(f"tape{t}.at", 0, 1),
            Categorical(f"tape{t}.read", machine.symbols),
            Categorical(f"tape{t}.{LEFT}", WAYS),
            Categorical(f"tape{t}.{RIGHT}", WAYS),
        ]
    found += features(machine)
    for t in range(machine.tapes):
        found.append(Categorical(f"next.tape{t}.symbol", machine.symbols))
        found.append(Categorical(f"next.tape{t}.here", WAYS))
    return tuple(found)


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine is refused: too many tapes for its symbols; None if it is not."""
    count = 3 * len(machine.symbols) ** machine.tapes
    if count <= MOST_CELLS:
        return None
    return (
        f"a cell has a token for each choice of symbols on {machine.tapes} tapes, which makes "
        f"{count:,} with {len(machine.symbols)} symbols, and at most {MOST_CELLS:,} are taken; "
        "take construction 'trace'"
    )


# --- looped-neighbours ----------------------------------------------------------------------


CONSTRUCTION = Construction(
    name="looped",
    summary="weight-tied, one position a cell, one pass a step; all cells see what is read",
    source="after Dehghani et al. 2019 (arXiv 1807.03819), Giannou et al. 2023 (arXiv 2301.13196)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(WINDOW,),
    view="cells",
    fitting=wide_enough,
    refusal=refusal,
)
