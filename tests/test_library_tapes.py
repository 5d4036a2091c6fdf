"""The bundled machines of several tapes, against Python's own arithmetic."""

import importlib.util
import math
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.formats import native
from tm2tf.machine import library
from tm2tf.machine.simulator import run
from tm2tf.machine.spec import Tape

TOPICS = ("two-tapes", "three-tapes", "programs")
ENTRIES = [entry for entry in library.entries() if entry.topic in TOPICS]
PROGRAMS = library.data_folder("machines") / "programs"


@cache
def load(name):
    path = library.find(name).path
    return native.parse(path.read_text(encoding="utf-8"), str(path))


def outcome(name, *inputs):
    return run(load(name), load(name).initial(inputs), 10**6).outcome


def tapes(name, *inputs):
    """Return the words on the tapes after a run that halts."""
    machine = load(name)
    ended = run(machine, machine.initial(inputs), 10**6)
    assert ended.outcome == "halted"
    return [machine.join(tape.contents) for tape in ended.configuration.tapes]


def words(symbols, longest):
    return ("".join(w) for n in range(longest + 1) for w in product(symbols, repeat=n))


def binary(word):
    return int(word or "0", 2)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_file_is_complete(entry):
    machine = load(entry.name)
    assert machine.name == entry.name
    assert machine.tapes == {"two-tapes": 2, "three-tapes": 3, "programs": 3}[entry.topic]
    assert machine.description
    assert machine.source
    assert 4 <= len(machine.examples) <= 8


@pytest.mark.parametrize(
    ("name", "example"),
    [(entry.name, example) for entry in ENTRIES for example in load(entry.name).examples],
)
def test_examples(name, example):
    machine, expected = load(name), example.expected
    ended = run(machine, machine.initial(example.tapes), example.max_steps or 10**6)
    found = [tape.contents for tape in ended.configuration.tapes]
    assert expected.outcome == ended.outcome
    assert expected.steps in (None, ended.steps)
    assert expected.state in (None, ended.configuration.state)
    marks = sum(tape.nonblank(machine.blank) for tape in ended.configuration.tapes)
    assert expected.nonblank in (None, marks)
    assert all(w in (None, f) for w, f in zip(expected.tapes or (), found, strict=False))


def test_generated_files_are_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", PROGRAMS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = dict(module.generated())
    assert {path.read_text(encoding="utf-8") for path in files} == set(files.values())
    assert set(files) == set(PROGRAMS.glob("*.yaml"))


@pytest.mark.parametrize("name", ["gcd", "binary-prime"])
def test_programs_stay_small(name):
    assert len(load(name).transitions) < 3000


def test_palindrome_2tape():
    for word in words("01", 7):
        assert (outcome("palindrome-2tape", word) == "accepted") == (word == word[::-1])


def test_matching():
    for word in words("01#", 6):
        equal = word.count("#") == 1 and word.split("#")[0] == word.split("#")[1]
        assert (outcome("matching", word) == "accepted") == equal


@settings(deadline=None)
@given(st.text("01", max_size=20), st.text("01", max_size=20))
def test_matching_long(left, right):
    assert outcome("matching", f"{left}#{left}") == "accepted"
    assert (outcome("matching", f"{left}#{right}") == "accepted") == (left == right)


def test_matching_3tape():
    for word in words("abc", 7):
        n = len(word) // 3
        equal = word == "a" * n + "b" * n + "c" * n
        assert (outcome("matching-3tape", word) == "accepted") == equal
    for i, j, k in product((9, 10, 11), repeat=3):
        word = "a" * i + "b" * j + "c" * k
        assert (outcome("matching-3tape", word) == "accepted") == (i == j == k)


@pytest.mark.parametrize("name", ["binary-addition-2tape", "binary-addition-3tape"])
def test_addition(name):
    for left, right in product(words("01", 4), repeat=2):
        total, width = binary(left) + binary(right), max(len(left), len(right))
        expected = f"{total:0{width}b}" if width else ""
        assert tapes(name, left, right)[-1] == expected
        assert tapes(name, left, right)[0] == left


@pytest.mark.parametrize("name", ["binary-addition-2tape", "binary-addition-3tape"])
@settings(deadline=None)
@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_addition_of_long_numbers(name, left, right):
    assert tapes(name, f"{left:b}", f"{right:b}")[-1] == f"{left + right:b}"


def test_multiplication():
    for left, right in product(words("01", 4), repeat=2):
        product_ = binary(left) * binary(right)
        assert tapes("binary-multiplication-3tape", left, right) == [left, right, f"{product_:b}"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_multiplication_of_long_numbers(left, right):
    found = tapes("binary-multiplication-3tape", f"{left:b}", f"{right:b}")[2]
    assert found == f"{left * right:b}"


def test_unary_multiplication():
    for a, b in product(range(7), repeat=2):
        found = tapes("unary-multiplication-2tape", "1" * a + "x" + "1" * b)
        assert found == ["x" + "1" * b, "1" * (a * b)]


def test_stutter_left():
    machine = load("stutter-left")
    for word in words("abc", 5):
        doubled = "".join(2 * letter for letter in reversed(word))
        assert tapes("stutter-left", word) == [word, doubled]
        ended = run(machine, machine.initial([word]))
        assert ended.steps == 2 * len(word) + 1
        assert ended.configuration.tapes[1].origin == min(0, 1 - 2 * len(word))


def test_unary_to_binary():
    for n in range(70):
        assert tapes("unary-to-binary-2tape", "1" * n) == ["1" * n, f"{n:b}"]


def test_gcd():
    for a, b in product(range(25), repeat=2):
        assert tapes("gcd", f"{a:b}", f"{b:b}")[2] == f"{math.gcd(a, b):b}"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 2**10), st.integers(0, 3))
def test_gcd_of_long_numbers(a, b, common, zeros):
    left, right = "0" * zeros + f"{a * common:b}", f"{b * common:b}"
    assert tapes("gcd", left, right)[2] == f"{math.gcd(a * common, b * common):b}"


def test_prime():
    for n in range(70):
        prime = n > 1 and all(n % d for d in range(2, n))
        assert (outcome("binary-prime", f"{n:b}") == "accepted") == prime
    assert outcome("binary-prime", "") == "rejected"
    assert outcome("binary-prime", "00" + f"{11:b}") == "accepted"


@settings(max_examples=25, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9))
def test_where_the_words_stand_does_not_matter(left, right):
    """Words away from the origin, with the heads on their first symbols."""
    first, second = Tape(tuple("1011"), left, left), Tape(tuple("110"), right, right)
    assert tapes("binary-addition-2tape", first, second)[1] == f"{11 + 6:b}"
    assert tapes("binary-multiplication-3tape", first, second)[2] == f"{11 * 6:b}"
    assert tapes("gcd", first, second)[2] == f"{math.gcd(11, 6):b}"
