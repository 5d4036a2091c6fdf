"""The bundled one-tape machines against Python's own answers and published facts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.formats import bbchallenge, native
from tm2tf.machine import library
from tm2tf.machine.simulator import Run, Simulation, run, trace
from tm2tf.machine.spec import Machine, Tape

MAX_STEPS = 200_000
brisk = settings(max_examples=40, deadline=None)


@cache
def load(name: str) -> Machine:
    return native.parse(library.find(name).path.read_text(), name=name)


def started(name: str, word: str | Tape = "", max_steps: int = MAX_STEPS) -> tuple[Run, str]:
    """Return how the run of a bundled machine on `word` ended, and what its tape holds then."""
    machine = load(name)
    ended = run(machine, machine.initial([word]), max_steps)
    return ended, machine.join(ended.configuration.tapes[0].contents)


# --- published tables and facts -------------------------------------------------------------

PUBLISHED = {  # the table as a bbchallenge code; steps and symbols left, where it halts
    "bb2": ("1RB1LB_1LA1RZ", 6, 4),
    "bb3": ("1RB1RZ_1LB0RC_1LC1LA", 21, 5),
    "bb3-ones": ("1RB1RZ_0RC1RB_1LC1LA", 14, 6),
    "bb4": ("1RB1LB_1LA0LC_1RZ1LD_1RD0RA", 107, 13),
    "bb5": ("1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA", 47_176_870, 4098),
    "bb2x3": ("1RB2LB1RZ_2LA2RB1LB", 38, 9),
    "bb2x4": ("1RB2LA1RA1RA_1LB1LA3RB1RZ", 3_932_964, 2050),
    "antihydra": ("1RB1RA_0LC1LE_1LD1LC_1LA0LB_1LF1RE_---0RA", None, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_table_and_facts_are_the_published_ones(name: str) -> None:
    code, steps, score = PUBLISHED[name]
    machine = load(name)
    assert machine.transitions == bbchallenge.parse(code).transitions
    if steps is not None:
        stated = machine.examples[0].expected
        assert (stated.steps, stated.nonblank) == (steps, score)
        if steps < MAX_STEPS:
            ended, tape = started(name)
            assert (ended.steps, len(tape) - tape.count("0")) == (steps, score)


# --- machines that compute ------------------------------------------------------------------


def number(word: str) -> int:
    return int(word or "0", 2)


def summed(word: str) -> str:
    a, b = word.split("+")
    return f"{number(a) + number(b):b}"


def subtracted(word: str) -> str:
    a, b = map(number, word.split("-"))
    return f"{a - b:b}" if a >= b else "-"


def multiplied(word: str) -> str:
    a, b = word.split("x")
    return a * len(b)


def pairs(words: st.SearchStrategy[str], sign: str) -> st.SearchStrategy[str]:
    return st.builds(sign.join, st.tuples(words, words))


def ones(most: int) -> st.SearchStrategy[str]:
    return st.integers(0, most).map(lambda n: "1" * n)


BITS, SHORT_BITS = st.text("01", max_size=12), st.text("01", max_size=5)
LETTERS = st.text("ab", max_size=12)
TRANSDUCERS: dict[str, tuple[st.SearchStrategy[str], Callable[[str], str]]] = {
    "binary-increment": (BITS, lambda w: f"{number(w) + 1:b}".zfill(len(w))),
    "binary-decrement": (BITS, lambda w: f"{max(0, number(w) - 1):b}"),
    "binary-addition": (pairs(BITS, "+"), summed),
    "binary-subtraction": (pairs(BITS, "-"), subtracted),
    "division-by-3": (BITS, lambda w: f"{number(w) // 3:0{len(w)}b}" if w else ""),
    "binary-to-unary": (SHORT_BITS, lambda w: "1" * number(w)),
    "unary-to-binary": (ones(70), lambda w: f"{len(w):b}"),
    "unary-addition": (pairs(ones(9), "+"), lambda w: "1" * w.count("1")),
    "unary-subtraction": (pairs(ones(9), "-"), lambda w: "1" * (2 * w.index("-") + 1 - len(w))),
    "unary-multiplication": (pairs(ones(6), "x"), multiplied),
    "copy": (LETTERS, lambda w: f"{w}#{w}"),
    "reverse": (LETTERS, lambda w: w[::-1]),
    "sort": (st.text("abc", max_size=12), lambda w: "".join(sorted(w))),
}


@pytest.mark.parametrize("name", TRANSDUCERS)
@given(data=st.data())
@brisk
def test_computes_what_python_does(name: str, data: st.DataObject) -> None:
    words, function = TRANSDUCERS[name]
    word = data.draw(words)
    ended, tape = started(name, word)
    assert (ended.outcome, tape) == ("halted", function(word))


@given(BITS)
@brisk
def test_division_halts_in_the_remainder(word: str) -> None:
    assert started("division-by-3", word)[0].configuration.state == f"remainder-{number(word) % 3}"


def test_increment_starts_anywhere_on_the_number() -> None:
    for head in range(-2, 2):
        assert started("binary-increment", Tape(tuple("101"), -2, head))[1] == "110"


# --- machines that decide -------------------------------------------------------------------


def is_less(word: str) -> bool:
    a, sign, b = word.partition("<")
    return sign == "<" and number(a) < number(b)


def is_balanced(word: str) -> bool:
    while word != (shorter := word.replace("()", "").replace("[]", "")):
        word = shorter
    return word == ""


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, n))


def around(letters: str, second: Callable[[str], str]) -> st.SearchStrategy[str]:
    """Draw words w, then a little or nothing, then what `second` makes of w."""
    middles = st.sampled_from(["", *letters])
    return st.builds(lambda w, m: w + m + second(w), st.text(letters, max_size=8), middles)


NESTED = st.recursive(
    st.just(""),
    lambda inner: st.builds(
        "{1}{0[0]}{2}{0[1]}".format, st.sampled_from(["()", "[]"]), inner, inner
    ),
    max_leaves=8,
)
EQUAL = st.builds(
    lambda n, more: "a" * n + "b" * n + "c" * n + more,
    st.integers(0, 8),
    st.text("abc", max_size=1),
)
# for each: its alphabet, the length to which all words are tried, longer words, the truth
DECIDERS: dict[str, tuple[str, int, st.SearchStrategy[str], Callable[[str], bool]]] = {
    "binary-comparison": ("01<", 5, pairs(BITS, "<"), is_less),
    "divisible-by-3": ("01", 7, BITS, lambda w: w != "" and number(w) % 3 == 0),
    "power-of-two": ("1", 33, ones(70), lambda w: len(w).bit_count() == 1),
    "prime": ("1", 14, ones(20), lambda w: is_prime(len(w))),
    "palindrome": ("abc", 5, around("abc", lambda w: w[::-1]), lambda w: w == w[::-1]),
    "balanced-brackets": ("()[]", 5, NESTED, is_balanced),
    "anbncn": ("abc", 6, EQUAL, lambda w: w == "".join(c * (len(w) // 3) for c in "abc")),
    "doubled-word": ("ab", 7, around("ab", str), lambda w: w == w[: len(w) // 2] * 2),
}


def right(name: str, word: str) -> bool:
    """Return whether the machine's verdict on `word` is the truth."""
    return started(name, word)[0].outcome == ("accepted" if DECIDERS[name][3](word) else "rejected")


@pytest.mark.parametrize("name", DECIDERS)
def test_decides_all_short_words(name: str) -> None:
    alphabet, longest, _, accepts = DECIDERS[name]
    words = ["".join(w) for n in range(longest + 1) for w in product(alphabet, repeat=n)]
    if name == "binary-comparison":  # two signs are not a comparison, and nothing is promised
        words = [word for word in words if word.count("<") < 2]
    assert {accepts(word) for word in words} == {True, False}
    assert [word for word in words if not right(name, word)] == []


@pytest.mark.parametrize("name", DECIDERS)
@given(data=st.data())
@brisk
def test_decides_long_words(name: str, data: st.DataObject) -> None:
    assert right(name, data.draw(DECIDERS[name][2]))


# --- sequences ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [*range(1, 31), 97])
def test_collatz_halves_and_triples_as_often(n: int) -> None:
    machine = load("collatz")
    taken = [(s.state, s.reads[0]) for s in trace(machine, machine.initial([f"{n:b}"]))]
    even = odd = 0
    while n != 1:
        even, odd, n = (even, odd + 1, 3 * n + 1) if n % 2 else (even + 1, odd, n // 2)
    assert taken.count(("last", "0")) == even
    assert taken.count(("only", "0")) + taken.count(("only", "1")) == odd


def test_antihydra_follows_its_recurrence() -> None:
    a, b, steps = 0, 4, 11
    while steps < 25_000:
        ended, tape = started("antihydra", max_steps=steps)
        assert ended.outcome == "step-limit"
        assert (ended.configuration.state, tape) == ("E", ("1" * a + "0" + "1" * b).lstrip("0"))
        half = b // 2
        if b % 2 == 0:
            steps += 2 * a + 3 * half**2 + 12 * half + 11
            a, b = a + 2, 3 * half + 2
        else:
            steps += 3 * half**2 + 12 * half + 5
            a, b = a - 1, 3 * half + 3


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 100, 1023])
def test_counter_reaches_n_when_it_should(n: int) -> None:
    steps = 4 * n - 2 * n.bit_count()
    ended, tape = started("counter", max_steps=steps)
    assert (ended.outcome, ended.configuration.state, tape) == ("step-limit", "increment", f"{n:b}")


def test_turing_alternating() -> None:
    for squares in range(1, 50, 2):
        expected = "_".join("01"[i % 2] for i in range((squares + 1) // 2))
        assert started("turing-alternating", max_steps=squares)[1] == expected


def test_turing_growing_runs() -> None:
    machine = load("turing-growing-runs")
    simulation = Simulation(machine, machine.initial())
    for longest in range(9):
        digits = "0" + "".join("1" * n + "0" for n in range(longest + 1))
        while (taken := simulation.step()) and taken.state not in ("begin6", "last-zero3"):
            pass
        tape = simulation.configuration().tapes[0]
        assert "".join(tape.contents) == "ee" + "_".join(digits)
