"""What the tests of inspection share: compiled machines, the command, sentences of a table."""

import json
from dataclasses import replace
from functools import cache

from click.testing import CliRunner

from tm2tf import formats
from tm2tf.cli import group
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.inspect import tables
from tm2tf.inspect.forms import shown
from tm2tf.machine import library
from tm2tf.machine.spec import Machine

NAMES = ("bb2", "binary-increment", "palindrome-2tape")

SMALL = {
    "trace": {},
    "universal": {"states": 4, "symbols": 3, "halting": 1},
    "empirical": {"states": 4, "symbols": 3, "halting": 1},
    "addressed": {"tape": 16},
    "summarised": {"period": 2},
    "summarised-addressed": {"tape": 12, "context": 34},
    "queue": {"tape": 12},
    "looped": {"window": 4},
    "looped-neighbours": {"window": 4},
}
"""All constructions whose runs need no extra, with options that make bb3 and increments small."""


@cache
def bundled(name) -> Machine:
    entry = library.find(name)
    return formats.parse(entry.path.read_text(encoding="utf-8"), str(entry.path), entry.name)


@cache
def compiled(name, construction="trace", **options) -> Compiled:
    return compile_machine(bundled(name), construction, options=options)


def texts(weights, layer):
    """Return what each neuron of a layer does, in words."""
    return [neuron.text for neuron in tables.layer(weights, layer).neurons]


def sentences(machine, of="state"):
    """Return what the table's neurons should say: one sentence a transition."""
    found = set()
    for (state, reads), to in machine.transitions.items():
        when = [f"{of}={state}", *(f"tape{t}.read={read}" for t, read in enumerate(reads))]
        then = [f"next.state={to.state}"]
        then += [f"next.tape{t}.write={symbol}" for t, symbol in enumerate(to.writes)]
        then += [f"next.tape{t}.move={move}" for t, move in enumerate(to.moves)]
        found.add(f"if {' and '.join(map(shown, when))} then {', '.join(map(shown, then))}")
    return found


def check_sections(found):
    for section in found:
        wide = {len(row) for row in section.rows}
        assert len(wide) <= 1
        assert not section.headings or wide <= {len(section.headings)}
        assert all(isinstance(cell, str) for row in section.rows for cell in row)


def with_neurons(weights, layer, **changes):
    """Return the weights with some tensors of one feed-forward layer changed."""
    found = weights.layers[layer]
    changed = replace(found, feed_forward=replace(found.feed_forward, **changes))
    layers = (*weights.layers[:layer], changed, *weights.layers[layer + 1 :])
    return replace(weights, layers=layers)


def with_head(weights, layer, index=0, **changes):
    """Return the weights with some tensors of one head changed."""
    found = weights.layers[layer]
    heads = list(found.heads)
    heads[index] = replace(heads[index], **changes)
    layers = list(weights.layers)
    layers[layer] = replace(found, heads=tuple(heads))
    return replace(weights, layers=tuple(layers))


def inspect(*arguments):
    return CliRunner().invoke(group, ["inspect", *arguments])


def shown_by(*arguments):
    result = inspect(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def json_of(*arguments):
    return json.loads(shown_by(*arguments, "--json"))
