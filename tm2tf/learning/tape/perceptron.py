"""Stochastic gradient descent as a Turing machine: the perceptron, with a margin, averaged.

Tapes (numbers are fields of balanced ternary, the least significant trit first, all of one width):

    0 input     a `#` for each epoch; the examples, each its fields and its label; `#`; the queries,
                each its fields and `?`. A field ends in `|`, the last one of an example in `=`.
    1 weights   a field for each of an example's; blank at the start for theta_0 = 0
    2 score     one number, blank between examples

For each epoch and each example the machine works out score = w.x; if label * score <= margin, it
adds label * x to w. Then it gives each query the label `+` where its score is positive, else `-`.
That is torch.optim.SGD with learning rate 1 on relu(margin + 1/2 - label * score), see
`learning.gradient`.

Small worked example, width 2, one epoch, features (1, 1) and the last of them always 1:

    0  #+0|+0=-#+0|+0=?         1  (blank)       the example says -, and what does the query get?
    0  #+0|+0=-#+0|+0=?         1  00|00|        `zeros` has written theta_0
    0   +0|+0=-#+0|+0=?         1  00|00|        `epoch` has erased a mark
                                2  00            `score` is 0, not beyond the margin 0: `update`
    0   +0|+0=-#+0|+0=?         1  -0|-0|        w = w - x; state `updated`
    0   +0|+0=-#+0|+0=-         1  -0|-0|        no mark is left: score -2, `answer` is -

How the score comes about: for trit i of field j of the example, which is t, t times w_j is added to
tape 2 from cell i on. So nothing is multiplied but by -1, 0 or 1.

Averaged: each feature has a second field, zero in examples and queries, so that tape 1 has a place
beside each weight for the sum of that weight after every example (state `summed`). When no epoch is
left the sums take the weights' place. Their sign is that of the average, and no division is needed.

Sources: Rosenblatt (1958), Psychological Review 65, 386-408; averaged: Freund and Schapire (1999),
Machine Learning 37, 277-296.
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
    add_constant,
    announce,
    back,
    erase,
    malformed,
    moved,
    through,
    to_sign,
)
from tm2tf.learning.ternary import TRITS
from tm2tf.machine.builder import (
    Block,
    Builder,
    accept,
    act,
    call,
    copy_of,
    loop,
    on,
    on_symbol,
    seq,
    when,
)
from tm2tf.machine.spec import Machine

EXAMPLES, WEIGHTS, SCORE = 0, 1, 2
"""The tapes."""

UPDATED, SUMMED = "updated", "summed"
"""States that the machine enters once after each update, and after each example's sums."""


def zeros() -> Block:
    """Write theta_0 = 0 on a blank tape of weights: a field for each of the first example's."""
    both = {EXAMPLES: "R", WEIGHTS: "R"}
    return seq(
        through(EXAMPLES, MARK, "R"),
        loop(
            on(EXAMPLES, FIELDS),
            when(
                on(EXAMPLES, END),
                act(write={WEIGHTS: END}, move=both),
                act(write={WEIGHTS: "0"}, move=both),
            ),
        ),
        when(~on(EXAMPLES, LAST), malformed),
        act(write={WEIGHTS: END}, move={WEIGHTS: "R"}),
        back(WEIGHTS, FIELDS),
        loop(~on(EXAMPLES, MARK), moved("L", EXAMPLES)),
    )


def epoch(at_end: Block) -> Block:
    """Go back to the first example and erase an epoch's mark; if none is left, to the queries."""
    return seq(
        through(EXAMPLES, INPUT, "L"),
        moved("R", EXAMPLES),
        when(
            on(EXAMPLES, MARK),
            seq(
                act(write={EXAMPLES: BLANK}, move={EXAMPLES: "R"}),
                through(EXAMPLES, MARK, "R"),
            ),
            seq(
                loop(~on(EXAMPLES, MARK), moved("R", EXAMPLES)),
                moved("R", EXAMPLES),
                at_end,
            ),
        ),
    )


def score() -> Block:
    """Write w.x on the blank tape 2: label and end of the weights are under heads 0 and 1 then.

    A field that is zero is passed over, as most are where words are counted. A field's trits are as
    many as its weight's, so when head 2 has gone right by one for each of the first, and left by
    one for each of the second, it is back on its first cell.
    """
    shifted = seq(back(WEIGHTS, TRITS, SCORE), moved("R", EXAMPLES, SCORE))
    times = {
        "0": act(write={SCORE: {BLANK: "0"}}, move={EXAMPLES: "R", SCORE: "R"}),
        "+": seq(add(WEIGHTS, SCORE, 1), shifted),
        "-": seq(add(WEIGHTS, SCORE, -1), shifted),
    }
    return loop(
        on(WEIGHTS, FIELDS),
        through(EXAMPLES, "0", "R", WEIGHTS),
        when(
            on(EXAMPLES, "+-"),
            seq(
                back(WEIGHTS, TRITS, EXAMPLES),
                loop(on(EXAMPLES, TRITS), on_symbol(EXAMPLES, times)),
                loop(on(WEIGHTS, TRITS), act(move={WEIGHTS: "R", SCORE: "L"})),
            ),
        ),
        when(~on(EXAMPLES, END + LAST), malformed),
        moved("R", EXAMPLES, WEIGHTS),
    )


def update() -> Block:
    """Add label * x to the weights; heads 0 and 1 are where `score` leaves them, before and after.

    Then `announce` the state `updated`.
    """

    def adding(sign: int) -> Block:
        return seq(
            back(WEIGHTS, FIELDS, EXAMPLES),
            loop(on(WEIGHTS, FIELDS), add(EXAMPLES, WEIGHTS, sign), moved("R", EXAMPLES, WEIGHTS)),
        )

    return seq(call("update", when(on(EXAMPLES, "+"), adding(1), adding(-1))), announce(UPDATED))


def learn(margin: int, after: Block) -> Block:
    """Update the weights if label * score is not beyond the margin; erase the score."""
    right = (on(EXAMPLES, "+") & on(SCORE, "+")) | (on(EXAMPLES, "-") & on(SCORE, "-"))
    return seq(
        call(
            "margin",
            when(on(EXAMPLES, "+"), add_constant(SCORE, -margin), add_constant(SCORE, margin)),
        ),
        call("compare", to_sign(SCORE)),
        when(~right, update()),
        call("learned", erase(SCORE)),
        after,
    )


def answer() -> Block:
    """Write the query's label in place of `?`; erase the score."""
    return seq(
        to_sign(SCORE),
        when(on(SCORE, "+"), act(write={EXAMPLES: "+"}), act(write={EXAMPLES: "-"})),
        erase(SCORE),
    )


def copied() -> Block:
    """Copy a field of tape 1 to the blank tape 2."""
    return loop(
        on(WEIGHTS, TRITS),
        act(write={SCORE: copy_of(WEIGHTS)}, move={WEIGHTS: "R", SCORE: "R"}),
    )


def sums() -> Block:
    """Add each weight to the sum beside it; tape 2 is blank before and after.

    Then `announce` the state `summed`.
    """
    return seq(
        call(
            "sums",
            back(WEIGHTS, FIELDS),
            loop(
                on(WEIGHTS, FIELDS),
                copied(),
                moved("R", WEIGHTS),
                back(SCORE, TRITS),
                add(SCORE, WEIGHTS, 1),
                moved("L", SCORE),
                erase(SCORE),
                moved("R", WEIGHTS),
            ),
        ),
        announce(SUMMED),
    )


def take_sums() -> Block:
    """Replace each weight by the sum beside it; tape 2 is blank before and after."""
    right = seq(through(WEIGHTS, TRITS, "R"), moved("R", WEIGHTS))
    return seq(
        loop(
            on(WEIGHTS, FIELDS),
            right,
            copied(),
            moved("L", WEIGHTS, SCORE),
            through(WEIGHTS, TRITS, "L"),
            moved("L", WEIGHTS),
            loop(
                on(WEIGHTS, TRITS),
                act(
                    write={WEIGHTS: copy_of(SCORE), SCORE: BLANK},
                    move={WEIGHTS: "L", SCORE: "L"},
                ),
            ),
            moved("R", WEIGHTS, SCORE),
            right,
            right,
        ),
        back(WEIGHTS, FIELDS),
    )


@cache
def build(margin: int = 0, averaged: bool = False) -> Machine:
    """Return the machine; it is the same for all data, whatever their number and width."""
    after = sums() if averaged else seq()
    at_end = call("take-sums", take_sums()) if averaged else seq()
    decide = when(on(EXAMPLES, UNKNOWN), call("answer", answer()), learn(margin, after))
    program = seq(
        when(on(WEIGHTS, BLANK), call("zeros", zeros())),
        loop(
            ~on(EXAMPLES, BLANK),
            when(
                on(EXAMPLES, MARK),
                call("epoch", epoch(at_end)),
                seq(
                    call("score", score()),
                    when(~on(EXAMPLES, "+-" + UNKNOWN), malformed),
                    decide,
                    call("rewind", back(WEIGHTS, FIELDS), moved("R", EXAMPLES)),
                ),
            ),
        ),
        accept,
    )
    kind = "averaged-perceptron" if averaged else "margin-perceptron" if margin else "perceptron"
    return Builder(tapes=[INPUT, FIELDS, TRITS]).build(
        program,
        kind,
        description="Trains on the examples of tape 1 by stochastic gradient descent, then answers "
        "the queries there.",
        source="original; written with tm2tf.machine.builder",
    )
