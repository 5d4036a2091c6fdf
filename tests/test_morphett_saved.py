"""Machines as Morphett's page saves them: JSON, the program and the boxes beside it."""

import json

import pytest

from tests.test_morphett import ALL, here
from tm2tf.errors import FormatError
from tm2tf.formats import morphett
from tm2tf.machine.spec import Tape


def test_saved_files():
    """The boxes beside the program are the start, the tape, the kind of tape."""
    saved = {
        "program": ALL,
        "state": "back",
        "tape": "b",
        "headposition": 0,
        "steps": 2,
        "initialtape": "*a",
        "initialstate": " back  x",
        "variant": 1,
        "version": 1,
    }
    text = json.dumps(saved, indent=1)
    machine = morphett.parse(text, "machine.json", "m")
    assert morphett.looks_like(text)
    assert (machine.start, machine.name, bool(machine.first)) == ("back", "m", True)
    assert machine.plain(machine.examples[0].tapes[0]) == Tape(("a",))
    assert any("saved after 2 steps, in the state 'back'" in note for note in machine.notes)
    assert here(machine, "a") == ((2, "HALT-ok", {0: "c"}, 0), "halted")
    fresh = morphett.parse(json.dumps({"program": ALL, "tape": "aa", "initialstate": "0"}))
    assert fresh.examples[0].tapes == (Tape(("a", "a")),)
    later = morphett.parse(json.dumps({"program": ALL, "tape": "aa", "steps": 1}))
    assert later.examples == ()  # a tape amid a run is no input


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"program": "0 1 1 r 0",\n "variant": 3}', None, "`variant` is 0, 1 or 2, got 3"),
        ('{"program": "0 1 1 r 0",\n "variant": true}', None, "`variant` is 0, 1 or 2, got True"),
        ('{"program": "0 1 1 r 0",\n "tape": 3}', None, "`tape` is text"),
        ('{"program": "0 1 1 r 0",\n "tape": "🙂"}', None, "a symbol of the tape cannot be '🙂'"),
        ('{"program": "0 1 1 r 0",\n "initialstate": "*"}', 1, "the start state cannot be '*'"),
        ('{"program": "0 1 1 r 0",\n "variant": }', 2, "not valid JSON: Expecting value"),
        ('{"program": "0 1 1 r 0",\n "steps": ' + 5000 * "9" + "}", None, "not valid JSON"),
        ('{"a": ' + 99999 * "[" + '"program": "0', None, "not valid JSON"),
        ('{"a": {"program": "0 1 1 r 0"}}', None, "a saved machine has a `program`"),
        ('{"program": "0 1 1 r 0\\n0 2 2 2 2"}', 2, "m.json (program):2:7: a move is"),
    ],
)
def test_saved_files_that_are_broken(text, line, message):
    with pytest.raises(FormatError) as error:
        morphett.parse(text, "m.json")
    assert message in str(error.value)
    assert error.value.line == line
