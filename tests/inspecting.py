"""What the tests of inspection share: compiled machines, the command, sentences of a table."""

import json
from functools import cache

from click.testing import CliRunner

from tm2tf import formats
from tm2tf.cli import group
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.inspect import tables
from tm2tf.inspect.forms import shown
from tm2tf.machine import library

NAMES = ("bb2", "binary-increment", "palindrome-2tape")


@cache
def compiled(name) -> Compiled:
    entry = library.find(name)
    return compile_machine(
        formats.parse(entry.path.read_text(encoding="utf-8"), str(entry.path), entry.name)
    )


def texts(weights, layer):
    """Return what each neuron of a layer does, in words."""
    return [neuron.text for neuron in tables.layer(weights, layer).neurons]


def sentences(machine):
    """Return what the table's neurons should say: one sentence a transition."""
    found = set()
    for (state, reads), to in machine.transitions.items():
        when = [f"state={state}", *(f"tape{t}.read={read}" for t, read in enumerate(reads))]
        then = [f"next.state={to.state}"]
        then += [f"next.tape{t}.write={symbol}" for t, symbol in enumerate(to.writes)]
        then += [f"next.tape{t}.move={move}" for t, move in enumerate(to.moves)]
        found.add(f"if {' and '.join(map(shown, when))} then {', '.join(map(shown, then))}")
    return found


def inspect(*arguments):
    return CliRunner().invoke(group, ["inspect", *arguments])


def shown_by(*arguments):
    result = inspect(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def json_of(*arguments):
    return json.loads(shown_by(*arguments, "--json"))
