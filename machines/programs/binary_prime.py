"""Decides whether a binary number is prime, by trial division.

Tape 0 holds the number n, tape 1 a divisor d = 2, 3, 4, ..., tape 2 a remainder. For each d the
remainder of n by d is worked out as in long division: the digits of n are taken to the end of
the remainder one by one, and d is subtracted whenever it fits. If nothing remains, n is not
prime; if d reaches n, it is. About 5 n (log2 n)^2 steps.
"""

from dataclasses import replace

from tm2tf.machine.builder import (
    Block,
    Builder,
    accept,
    act,
    always,
    call,
    copy_of,
    leave,
    loop,
    on,
    reject,
    same,
    seq,
    when,
)
from tm2tf.machine.spec import Example, Expected, Machine, Tape

N, D, REST = 0, 1, 2
BLANK, ZERO = "_", "0_"  # a blank counts as 0
LEFT = {D: "L", REST: "L"}


def to_last_digit(tape: int) -> Block:
    """Move a head from anywhere in a number to its last digit."""
    return seq(loop(~on(tape, BLANK), act(move={tape: "R"})), act(move={tape: "L"}))


def return_to_ends() -> Block:
    """Move the heads of D and REST, from where they went to the left, to their last digits."""
    return seq(
        *(
            seq(loop(on(tape, BLANK), act(move={tape: "R"})), to_last_digit(tape))
            for tape in (D, REST)
        )
    )


def subtract() -> Block:
    """Subtract D from REST, which is not smaller, from their last digits to the left."""
    borrowing = loop(  # the digits between the one that borrows and the 1 that it takes
        ~(on(REST, "1") & on(D, ZERO)),
        when(
            on(REST, "0") & on(D, "1"),
            act(write={REST: "0"}, move=LEFT),
            act(write={REST: "1"}, move=LEFT),
        ),
    )
    return loop(
        ~on(D, BLANK),
        when(
            on(REST, "0") & on(D, "1"),
            seq(
                act(write={REST: "1"}, move=LEFT),
                borrowing,
                act(write={REST: "0"}, move=LEFT),
            ),
            when(on(D, "1"), act(write={REST: "0"}, move=LEFT), act(move=LEFT)),
        ),
    )


def subtract_if_it_fits() -> Block:
    """Compare REST with D from their last digits to the left; if not smaller, subtract D.

    Whether the digits seen so far make REST smaller is not written anywhere: it is whether the
    machine is in the inner loop.
    """
    end = on(D, BLANK) & on(REST, BLANK)
    smaller, greater = on(REST, ZERO) & on(D, "1"), on(REST, "1") & on(D, ZERO)
    return seq(
        loop(
            always,
            when(end, seq(return_to_ends(), call("subtract", subtract()), leave)),
            when(
                smaller,
                seq(
                    act(move=LEFT),
                    loop(~end & ~greater, act(move=LEFT)),
                    when(end, leave),
                ),
            ),
            act(move=LEFT),
        ),
        return_to_ends(),
    )


def divide() -> Block:
    """Leave the remainder of N by D on REST, which is blank; heads 0 and 1 on last digits."""
    return seq(
        loop(~on(N, BLANK), act(move={N: "L"})),
        act(move={N: "R"}),
        loop(on(D, BLANK), act(move={D: "R"})),
        to_last_digit(D),
        loop(
            ~on(N, BLANK),
            act(write={REST: copy_of(N)}, move={N: "R"}),
            call("fit", subtract_if_it_fits()),
            act(move={REST: "R"}),
        ),
        act(move={N: "L", REST: "L"}),
    )


def increment(tape: int) -> Block:
    """Add one, from the last digit and back to it."""
    return seq(
        loop(on(tape, "1"), act(write={tape: "0"}, move={tape: "L"})),
        act(write={tape: "1"}),
        to_last_digit(tape),
    )


def erase(tape: int, symbols: str) -> Block:
    """Erase symbols to the left, from the head on."""
    return loop(on(tape, symbols), act(write={tape: BLANK}, move={tape: "L"}))


def program() -> Block:
    """Return the whole algorithm."""
    nothing_left = on(REST, BLANK)
    return seq(
        call(
            "begin",  # without leading zeros, 0 is blank and 1 is one digit
            loop(on(N, "0"), act(write={N: BLANK}, move={N: "R"})),
            when(on(N, BLANK), reject),
            act(write={D: "1"}, move={N: "R", D: "R"}),
            when(on(N, BLANK), reject),
            act(write={D: "0"}),
            to_last_digit(N),
        ),
        loop(
            always,
            call("reached", loop(same(N, D) & ~on(N, BLANK), act(move={N: "L", D: "L"}))),
            when(on(N, BLANK) & on(D, BLANK), accept),
            call("divide", divide()),
            call("check", erase(REST, "0"), when(nothing_left, reject), erase(REST, "01")),
            call("increment", increment(D)),
        ),
    )


def build() -> Machine:
    """Return the machine."""
    machine = Builder(tapes=["01", "01", "01"]).build(
        program(),
        "binary-prime",
        description="Decides whether the binary number on tape 1 is prime, by trial division.",
        source="original; written with tm2tf.machine.builder",
    )
    return replace(machine, examples=EXAMPLES)


def example(number: int, prime: bool, note: str = "") -> Example:
    """Return an example with a number as input and its outcome."""
    inputs = (Tape(tuple(f"{number:b}")), Tape(), Tape())
    return Example(inputs, Expected("accepted" if prime else "rejected"), note)


EXAMPLES = (
    example(0, False),
    example(1, False, "1 is not prime"),
    example(2, True, "the only even one"),
    example(9, False, "an odd number that is not prime"),
    example(13, True),
    example(15, False),
    example(31, True),
    example(49, False, "the square of a prime"),
)
