"""Every bundled machine: its file is complete, and each of its examples agrees in lockstep."""

from functools import cache

import pytest

from tm2tf import api
from tm2tf.formats import native, native_writer
from tm2tf.machine import library
from tm2tf.machine.spec import Expected
from tm2tf.verify.cases import UNSTATED, of_machine
from tm2tf.verify.reference import REFERENCE_STEPS

ENTRIES = tuple(library.entries())
TOPICS = {
    "busy-beavers",
    "binary",
    "unary",
    "strings",
    "sequences",
    "universal",
    "two-tapes",
    "three-tapes",
    "programs",
}
LONG = {"bb5", "bb2x4"}
SHORTENED = 100_000
"""Steps that the long ones run in the default suite."""


@cache
def compiled(name):
    return api.compile(name)


def cases():
    """Yield (name, example) for every example of every machine, the long ones marked slow."""
    for entry in ENTRIES:
        for number, example in enumerate(api.load(entry.name).examples):
            long = (example.expected.steps or 0) > UNSTATED
            marks = (pytest.mark.slow, pytest.mark.timeout(600)) if long else ()
            yield pytest.param(entry.name, example, marks=marks, id=f"{entry.name}-{number}")


def test_the_library_is_whole():
    assert len(ENTRIES) >= 30
    assert {entry.topic for entry in ENTRIES} == TOPICS
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_file_says_all_there_is_to_say(entry):
    machine = api.load(entry.name)
    assert machine.name == entry.name == entry.path.stem
    assert machine.description
    assert machine.source
    assert machine.examples
    again = native.parse(native_writer.dump(machine), "<dumped>")
    assert (again, again.examples) == (machine, machine.examples)


@pytest.mark.parametrize(("name", "example"), list(cases()))
def test_an_example_agrees_in_lockstep(name, example):
    check = compiled(name).verify(
        *example.tapes, expected=example.expected, max_steps=example.max_steps
    )
    assert check.divergence is None
    assert example.expected.outcome in (None, check.outcome)
    assert check.interpreted == min(check.steps, REFERENCE_STEPS)


def test_the_long_ones_are_those_marked_slow():
    assert {case.values[0] for case in cases() if case.marks} == LONG


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_long_example_agrees_as_far_as_it_is_run(name):
    check = compiled(name).verify(max_steps=SHORTENED)
    assert (check.divergence, check.outcome) == (None, "step-limit")
    assert (check.steps, check.forward_passes, check.interpreted) == (
        SHORTENED, SHORTENED, REFERENCE_STEPS
    )  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_wrong_fact_is_noticed(entry):
    tapes = api.load(entry.name).examples[0].tapes
    check = compiled(entry.name).verify(*tapes, expected=Expected(state="nowhere"), max_steps=50)
    assert check.divergence.feature == "expected state"
    assert check.divergence.expected == "nowhere"
    assert check.divergence.got in api.load(entry.name).states


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_what_verify_runs_by_name_is_the_examples(entry):
    machine = api.load(entry.name)
    found = list(of_machine(entry.name, machine, (), None, given=False))
    assert [case.tapes for case in found] == [example.tapes for example in machine.examples]
    assert [case.expected for case in found] == [example.expected for example in machine.examples]
    assert [case.max_steps for case in found] == [e.max_steps for e in machine.examples]
    cut = list(of_machine(entry.name, machine, (), 10**9, given=False))
    assert {case.expected for case in cut} == {Expected()}
