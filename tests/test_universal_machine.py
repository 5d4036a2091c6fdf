"""The bundled universal machine against the machines that it simulates, run directly."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.universal_encoding import SIMULATED, decode, encode
from tm2tf.formats import native
from tm2tf.machine import library
from tm2tf.machine.simulator import run
from tm2tf.machine.spec import Machine, Reads, Tape, Transition

MAX_STEPS = 200_000


@cache
def load(name: str) -> Machine:
    return native.parse(library.find(name).path.read_text(), name=name)


def simulated(machine: Machine, word: str) -> Tape:
    """Return the tape on which `universal`, running `machine` on `word`, saw it halt."""
    universal = load("universal")
    ended = run(universal, universal.initial([encode(machine, word)]), MAX_STEPS)
    state, tape = decode(ended.configuration.tapes[0])
    assert (ended.configuration.state, state) == ("halted", 0)
    return tape


SIMULATIONS = [
    ("bb2", "", "1" * 4),
    ("bb3", "", "1" * 5),
    ("bb3-ones", "", "1" * 6),
    ("bb4", "", "1b" + "1" * 12),
    *(("binary-increment", f"{n:b}", f"{n + 1:b}") for n in (0, 3, 4, 31)),
    *(("binary-decrement", f"{n:b}", f"{max(0, n - 1):b}") for n in (0, 1, 8)),
    ("collatz", "101", "1"),
]


@pytest.mark.parametrize(("name", "word", "result"), SIMULATIONS)
def test_universal_runs_bundled_machines(name: str, word: str, result: str) -> None:
    assert "".join(simulated(load(name), word).contents) == result


def machines() -> st.SearchStrategy[Machine]:
    """Draw machines over b, 0 and 1, with the halting state Z and some undefined transitions."""
    states = ("A", "B", "C")
    action = st.builds(
        lambda state, write, move: Transition(state, (write,), (move,)),
        st.sampled_from([*states, "Z"]),
        st.sampled_from(SIMULATED),
        st.sampled_from("LSR"),
    )
    reads: st.SearchStrategy[tuple[str, Reads]] = st.tuples(
        st.sampled_from(states), st.tuples(st.sampled_from(SIMULATED))
    )
    return st.dictionaries(reads, action, min_size=6).map(
        lambda rules: Machine("drawn", SIMULATED, "b", (*states, "Z"), "A", rules, halt=("Z",))
    )


@given(machine=machines(), word=st.text("b01", max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_universal_runs_any_machine(machine: Machine, word: str) -> None:
    direct = run(machine, machine.initial([word]), 30)
    assume(direct.outcome == "halted")
    expected, tape = direct.configuration.tapes[0], simulated(machine, word)
    assert tape.contents == expected.contents
    assert not tape.contents or tape.head - tape.origin == expected.head - expected.origin
