"""Inspection: what each view says of the weights, against the machine and plain Python."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.program_strategies import ODD_NAMES, programs
from tests.strategies import ODD, machines
from tm2tf import formats
from tm2tf.cli import group
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.inspect import directions, sections, tables, tensors
from tm2tf.inspect.forms import number, printable, shown, to_json, words
from tm2tf.inspect.step import step
from tm2tf.lowering import lower
from tm2tf.machine import library
from tm2tf.machine.simulator import trace
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.program.reader import parse
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = ("bb2", "binary-increment", "palindrome-2tape")


@cache
def compiled(name) -> Compiled:
    entry = library.find(name)
    return compile_machine(
        formats.parse(entry.path.read_text(encoding="utf-8"), str(entry.path), entry.name)
    )


def inspect(*arguments):
    return CliRunner().invoke(group, ["inspect", *arguments])


def shown_by(*arguments):
    result = inspect(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def json_of(*arguments):
    return json.loads(shown_by(*arguments, "--json"))


def with_neurons(weights, layer, **changes):
    """Return the weights with some tensors of one feed-forward layer changed."""
    found = weights.layers[layer]
    changed = replace(found, feed_forward=replace(found.feed_forward, **changes))
    layers = (*weights.layers[:layer], changed, *weights.layers[layer + 1 :])
    return replace(weights, layers=layers)


def with_head(weights, layer, **changes):
    """Return the weights with some tensors of a layer's first head changed."""
    found = weights.layers[layer]
    heads = (replace(found.heads[0], **changes), *found.heads[1:])
    layers = (*weights.layers[:layer], replace(found, heads=heads), *weights.layers[layer + 1 :])
    return replace(weights, layers=layers)


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
    found = [neuron.text for neuron in tables.layer(compiled(name).weights, 2).neurons]
    assert len(found) == len(compiled(name).machine.transitions)
    assert set(found) == sentences(compiled(name).machine)


@settings(max_examples=25, deadline=None)
@given(machines(words=ODD))
def test_the_tables_neurons_say_the_transitions_of_any_machine(machine):
    view = tables.layer(compile_machine(machine).weights, 2)
    assert {neuron.text for neuron in view.neurons} == sentences(machine)


def test_sums_and_squares_are_formulas():
    weights = compiled("bb2").weights
    assert [neuron.text for neuron in tables.layer(weights, 0).neurons] == [
        "round(relu(position) * tape0.head.mean) -> tape0.head",
        "round(relu(position + 2^51 tape0.is_input - 2^51) * tape0.filled.mean) -> tape0.filled",
    ]
    gates = ("tape0.address + 2^27 tape0.writes - 2^27", "2^27 tape0.writes - tape0.address - 2^27")
    assert [neuron.text for neuron in tables.layer(weights, 1).neurons] == [
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
    head = tables.head(weights, 1, "before").summary
    assert head.attends == "position there = position - 2 here, if 1 - begin there"
    assert head.brings == "word -> before, begin -> before=b"
    made = [neuron.text for neuron in tables.layer(weights, 1).neurons]
    assert made == [
        "relu(width) * height -> area",
        "relu(-width) * -height -> area",
        "if before=a then word2=b",
    ]
    made = [neuron.text for neuron in tables.layer(weights, 2).neurons]
    assert made[0] == "round(relu(position) * total.mean) -> total"
    assert tables.head(weights, 2, 0).summary.brings == "2 width -> total.mean"


# --- what a view says is read from the tensors, not from labels ------------------------------


def test_labels_are_not_believed():
    weights = compiled("bb2").weights
    labels = weights.layers[2].feed_forward.neurons
    lied = with_neurons(weights, 2, neurons=tuple(reversed(labels)))
    found = [neuron.text for neuron in tables.layer(lied, 2).neurons]
    assert found == [neuron.text for neuron in tables.layer(weights, 2).neurons]


def test_a_neuron_that_is_no_rule_is_a_formula():
    weights = compiled("bb2").weights
    bias = weights.layers[2].feed_forward.b_gate + np.array([0, 0.5, 1, -1])
    found = [
        neuron.text for neuron in tables.layer(with_neurons(weights, 2, b_gate=bias), 2).neurons
    ]
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


# --- heads ----------------------------------------------------------------------------------


def test_a_lookups_circuits():
    view = tables.head(compiled("bb2").weights, 2, 0)
    assert [form.text for form in view.query] == ["2 tape0.head", "1", "tape0.read.query^2"]
    assert [form.text for form in view.key] == [
        "tape0.read.key",
        "0.5 begin + tape0.writes - tape0.read.key^2 - 1",
        "1 - tape0.writes",
    ]
    assert [form.text for form in view.value] == ["begin + tape0.write=0", "tape0.write=1"]
    assert {(e.source, e.to): e.weight for e in view.ov} == {
        ("begin", "tape0.read=0"): 1,
        ("tape0.write=0", "tape0.read=0"): 1,
        ("tape0.write=1", "tape0.read=1"): 1,
    }
    assert {(e.query, e.key): e.weight for e in view.qk} == {
        ("tape0.head", "tape0.read.key"): 2,
        ("1", "tape0.read.key^2"): -1,
        ("1", "begin"): 0.5,
        ("1", "tape0.writes"): 1,
        ("1", "1"): -1,
        ("tape0.read.query^2", "1"): 1,
        ("tape0.read.query^2", "tape0.writes"): -1,
    }


@pytest.mark.parametrize("name", NAMES)
def test_circuits_are_the_products_of_the_tensors(name):
    weights = compiled(name).weights
    places = {label: i for i, label in enumerate((*weights.directions, "1"))}
    for number_, layer in enumerate(weights.layers):
        for index, head in enumerate(layer.heads):
            view = tables.head(weights, number_, index)
            ov = np.zeros((weights.d_model, weights.d_model))
            for moved in view.ov:
                ov[places[moved.source], places[moved.to]] = moved.weight
            np.testing.assert_array_equal(ov, head.W_V.dense() @ head.W_O.dense())
            qk = np.zeros((weights.d_model + 1, weights.d_model + 1))
            for compared in view.qk:
                qk[places[compared.query], places[compared.key]] = compared.weight
            query = np.vstack([head.W_Q.dense(), head.b_Q])
            key = np.vstack([head.W_K.dense(), head.b_K])
            np.testing.assert_array_equal(qk, query @ key.T)


def test_a_head_by_number_or_name():
    weights = compiled("palindrome-2tape").weights
    assert tables.head(weights, 2, "tape1.read") == tables.head(weights, 2, "1")
    assert tables.neuron(weights, 2, "rewind, _, 1") == tables.neuron(weights, 2, 11)
    assert tables.neuron(weights, 1, "tape0.read.key +") == tables.neuron(weights, 1, "0")


# --- tokens and directions --------------------------------------------------------------------


def test_tokens():
    weights = compiled("bb2").weights
    step_token = tables.token(weights, "1R>B")
    assert {term.name: term.weight for term in step_token.embeds} == {
        "state=B": 1, "tape0.write=1": 1, "tape0.move": 1, "tape0.writes": 1,
    }  # fmt: skip
    row = "next.state=B + next.tape0.write=1 + next.tape0.move=R"
    assert step_token.logit.text == f"{row} - 2"
    assert step_token.text == f"1 where {row.replace('+', 'and')}, at most 0 elsewhere"
    assert (step_token.role, step_token.outcome) == ("step", None)
    assert tables.token(weights, "1R>Z").outcome == "halted"
    stuck = tables.token(weights, "<stuck>")
    assert (stuck.embeds, stuck.logit.text, stuck.role) == ((), "0.5", "end")
    assert stuck.text == "emitted where no other token's logit is greater"
    begin = tables.token(weights, "<bos>")
    assert [term.name for term in begin.embeds] == ["begin"]
    assert begin.text == "never emitted: the logit of <stuck> is always greater"


def test_a_tokens_name_goes_before_its_id():
    weights = compiled("bb2").weights
    assert tables.token(weights, "0").name == "0"
    assert tables.token(weights, "#0").name == "<bos>"
    assert tables.token(weights, "4").name == "<start>"
    assert [tables.token(weights, f"#{i}").id for i in range(weights.d_vocab)] == list(range(10))


def test_who_writes_and_reads_a_direction():
    view = directions.direction(compiled("bb2").weights, "tape0.head")
    assert [(link.tensor, link.part) for link in view.writers] == [
        ("blocks.0.mlp.W_out", "tape0.head")
    ]
    read = {(link.tensor.rpartition(".")[2], link.part): link.weight for link in view.readers}
    both = [f"tape0.read.{square}^2" for square in ("key", "query")]
    assert read == {
        ("W_Q", "tape0.read q[0]"): 2,
        ("W_gate", "tape0.read.key +"): 1,
        ("W_gate", "tape0.read.key -"): -1,
        **{("W_gate", f"{name} +"): 1 for name in both},
        **{("W_gate", f"{name} -"): -1 for name in both},
        **{("W_in", f"{name} +"): 1 for name in both},
        **{("W_in", f"{name} -"): -1 for name in both},
    }
    assert view.meaning == (
        "the integer tape0.head (from the end of layer 0 on); "
        "counts +1 in tape0.address (from the end of layer 0 on)"
    )
    position = directions.direction(compiled("bb2").weights, "position")
    assert [(link.tensor, link.weight) for link in position.writers] == [("W_pos", 1)]
    state = directions.direction(compiled("bb2").weights, "2")
    assert (state.name, state.meaning) == ("state=A", "1 where state is A (from the embedding on)")
    assert {link.part for link in state.writers} == {"<start>", "1L>A"}
    read_ = directions.direction(compiled("bb2").weights, "tape0.read=0")
    assert [link.part for link in read_.writers] == ["tape0.read v[0]"]
    moved = directions.direction(compiled("bb2").weights, "next.tape0.move=R")
    assert {link.part for link in moved.readers} == {"1R>B", "1R>Z"}


@pytest.mark.parametrize("name", NAMES)
def test_directions_have_every_weight_once(name):
    weights = compiled(name).weights
    links = 0
    for label in weights.directions:
        view = directions.direction(weights, label)
        links += len(view.writers) + len(view.readers)
    biases = sum(
        np.count_nonzero(tensor)
        for label, tensor in weights.tensors()
        if ".b_" in f".{label}" and not isinstance(tensor, Matrix)
    )
    assert links == weights.nonzeros - biases


# --- tensors ------------------------------------------------------------------------------------


def test_every_tensor_has_labels_of_its_shape():
    weights = compiled("palindrome-2tape").weights
    for name, tensor in weights.tensors():
        view = tensors.tensor(weights, name)
        dense = tensor.dense() if isinstance(tensor, Matrix) else tensor.reshape(-1, 1)
        np.testing.assert_array_equal(view.values, dense)
        assert view.values.shape == (len(view.rows), len(view.columns))
        assert view.shape == tensor.shape
        if view.rows and view.columns:
            assert max(map(len, tensors.text(view, 100).splitlines())) <= 100


def test_a_tensor_as_text():
    weights = compiled("bb2").weights
    lines = tensors.text(tensors.tensor(weights, "blocks.2.attn.0.W_K"), 100).splitlines()
    assert lines[0].split() == ["k[0]", "k[1]", "k[2]"]
    row = weights.directions.index("tape0.writes")
    assert lines[1 + row].split() == ["tape0.writes", ".", "1", "-1"]
    lines = tensors.text(tensors.tensor(weights, "W_E"), 60).splitlines()
    assert lines[0].split() == list(map(str, range(len(lines[0].split()))))
    numbers = [int(x) for line in lines if line.startswith(" " * 7) for x in line.split()]
    assert numbers[:28] == list(range(28))
    assert "columns" in lines
    assert lines[-1].endswith("27 tape0.read.query^2")
    assert max(map(len, lines)) <= 60


def test_a_large_tensor_is_refused_as_text_only():
    result = inspect("universal", "--dense", "W_U")
    assert result.exit_code == 2
    assert "423 columns" in result.stderr
    assert "--json" in result.stderr
    found = json_of("universal", "--dense", "W_U")
    assert found["shape"] == [143, 423]
    assert len(found["values"]) == 143
    assert len(found["values"][0]) == len(found["columns"]) == 423


# --- one step -----------------------------------------------------------------------------------


def writers(start, before):
    """Return, for each tape, the position that last wrote each address, by plain counting.

    Addresses count from where the head began. `before` are the steps taken so far. The second
    result is the length of the prompt.
    """
    written = [{} for _ in start.tapes]
    position = 1
    for tape, cells in zip(start.tapes, written, strict=True):
        if not tape.contents:
            continue
        first = tape.origin - tape.head
        position += max(0, -first)
        for address in range(min(0, first) if first < 0 else 0, first + len(tape.contents)):
            position += 1
            cells[address] = position
    prompt = position + 1
    for taken in before:
        for t, cells in enumerate(written):
            cells[taken.heads[t] - start.tapes[t].head] = prompt + taken.number
    return written, prompt


STARTS = [
    ("bb2", ()),
    ("binary-increment", (Tape(tuple("1011")),)),
    ("binary-increment", (Tape(tuple("111"), 2, 3),)),
    ("binary-increment", (Tape(tuple("1"), 5, 2),)),
    ("palindrome-2tape", (Tape(tuple("0110")),)),
    ("palindrome-2tape", (Tape(tuple("101"), -2, -2), Tape(tuple("0"), 4, 7))),
]


@pytest.mark.parametrize(("name", "tapes"), STARTS)
def test_a_step_is_the_simulators_step(name, tapes):
    machine = compiled(name).machine
    start = machine.initial(tapes)
    taken = list(trace(machine, start))
    for i, expected in enumerate(taken):
        view = step(compiled(name), start, expected.number)
        written, prompt = writers(start, taken[:i])
        features = {feature.name: feature.value for feature in view.features}
        assert all(feature.clear for feature in view.features)
        assert features["state"] == expected.state
        assert features["next.state"] == expected.transition.state
        assert features["position"] == view.fed.position == prompt + i
        assert view.fed.step == (i or None)
        emitted = tables.token(compiled(name).weights, view.emits)
        assert f"state={expected.transition.state}" in {term.name for term in emitted.embeds}
        assert view.margin == 0.5
        assert view.logits[0].name == view.emits
        heads = {head.name: head for head in view.heads}
        for t in range(machine.tapes):
            head = expected.heads[t] - start.tapes[t].head
            assert features[f"tape{t}.head"] == head
            assert features[f"tape{t}.read"] == expected.reads[t]
            assert features[f"next.tape{t}.write"] == expected.transition.writes[t]
            assert features[f"next.tape{t}.move"] == expected.transition.moves[t]
            assert heads[f"tape{t}.head"].mean == (head / view.fed.position,)
            lookup = heads[f"tape{t}.read"]
            assert lookup.attended.position == written[t].get(head, 1)
            assert (lookup.attended.token == "<bos>") == (head not in written[t])
            assert lookup.margin == 0.5 or lookup.attended.position > 1
            assert lookup.margin is None or lookup.margin >= 0.5
            assert [(term.name, term.weight) for term in lookup.brought] == [
                (f"tape{t}.read={expected.reads[t]}", 1)
            ]
        (fired,) = (neuron for neuron in view.neurons if neuron.layer == 2)
        one = replace(machine, transitions={(expected.state, expected.reads): expected.transition})
        assert {fired.text} == sentences(one)
        assert fired.activation == 1


def test_what_fires_is_what_the_stream_holds():
    view = step(compiled("bb2"), compiled("bb2").machine.initial(), 6)
    assert {(neuron.label, neuron.activation) for neuron in view.neurons if neuron.layer < 2} == {
        ("tape0.head", -1),
        ("tape0.read.key -", 2),
        ("tape0.read.key^2 -", 4),
        ("tape0.read.query^2 -", 1),
    }
    assert [place.step for place in (view.fed, view.heads[2].attended)] == [5, 4]
    assert (view.emits, view.outcome) == ("1R>Z", "halted")


STUCK = Machine(
    name="stuck",
    symbols=("0", "1"),
    blank="0",
    states=("A", "B"),
    start="A",
    transitions={("A", ("1",)): Transition("B", ("0",), ("R",))},
    undefined="reject",
)


def test_the_pass_that_finds_no_transition():
    it = compile_machine(STUCK)
    start = STUCK.initial(["1"])
    view = step(it, start, 2)
    assert (view.emits, view.outcome) == ("<stuck>", "rejected")
    assert {f.name: f.value for f in view.features}["next.state"] is None
    text = "\n".join(cell for s in sections.step(view) for row in s.rows for cell in row)
    assert "(absent)" in text
    assert "which ends the run: rejected" in text
    with pytest.raises(
        NotFoundError, match="the run has 1 step; the pass after the last, 2, emits"
    ):
        step(it, start, 3)


def test_steps_that_are_not_there():
    it = compiled("bb2")
    start = it.machine.initial()
    for number_ in (0, -1):
        with pytest.raises(NotFoundError, match="steps count from 1"):
            step(it, start, number_)
    with pytest.raises(NotFoundError, match=r"no step 7: the run has 6 steps; .* 1R>Z \(halted\)"):
        step(it, start, 7)
    with pytest.raises(NotFoundError, match="the run has 6 steps"):
        step(it, start, 10_000)
    with pytest.raises(InputError, match="a step up to 19,999"):
        step(it, start, 20_000)
    over = compile_machine(replace(it.machine, start="Z"))
    with pytest.raises(NotFoundError, match="the run has 0 steps; the last token is <start>"):
        step(over, over.machine.initial(), 1)


def test_a_step_beyond_a_bound():
    it = compiled("bb2")
    start = it.machine.initial()
    short = replace(it, weights=replace(it.weights, bounds=Bounds(position=4, key=2**26)))
    assert step(short, start, 3).fed.position == 4
    with pytest.raises(BoundError, match="longer than 4"):
        step(short, start, 4)
    near = replace(it, weights=replace(it.weights, bounds=Bounds(position=2**51, key=1)))
    with pytest.raises(BoundError, match="further than 1"):
        step(near, start, 6)


# --- any program ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(programs(ODD_NAMES), st.data())
def test_every_view_of_any_program(program, data):
    weights = lower(program, "trace")
    views = [sections.overview(tables.overview(weights), "any")]
    for number_, layer in enumerate(weights.layers):
        views.append(sections.layer(tables.layer(weights, number_)))
        for index in range(len(layer.heads)):
            view = tables.head(weights, number_, data.draw(st.just(index)))
            views.append(sections.head(view))
            assert json.dumps(to_json(view))
        for neuron in tables.layer(weights, number_).neurons:
            views.append(sections.neuron(neuron))
    views += [sections.token(tables.token(weights, f"#{i}")) for i in range(weights.d_vocab)]
    views += [
        sections.direction(directions.direction(weights, label)) for label in weights.directions
    ]
    for name, _ in weights.tensors():
        assert json.dumps(to_json(tensors.tensor(weights, name)))
    for section in (section for view in views for section in view):
        wide = {len(row) for row in section.rows}
        assert len(wide) <= 1
        assert not section.headings or wide <= {len(section.headings)}


# --- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layer", "3"], ["no layer 3", "2 'tape0.read, next.state"]),
        (["--layer", "-1"], ["no layer -1"]),
        (
            ["--layer", "2", "--head", "1"],
            ["layer 2 has no head '1'", "in layer 0: 0 'tape0.head'"],
        ),
        (["--layer", "2", "--head", "tape0.raed"], ["did you mean 'tape0.read'?"]),
        (
            ["--layer", "1", "--head", "0"],
            ["layer 1 has no head '0'", "in layer 2: 0 'tape0.read'"],
        ),
        (["--layer", "4", "--head", "0"], ["no layer 4"]),
        (["--layer", "2", "--neuron", "4"], ["layer 2 has no neuron '4'", "3 'transitions: B, 1"]),
        (
            ["--layer", "2", "--neuron", "A, "],
            ["is in the labels of 3 neurons", "0 'trans", "2 'tr"],
        ),
        (["--layer", "0", "--neuron", "tape0.haed"], ["did you mean 'tape0.head'?"]),
        (["--token", "1R>C"], ["no token '1R>C'; did you mean '1R>", "5 '<stuck>'"]),
        (["--token", "#10"], ["no token '#10'"]),
        (["--token", "10"], ["no token '10'"]),
        (["--direction", "tape0.haed"], ["did you mean 'tape0.head'?", "12 'tape0.head'"]),
        (["--direction", "28"], ["no direction '28'"]),
        (
            ["--direction", "state"],
            ["'state' is a feature", "2 'state=A', 3 'state=B', 4 'state=Z'"],
        ),
        (["--direction", "tape0.address"], ["is a feature", "7 'tape0.move'", "14 'tape0.filled'"]),
        (["--dense", "W_X"], ["no tensor 'W_X'; did you mean 'W_", "blocks.L.mlp."]),
        (["--step", "0"], ["no step 0", "count from 1"]),
        (["--step", "7"], ["no step 7: the run has 6 steps"]),
        (["--step", "20000"], ["20,000 at most"]),
        (["--step", "1", "--head-at", "1", "--head-at", "2"], ["--head-at is given 2 times"]),
        (["--step", "1", "--input", "2"], ["'2'", "alphabet"]),
        (["--construction", "tracee"], ["did you mean 'trace'?"]),
    ],
)
def test_errors(arguments, said):
    result = inspect("bb2", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    for words_ in said:
        assert words_ in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--head", "0"], "--head needs --layer"),
        (["--neuron", "0"], "--neuron needs --layer"),
        (["--layer", "0", "--head", "0", "--neuron", "0"], "give one"),
        (["--layer", "0", "--token", "0"], "--layer and --token show different things"),
        (["--step", "0", "--dense", "W_E"], "--dense and --step show different things"),
        (["--input", "1"], "--input goes with --step"),
        (["--token", "0", "--head-at", "0"], "--head-at goes with --step"),
    ],
)
def test_options_that_do_not_go_together(arguments, said):
    result = inspect("bb2", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


# --- the command ----------------------------------------------------------------------------------

VIEWS = {
    "overview": [],
    "layer": ["--layer", "0"],
    "head": ["--layer", "2", "--head", "tape0.read"],
    "neuron": ["--layer", "2", "--neuron", "B, 1 ->"],
    "token": ["--token", "1R>B"],
    "direction": ["--direction", "tape0.head"],
    "dense": ["--dense", "blocks.1.mlp.W_out"],
    "step": ["--step", "2"],
    "program": ["--program"],
}


@pytest.mark.parametrize(("name", "arguments"), VIEWS.items(), ids=VIEWS)
def test_json_and_text_of_every_view(name, arguments):
    found = json_of("bb2", *arguments)
    assert (found.pop("machine"), found.pop("view")) == ("bb2", name)
    assert found
    text = shown_by("bb2", *arguments)
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_json_is_the_view():
    weights = compiled("bb2").weights
    head = json_of("bb2", "--layer", "2", "--head", "0")
    assert head["query"][0]["text"] == "2 tape0.head"
    assert head["ov"][0] == {"source": "begin", "to": "tape0.read=0", "weight": 1}
    assert json_of("bb2")["nonzeros"] == weights.nonzeros
    assert json_of("bb2", "--token", "0")["id"] == 2
    found = json_of("binary-increment", "--step", "1", "--input", "1", "--origin", "3",
                    "--head-at", "4")  # fmt: skip
    assert (found["fed"]["token"], found["starts"], found["fed"]["position"]) == ("<start>", [4], 4)


def test_the_overview_as_text():
    expected = (GOLDEN / "inspect-bb2.txt").read_text(encoding="utf-8")
    assert shown_by("bb2") == expected


def test_views_as_text():
    text = shown_by("bb2", "--layer", "2", "--neuron", "3")
    assert (
        "does    if state=B and tape0.read=1 "
        "then next.state=Z, next.tape0.write=1, next.tape0.move=R" in text.splitlines()
    )
    text = shown_by("bb2", "--step", "3")
    for line in (
        "fed    1L>A at position 4 (step 2)",
        "emits  1L>B, by a margin of 0.5",
        "tape0.read        1      layer 2",
        "2.0   tape0.read    1R>B at position 3 (step 1)      0     0.5  tape0.read=1",
        "1L>B         1",
    ):
        assert line in text.splitlines()
    text = shown_by("palindrome-2tape", "--step", "1", "--input", "0", "--head-at", "-1")
    assert (
        "addresses  count from where each head began (tape 0: -1, tape 1: 0)" in text.splitlines()
    )
    assert shown_by("bb2", "--program").startswith('program "bb2 by trace"\n')


def test_names_are_not_read_as_markup(tmp_path):
    machine = tmp_path / "odd.yaml"
    machine.write_text(
        'name: odd\nblank: "[red]"\nstart: ":smile:"\nrules:\n'
        '  ":smile:":\n    "[red]": "[/b] R :smile:"\n',
        encoding="utf-8",
    )
    text = shown_by(str(machine), "--layer", "2")
    assert "if state=:smile: and tape0.read=[red] then" in text
    assert "next.tape0.write=[/b]" in text


def test_an_artifact_is_inspected_as_it_is(tmp_path):
    folder = tmp_path / "bb2"
    assert CliRunner().invoke(group, ["compile", "bb2", "-o", str(folder)]).exit_code == 0
    assert shown_by(str(folder)) == shown_by("bb2")
    assert shown_by(str(folder), "--step", "2") == shown_by("bb2", "--step", "2")
