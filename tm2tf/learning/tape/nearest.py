"""The nearest neighbour as a Turing machine: a query gets the label of the example nearest to it.

Nearest by the sum of |x_j - q_j|; among equally near ones the earliest. Tapes (numbers are fields
of balanced ternary, the least significant trit first, all of one width):

    0 input     the examples, each its fields and its label; `#`; the queries, each its fields and
                `?`. A field ends in `|`, the last one of an example in `=`.
    1 query     the label and the distance of the nearest example so far, then the query's fields
    2 distance  one number, blank between examples

A small example, width 2: examples 2 with label -, 0 with label +; the query is 1.

    0  -+=-00=+#+0=?        1  0|++|+0|         `copy`: any distance is less than the greatest, ++
                            2  +0               `distance` from 2: 1
    0  -+=-00=+#+0=?        1  -|+0|+0|         `take`: its label and distance
                            2  +0               `distance` from 0: 1, which is not less: `drop`
    0  -+=-00=+#+0=-        1  -|+0|+0|         `answer`

Source of the rule: Cover and Hart (1967), IEEE Transactions on Information Theory 13, 21-27.
"""

from __future__ import annotations

from functools import cache

from tm2tf.learning.tape.blocks import (
    BLANK,
    END,
    FIELDS,
    INPUT,
    LAST,
    MARK,
    UNKNOWN,
    add,
    back,
    malformed,
    moved,
    through,
)
from tm2tf.learning.ternary import TRITS
from tm2tf.machine.builder import (
    Block,
    Builder,
    Test,
    accept,
    act,
    call,
    copy_of,
    loop,
    on,
    same,
    seq,
    when,
)
from tm2tf.machine.spec import Machine

EXAMPLES, QUERY, DISTANCE = 0, 1, 2
"""The tapes."""


def less(tape: int, other: int) -> Test:
    """Return the test "the trit on one tape is less than the trit on the other"."""
    return (on(tape, "-") & on(other, "0+")) | (on(tape, "0") & on(other, "+"))


def to_difference(tape: int, other: int) -> Block:
    """Move two heads from the first trits of fields to the most significant ones that differ.

    That trit says which number is greater, as the lower ones make up less than it does. The heads
    end in front of equal fields.
    """
    return seq(
        through(tape, TRITS, "R", other),
        moved("L", tape, other),
        loop(on(tape, TRITS) & same(tape, other), moved("L", tape, other)),
    )


def distance() -> Block:
    """Write the distance on the blank tape 2: label and end of the query are under heads 0 and 1.

    For each field |x - q| is x - q or q - x. A label beside a field could be taken for one of its
    trits, so head 0 is led to the left by the other heads.
    """

    def adding(sign: int) -> Block:
        return seq(
            through(QUERY, TRITS, "L", EXAMPLES),
            moved("R", EXAMPLES, QUERY),
            add(EXAMPLES, DISTANCE, sign),
            back(DISTANCE, TRITS, EXAMPLES),
            add(QUERY, DISTANCE, -sign),
        )

    return loop(
        on(QUERY, FIELDS),
        to_difference(QUERY, EXAMPLES),
        when(less(EXAMPLES, QUERY) & on(QUERY, TRITS), adding(-1), adding(1)),
        loop(on(EXAMPLES, TRITS), act(move={EXAMPLES: "R", DISTANCE: "L"})),
        when(~on(EXAMPLES, END + LAST), malformed),
        moved("R", EXAMPLES, QUERY),
    )


def to_fields() -> Block:
    """Move head 1 from the label of the nearest example to the query's first field."""
    return seq(moved("R", QUERY), moved("R", QUERY), through(QUERY, TRITS, "R"), moved("R", QUERY))


def copy() -> Block:
    """Copy a query to tape 1, behind no label and the greatest distance; go to the examples."""
    both = {EXAMPLES: "R", QUERY: "R"}
    return seq(
        act(write={QUERY: "0"}, move={QUERY: "R"}),
        act(write={QUERY: END}, move={QUERY: "R"}),
        loop(on(EXAMPLES, TRITS), act(write={QUERY: "+"}, move=both)),
        act(write={QUERY: END}),
        back(QUERY, TRITS, EXAMPLES),
        through(QUERY, TRITS, "R"),
        moved("R", QUERY),
        loop(on(EXAMPLES, FIELDS), act(write={QUERY: copy_of(EXAMPLES)}, move=both)),
        when(~on(EXAMPLES, LAST), malformed),
        act(write={QUERY: END}, move={QUERY: "R"}),
        through(EXAMPLES, INPUT, "L"),
        moved("R", EXAMPLES),
        back(QUERY, FIELDS),
        to_fields(),
    )


def compare() -> Block:
    """Keep label and distance of an example if it is nearer than the nearest so far."""
    left = {QUERY: "L", DISTANCE: "L"}

    def over(write: Block) -> Block:
        return seq(
            moved("R", QUERY, DISTANCE),
            through(QUERY, TRITS, "R", DISTANCE),
            moved("L", QUERY, DISTANCE),
            loop(on(QUERY, TRITS), write),
            moved("L", QUERY),
        )

    take = act(write={QUERY: copy_of(DISTANCE), DISTANCE: BLANK}, move=left)
    drop = act(write={DISTANCE: BLANK}, move=left)
    label = when(on(EXAMPLES, "+"), act(write={QUERY: "+"}), act(write={QUERY: "-"}))
    nearer = on(QUERY, TRITS) & less(DISTANCE, QUERY)
    return seq(
        back(QUERY, FIELDS),
        moved("R", QUERY),
        moved("R", QUERY),
        to_difference(QUERY, DISTANCE),
        when(
            nearer,
            call("take", over(take), label),
            call("drop", over(drop)),
        ),
        moved("R", DISTANCE, EXAMPLES),
        to_fields(),
    )


def answer() -> Block:
    """Give the query the label of the nearest example; go to the next query."""
    return seq(
        loop(~on(EXAMPLES, UNKNOWN), moved("R", EXAMPLES)),
        moved("L", QUERY),
        through(QUERY, FIELDS, "L"),
        moved("R", QUERY),
        act(write={EXAMPLES: copy_of(QUERY)}, move={EXAMPLES: "R"}),
    )


@cache
def build() -> Machine:
    """Return the machine; it is the same for all data, whatever their number and width."""
    program = seq(
        call("begin", loop(~on(EXAMPLES, MARK), moved("R", EXAMPLES)), moved("R", EXAMPLES)),
        loop(
            ~on(EXAMPLES, BLANK),
            call("copy", copy()),
            loop(
                ~on(EXAMPLES, MARK),
                call("distance", distance()),
                when(~on(EXAMPLES, "+-"), malformed),
                call("compare", compare()),
            ),
            call("answer", answer()),
        ),
        accept,
    )
    return Builder(tapes=[INPUT, FIELDS, TRITS]).build(
        program,
        "nearest-neighbour",
        description="Gives each query of tape 1 the label of the example there that is nearest.",
        source="original; written with tm2tf.machine.builder",
    )
