"""The majority label as a Turing machine: what there is to say without looking at the features.

Tape 0 holds examples and queries as for the other learners (`layout`), tape 1 the number of labels
`+` less the number of labels `-`, in balanced ternary. Every query gets the label `+` if that is
positive, else `-`.
"""

from __future__ import annotations

from functools import cache

from tm2tf.learning.tape.blocks import (
    BLANK,
    INPUT,
    LAST,
    MARK,
    UNKNOWN,
    add_constant,
    back,
    malformed,
    moved,
    to_sign,
)
from tm2tf.learning.ternary import TRITS
from tm2tf.machine.builder import Block, Builder, accept, act, call, loop, on, seq, when
from tm2tf.machine.spec import Machine

EXAMPLES, BALANCE = 0, 1
"""The tapes."""


def answers(label: str) -> Block:
    """Give every query the same label."""
    return loop(
        ~on(EXAMPLES, BLANK),
        loop(~on(EXAMPLES, UNKNOWN + BLANK), moved("R", EXAMPLES)),
        when(on(EXAMPLES, BLANK), malformed),
        act(write={EXAMPLES: label}, move={EXAMPLES: "R"}),
    )


@cache
def build() -> Machine:
    """Return the machine; it is the same for all data, whatever their number and width."""
    program = seq(
        loop(
            ~on(EXAMPLES, MARK),
            call("seek", loop(~on(EXAMPLES, LAST), moved("R", EXAMPLES)), moved("R", EXAMPLES)),
            when(~on(EXAMPLES, "+-"), malformed),
            call(
                "count",
                when(on(EXAMPLES, "+"), add_constant(BALANCE, 1), add_constant(BALANCE, -1)),
                back(BALANCE, TRITS),
                moved("R", EXAMPLES),
            ),
        ),
        moved("R", EXAMPLES),
        call("compare", to_sign(BALANCE)),
        call("answer", when(on(BALANCE, "+"), answers("+"), answers("-"))),
        accept,
    )
    return Builder(tapes=[INPUT, TRITS]).build(
        program,
        "majority-label",
        description="Gives each query of tape 1 the label that most of the examples there have.",
        source="original; written with tm2tf.machine.builder",
    )
