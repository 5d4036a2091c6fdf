"""The greatest common divisor of two binary numbers, by Stein's algorithm.

Tapes 0 and 1 hold the numbers, first digit first; the result is on tape 2. Twos that both have
are taken out and kept as zeros on tape 2. Then both are made odd, the smaller is subtracted from
the greater, and so on until they are equal: that number, followed by the zeros, is the result.
gcd(0, n) is n. The number of steps grows as the square of the number of digits.
"""

from dataclasses import replace

from tm2tf.machine.builder import (
    Block,
    Builder,
    act,
    always,
    call,
    copy_of,
    leave,
    loop,
    on,
    on_symbol,
    seq,
    when,
)
from tm2tf.machine.spec import Example, Expected, Machine, Tape

A, B, OUT = 0, 1, 2
BLANK, ZERO = "_", "0_"  # a blank counts as 0


def to_last_digit(tape: int) -> Block:
    """Move a head from anywhere in a number to its last digit."""
    return seq(loop(~on(tape, BLANK), act(move={tape: "R"})), act(move={tape: "L"}))


def to_number(tape: int) -> Block:
    """Move a head from the blanks left of a number, which is not empty, to its first digit."""
    return loop(on(tape, BLANK), act(move={tape: "R"}))


def strip_leading_zeros(tape: int) -> Block:
    """Erase zeros from the head on, to the right; zero becomes a blank tape."""
    return loop(on(tape, "0"), act(write={tape: BLANK}, move={tape: "R"}))


def halve_until_odd(tape: int) -> Block:
    """Erase the zeros at the end of a number."""
    return loop(on(tape, "0"), act(write={tape: BLANK}, move={tape: "L"}))


def compare() -> Block:
    """Write `<`, `=` or `>` under the head of OUT: how A compares with B.

    The heads go left from the last digits. The digit furthest left that differs decides, so
    what is written is overwritten until both numbers are behind the heads.
    """
    left = {A: "L", B: "L"}
    return seq(
        act(write={OUT: "="}),
        loop(
            ~(on(A, BLANK) & on(B, BLANK)),
            when(
                on(A, ZERO) & on(B, "1"),
                act(write={OUT: "<"}, move=left),
                when(on(A, "1") & on(B, ZERO), act(write={OUT: ">"}, move=left), act(move=left)),
            ),
        ),
        *(seq(to_number(tape), to_last_digit(tape)) for tape in (A, B)),
    )


def subtract(tape: int, other: int) -> Block:
    """Subtract the number on `other` from the greater one on `tape`, from the last digits."""
    left = {tape: "L", other: "L"}
    borrowing = loop(  # the digits between the one that borrows and the 1 that it takes
        ~(on(tape, "1") & on(other, ZERO)),
        when(
            on(tape, "0") & on(other, "1"),
            act(write={tape: "0"}, move=left),
            act(write={tape: "1"}, move=left),
        ),
    )
    return seq(
        loop(
            ~(on(tape, BLANK) & on(other, BLANK)),
            when(
                on(tape, "0") & on(other, "1"),
                seq(
                    act(write={tape: "1"}, move=left),
                    borrowing,
                    act(write={tape: "0"}, move=left),
                ),
                when(on(other, "1"), act(write={tape: "0"}, move=left), act(move=left)),
            ),
        ),
        to_number(tape),
        strip_leading_zeros(tape),
        to_last_digit(tape),
        to_number(other),
        to_last_digit(other),
    )


def program() -> Block:
    """Return the whole algorithm."""
    both = ~on(A, BLANK) & ~on(B, BLANK)
    return seq(
        call("begin", *(seq(strip_leading_zeros(t), to_last_digit(t)) for t in (A, B))),
        when(
            both,
            seq(
                call(
                    "common-twos",
                    loop(
                        on(A, "0") & on(B, "0"),
                        act(write={A: BLANK, B: BLANK, OUT: "0"}, move={A: "L", B: "L", OUT: "R"}),
                    ),
                ),
                loop(
                    always,
                    call("make-odd", halve_until_odd(A), halve_until_odd(B)),
                    call("compare", compare()),
                    on_symbol(
                        OUT,
                        {
                            "=": seq(act(write={OUT: BLANK}, move={OUT: "L"}), leave),
                            "<": call("subtract-a", subtract(B, A)),
                            ">": call("subtract-b", subtract(A, B)),
                        },
                    ),
                ),
            ),
        ),
        call(
            "result",  # in front of the zeros, from its last digit
            loop(on(OUT, "0"), act(move={OUT: "L"})),
            when(on(A, BLANK) & on(B, BLANK), act(write={OUT: "0"})),
            loop(~on(A, BLANK), act(write={OUT: copy_of(A)}, move={A: "L", B: "L", OUT: "L"})),
            loop(~on(B, BLANK), act(write={OUT: copy_of(B)}, move={B: "L", OUT: "L"})),
        ),
    )


def build() -> Machine:
    """Return the machine."""
    machine = Builder(tapes=["01", "01", "01<=>"]).build(
        program(),
        "gcd",
        undefined="reject",
        description="Greatest common divisor of the binary numbers on tapes 1 and 2, on tape 3.",
        source="original; the algorithm is J. Stein's (1967), written with tm2tf.machine.builder",
    )
    return replace(machine, examples=EXAMPLES)


def example(a: str, b: str, result: str, note: str = "") -> Example:
    """Return an example of which the outcome and the result are stated."""
    inputs = (Tape(tuple(a)), Tape(tuple(b)), Tape())
    return Example(inputs, Expected("halted", tapes=(None, None, tuple(result))), note)


EXAMPLES = (
    example("1100", "10010", "110", "gcd(12, 18) = 6"),
    example("111", "1011", "1", "gcd(7, 11) = 1"),
    example("10101", "10101", "10101", "two equal numbers"),
    example("1000", "100000", "1000", "powers of two"),
    example("", "1010", "1010", "gcd(0, n) = n; an empty operand counts as 0"),
    example("1010", "0", "1010"),
    example("0", "", "0", "gcd(0, 0) = 0"),
    example("001111", "0110", "11", "leading zeros: gcd(15, 6) = 3"),
)
