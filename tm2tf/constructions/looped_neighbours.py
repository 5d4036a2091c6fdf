"""The looped-neighbours construction: a looped transformer that is a cellular automaton.

Window, prompt and tokens are those of `looped`; one tape. The automaton has radius 1: a cell holds
a symbol and, as `state`, the machine's state where the head is, elsewhere an arrow `<` or `>` to
it. Pass:
- layer 0, neurons alone: the table on (state, symbol) gives the next symbol, and what stays here,
  leaves to the left and leaves to the right; only a head's cell sends a state.
- layer 1: two heads bring what arrives from either side, and a table joins the three.
The head's cell emits the step; what others emit means nothing.

Cost: W + 2 positions; one pass a step; W bounds space, nothing bounds time. With Q states, M
symbols, R rules, T distinct results of rules (T <= R), target hard has
    layers = 2, heads = 2, d_mlp = R + 2 M, d_model = 7 Q + 3 M + 13, vocab = 3 M + T + 3.
All features are words, at most four of them asked for at once: 4 significant bits hold every sum.

Source: after Smith 1971 (Simple computation-universal cellular spaces), where a cell of a cellular
automaton is a tape cell with or without a head; weight-tied passes after Dehghani et al. 2019
(Universal Transformers, arXiv 1807.03819). Arrows are original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tm2tf.constructions.construction import Construction, Options, one_tape_only
from tm2tf.constructions.looped import (
    LEFT,
    RIGHT,
    WINDOW,
    YES,
    cell_token,
    end_tokens,
    prompt,
    step_tokens,
    wide_enough,
)
from tm2tf.constructions.transitions import results, unembed
from tm2tf.machine.spec import Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Relative, Row, Table
from tm2tf.program.program import Layer, Program, Token


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab on the hard target, by formula."""
    q, m = len(machine.states), len(machine.symbols)
    return {
        "layers": 2,
        "heads": 2,
        "d_model": 7 * q + 3 * m + 13,
        "d_mlp": len(machine.transitions) + 2 * m,
        "vocab": 3 * m + len(set(machine.transitions.values())) + 3,
    }


@dataclass(frozen=True, slots=True)
class _Marks:
    """Words beside the machine's states: arrows to the head, and that nothing leaves a cell."""

    left: str
    right: str
    nothing: str

    @staticmethod
    def beside(states: tuple[str, ...]) -> _Marks:
        """Return marks that are no states: doubled, say, where a state is called like one."""
        return _Marks(*(_unlike(states, mark) for mark in "<>-"))


def _unlike(states: tuple[str, ...], mark: str) -> str:
    return min((mark * n for n in range(1, len(states) + 2) if mark * n not in states), key=len)


def program(machine: Machine, options: Options) -> Program:
    """Return the program of `looped-neighbours`, whose passes are the steps of `machine`."""
    marks = _Marks.beside(machine.states)
    made = ("next.tape0.symbol", "stays", "leaves.left", "leaves.right")
    rows = [
        Row((state, *reads), _sent(marks, to)) for (state, reads), to in machine.transitions.items()
    ]
    for arrow in (marks.left, marks.right):
        nothing = (arrow, marks.nothing, marks.nothing)
        rows += [Row((arrow, symbol), (symbol, *nothing)) for symbol in machine.symbols]
    acts = Table("transitions", ("state", "tape0.symbol"), made, tuple(rows))
    arrivals = (
        Relative("from.left", 1, "leaves.right"),
        Relative("from.right", -1, "leaves.left"),
    )
    return Program(
        name=f"{machine.name} by looped-neighbours",
        features=_features(machine, marks),
        tokens=(*end_tokens(machine), *_cells(machine, marks), *step_tokens(machine)),
        layers=(Layer(feed_forward=(acts,)), Layer(arrivals, (_joined(machine, marks),))),
        unembed=unembed(
            {
                name: dict(zip(made, _sent(marks, to), strict=True))
                for name, to in results(machine).items()
            }
        ),
        loop=(("next.state", "state"), ("next.tape0.symbol", "tape0.symbol")),
    )


def _sent(marks: _Marks, to: Transition) -> tuple[str, str, str, str]:
    """Return, for the head's cell, its next symbol, what stays, leaves to the left, to the right.

    Where the head was an arrow stays, the way that it went.
    """
    symbol = to.writes[0]
    match to.moves[0]:
        case "L":
            return symbol, marks.left, to.state, marks.nothing
        case "R":
            return symbol, marks.right, marks.nothing, to.state
        case _:
            return symbol, to.state, marks.nothing, marks.nothing


def _joined(machine: Machine, marks: _Marks) -> Table:
    """Return the next state of a cell, from what stays there and what arrives."""
    rows = [
        Row((marks.left, marks.nothing, None), (marks.left,)),
        Row((marks.right, None, marks.nothing), (marks.right,)),
    ]
    for state, move in dict.fromkeys(
        (to.state, to.moves[0]) for to in machine.transitions.values()
    ):
        match move:  # a head that moves right comes from the left, to a cell that has it there
            case "R":
                rows.append(Row((marks.left, state, None), (state,)))
            case "L":
                rows.append(Row((marks.right, None, state), (state,)))
            case _:
                rows.append(Row((state, None, None), (state,)))
    return Table("arrivals", ("stays", "from.left", "from.right"), ("next.state",), tuple(rows))


def _cells(machine: Machine, marks: _Marks) -> Iterator[Token]:
    held = {LEFT: marks.left, YES: machine.start, RIGHT: marks.right}
    for way, state in held.items():
        for symbol in machine.symbols:
            values = {"state": state, "tape0.symbol": symbol}
            yield Token(cell_token((symbol,), way), "cell", values)


def _features(machine: Machine, marks: _Marks) -> tuple[Feature, ...]:
    states = (*machine.states, marks.left, marks.right)
    sent = (*machine.states, marks.nothing)
    return (
        Integer(POSITION, low=1),
        Categorical("state", states),
        Categorical("tape0.symbol", machine.symbols),
        Categorical("tape0.write", machine.symbols),
        Integer("tape0.move", -1, 1),
        Categorical("next.tape0.symbol", machine.symbols),
        Categorical("stays", states),
        *(Categorical(f"leaves.{side}", sent) for side in (LEFT, RIGHT)),
        *(Categorical(f"from.{side}", sent) for side in (LEFT, RIGHT)),
        Categorical("next.state", states),
    )


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine is refused: it has several tapes; None if it has one."""
    reason = one_tape_only(machine, options)
    return None if reason is None else f"{reason}; construction 'looped' takes several"


CONSTRUCTION = Construction(
    name="looped-neighbours",
    summary="weight-tied, one position a cell, one pass a step; cells see their neighbours alone",
    source="after Smith 1971 (cellular automata), Dehghani et al. 2019 (arXiv 1807.03819)",
    program=program,
    prompt=prompt,
    sizes=sizes,
    options=(WINDOW,),
    view="cells",
    fitting=wide_enough,
    refusal=refusal,
)
