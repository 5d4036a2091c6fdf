"""Overview, layers and neurons: what they say, against the machine, and read from the tensors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings

from tests.inspecting import (
    NAMES,
    check_sections,
    compiled,
    sentences,
    texts,
    with_head,
    with_neurons,
)
from tests.program_strategies import ODD_NAMES, programs
from tests.strategies import ODD, machines
from tm2tf.compiler import compile_machine
from tm2tf.errors import TargetError
from tm2tf.inspect import directions, sections, tables, tensors
from tm2tf.inspect.forms import number, printable, shown, to_json, words
from tm2tf.lowering import lower
from tm2tf.program.reader import parse
from tm2tf.weights.matrix import Matrix

# --- words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "constant", "expected"),
    [
        ([], 0, "0"),
        ([], 0.5, "0.5"),
        ([], -2, "-2"),
        ([("x", 1)], 0, "x"),
        ([("x", -1)], 0, "-x"),
        ([("x", 2), ("y", -3)], 0, "2 x - 3 y"),
        ([("x", -1), ("y", 1)], 2, "y - x + 2"),
        ([("x", -1)], 1, "1 - x"),
        ([("x", -1)], -1, "-x - 1"),
        ([("x", 1)], -(2.0**27), "x - 2^27"),
        ([("read= ", 0.5)], 0, '0.5 "read= "'),
    ],
)
def test_sums_in_words(terms, constant, expected):
    assert words(terms, constant) == expected


def test_numbers_names_and_controls():
    assert [number(x) for x in (3.0, -0.25, 2.0**51, -(2.0**20), 2.0**20 + 1, 1 / 3)] == [
        "3", "-0.25", "2^51", "-2^20", "1048577", "0.333333333333",
    ]  # fmt: skip
    assert [shown(name) for name in ("state=語", "a b", "", "a\x1b[31m")] == [
        "state=語", '"a b"', '""', '"a\\u001b[31m"',
    ]  # fmt: skip
    assert printable("a b\x1b\n語") == "a b\\x1b\\n語"


# --- overview and layers ------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_overview(name):
    weights = compiled(name).weights
    view = tables.overview(weights)
    assert (view.construction, view.target, view.dtype) == ("trace", "hard", "float64")
    assert {bound.name: bound.value for bound in view.bounds} == {"position": 2**51, "key": 2**26}
    dense = [
        tensor.dense() if isinstance(tensor, Matrix) else tensor
        for label, tensor in weights.tensors()
        if not label.endswith(".snap")
    ]
    assert view.parameters == sum(array.size for array in dense)
    assert view.nonzeros == sum(np.count_nonzero(array) for array in dense)
    ends = sum(np.count_nonzero(array) for array in (*dense[:2], *dense[-2:]))
    assert sum(layer.nonzeros for layer in view.layers) == view.nonzeros - ends
    assert view.d_model == len(view.directions)
    assert view.d_vocab == len(view.tokens)
    machine = compiled(name).machine
    assert [layer.neurons for layer in view.layers] == [
        2 * machine.tapes, 6 * machine.tapes, len(machine.transitions),
    ]  # fmt: skip
    assert view.decides[0] == "next.state"
    assert len(view.decides) == 1 + 2 * machine.tapes
    assert view.embedded[:2] == ("position", "state")


@pytest.mark.parametrize("name", NAMES)
def test_what_heads_attend_to_and_bring(name):
    layers = tables.overview(compiled(name).weights).layers
    blank = compiled(name).machine.blank
    for t in range(compiled(name).machine.tapes):
        (found,) = (head for head in layers[2].heads if head.name == f"tape{t}.read")
        assert found.kind == "latest"
        assert (
            found.attends == f"tape{t}.address there = tape{t}.head here, if tape{t}.writes there"
        )
        assert found.brings == f"tape{t}.write -> tape{t}.read, begin -> tape{t}.read={blank}"
        (found,) = (head for head in layers[0].heads if head.name == f"tape{t}.head")
        assert (found.kind, found.attends) == ("uniform", "every position, equally")
        assert found.brings == f"tape{t}.move -> tape{t}.head.mean"


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_neurons_say_the_transitions(name):
    found = texts(compiled(name).weights, 2)
    assert len(found) == len(compiled(name).machine.transitions)
    assert set(found) == sentences(compiled(name).machine)


@settings(max_examples=25, deadline=None)
@given(machines(words=ODD))
def test_the_tables_neurons_say_the_transitions_of_any_machine(machine):
    assert set(texts(compile_machine(machine).weights, 2)) == sentences(machine)


def test_sums_and_squares_are_formulas():
    weights = compiled("bb2").weights
    assert texts(weights, 0) == [
        "round(relu(position) * tape0.head.mean) -> tape0.head",
        "round(relu(position + 2^51 tape0.is_input - 2^51) * tape0.filled.mean) -> tape0.filled",
    ]
    gates = ("tape0.address + 2^27 tape0.writes - 2^27", "2^27 tape0.writes - tape0.address - 2^27")
    assert texts(weights, 1) == [
        f"relu({gates[0]}) -> tape0.read.key",
        f"relu({gates[0]}) * tape0.address -> tape0.read.key^2",
        "relu(tape0.head) * tape0.head -> tape0.read.query^2",
        f"relu({gates[1]}) -> -tape0.read.key",
        f"relu({gates[1]}) * -tape0.address -> tape0.read.key^2",
        "relu(-tape0.head) * -tape0.head -> tape0.read.query^2",
    ]
    gate = tables.neuron(weights, 1, 0).gate
    assert gate.named == {
        "tape0.address": "tape0.head + tape0.filled - tape0.move - tape0.is_input"
    }
    exact = {"tape0.head": 1, "tape0.filled": 1, "tape0.move": -1, "tape0.is_input": -1,
             "tape0.writes": 2.0**27}  # fmt: skip
    assert {term.name: term.weight for term in gate.terms} == exact
    assert gate.constant == -(2.0**27)


OTHERS = """
program others

features
  position: integer 1..
  word: one of a b
  before: one of a b
  width: integer -9..9
  height: integer
  area: integer
  more: integer
  total: integer

tokens
  <bos>: begin
  x: prompt word=a width=2 height=3
  y: step word=b width=-1
  end: end outcome halted

layer 0
  attention
    before = relative word 2 back else b
  feed-forward
    area = product width height
    more = affine +2 width +1
    table swap: before -> word2
      a -> b

layer 1
  attention
    total = causal-sum more

unembedding: word2 -> token
  b -> y
  default: end
"""


def test_other_operations():
    text = OTHERS.replace("  before: one", "  word2: one of b\n  before: one")
    weights = lower(parse(text), "trace")
    head = tables.head(weights, 0, "before").summary
    assert (head.offset, head.attends) == (2, "2 back, or the first position")
    assert head.brings == "word -> before, begin -> before=b"
    assert texts(weights, 0) == [
        "relu(width) * height -> area",
        "relu(-width) * -height -> area",
        "if before=a then word2=b",
    ]
    assert texts(weights, 1)[0] == "round(relu(position) * total.mean) -> total"
    assert tables.head(weights, 1, 0).summary.brings == "2 width -> total.mean"


# --- what a view says is read from the tensors, not from labels ------------------------------


def test_labels_are_not_believed():
    weights = compiled("bb2").weights
    labels = weights.layers[2].feed_forward.neurons
    lied = with_neurons(weights, 2, neurons=tuple(reversed(labels)))
    assert texts(lied, 2) == texts(weights, 2)


def test_a_neuron_that_is_no_rule_is_a_formula():
    weights = compiled("bb2").weights
    bias = weights.layers[2].feed_forward.b_gate + np.array([0, 0.5, 1, -1])
    found = texts(with_neurons(weights, 2, b_gate=bias), 2)
    assert found[0].startswith("if state=A and tape0.read=0 then")
    outs = "next.state=B, next.tape0.write=1, next.tape0.move=L"
    assert found[1] == f"relu(state=A + tape0.read=1 - 0.5) -> {outs}"  # fires on either
    assert found[2].startswith("relu(state=B + tape0.read=0) -> ")
    assert found[3].startswith("relu(state=B + tape0.read=1 - 2) -> ")  # never fires


def test_two_values_of_one_feature_are_no_rule():
    weights = compiled("bb2").weights
    gate = weights.layers[2].feed_forward.W_gate.dense()
    gate[:, 0] = 0
    gate[[weights.directions.index(f"state={s}") for s in "AB"], 0] = 1
    changed = with_neurons(weights, 2, W_gate=Matrix.from_dense(gate))
    assert tables.neuron(changed, 2, 0).rule is None


def test_a_rule_writes_its_activation():
    weights = compiled("bb2").weights
    double = with_neurons(weights, 2, b_in=2 * weights.layers[2].feed_forward.b_in)
    found = tables.neuron(double, 2, 0)
    assert found.text.endswith("then 2 next.state=B, 2 next.tape0.write=1, 2 next.tape0.move=R")
    assert found.rule.when == ("state=A", "tape0.read=0")


@pytest.mark.parametrize("tensor", ["W_Q", "W_K", "b_Q", "b_K"])
def test_a_head_that_is_no_lookup_is_not_called_one(tensor):
    weights = compiled("bb2").weights
    found = getattr(weights.layers[2].heads[0], tensor)
    other = Matrix.from_dense(found.dense() * 3) if isinstance(found, Matrix) else found * 3 + 1
    changed = with_head(weights, 2, **{tensor: other})
    assert tables.head(changed, 2, 0).summary.attends == "the greatest q . k"


@pytest.mark.parametrize("neuron", range(6))
def test_a_lookup_needs_its_squares(neuron):
    weights = compiled("bb2").weights
    bias = weights.layers[1].feed_forward.b_gate.copy()
    bias[neuron] += 1
    changed = with_neurons(weights, 1, b_gate=bias)
    assert tables.head(changed, 2, 0).summary.attends == "the greatest q . k"


def test_a_lookups_key_is_its_neurons_alone():
    weights = compiled("bb2").weights
    embedding = weights.W_E.dense()
    embedding[0, weights.directions.index("tape0.read.key")] = 1
    changed = replace(weights, W_E=Matrix.from_dense(embedding))
    assert tables.head(changed, 2, 0).summary.attends == "the greatest q . k"


# --- any program ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(programs(ODD_NAMES) | programs(ODD_NAMES, looped=True))
def test_every_view_of_any_program(program):
    try:
        weights = lower(program, "any")
    except TargetError:  # of a looped one that asks for values beyond its ends
        assert program.loop
        reject()
    views = [sections.overview(tables.overview(weights), "any")]
    for number_, layer in enumerate(weights.layers):
        layer_view = tables.layer(weights, number_)
        views.append(sections.layer(layer_view))
        for index in range(len(layer.heads)):
            view = tables.head(weights, number_, index)
            views.append(sections.head(view))
            assert json.dumps(to_json(view))
        views += [sections.neuron(neuron) for neuron in layer_view.neurons]
    views += [sections.token(tables.token(weights, f"#{i}")) for i in range(weights.d_vocab)]
    views += [
        sections.direction(directions.direction(weights, label)) for label in weights.directions
    ]
    for name, _ in weights.tensors():
        assert json.dumps(to_json(tensors.tensor(weights, name)))
    for view in views:
        check_sections(view)
