"""What is linear in the number of rules stays so, and what was made fast says what it said."""

import json
import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import strategies
from tm2tf import api, formats
from tm2tf.compiler import compile_machine
from tm2tf.errors import FormatError, InternalError, ProgramError
from tm2tf.formats import native_writer, yaml_nodes
from tm2tf.lowering import lower
from tm2tf.machine import library
from tm2tf.machine.spec import Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.operations import Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed
from tm2tf.weights import folder as artifact
from tm2tf.weights.folder import DENSE_ENTRIES
from tm2tf.weights.manifest import laid_out
from tm2tf.weights.matrix import Matrix

SHAPES = {"tall": (1, 2), "wide": (1, None), "two tapes": (2, 20)}
"""Tapes and symbols of random machines; None: two states, and symbols as many as it takes."""


def random_machine(rules, shape, seed=1):
    """Return a machine with a rule for each state and reads, about so many of them."""
    draw = random.Random(seed)
    tapes, most = SHAPES[shape]
    symbols = [f"s{i}" for i in range(most or rules // 2)]
    states = [f"q{i}" for i in range(rules // len(symbols) ** tapes)]
    transitions = {
        (state, reads): Transition(
            draw.choice([*states[:100], "end"]),
            tuple(draw.choices(symbols, k=tapes)),
            tuple(draw.choices("LSR", k=tapes)),
        )
        for state in states
        for reads in product(symbols, repeat=tapes)
    }
    return Machine(
        name=f"random-{shape}",
        symbols=tuple(symbols),
        blank="s0",
        states=(*states, "end"),
        start="q0",
        transitions=transitions,
        tapes=tapes,
        halt=("end",),
    )


# --- sizes --------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_waiting_for_the_disk")
@pytest.mark.parametrize("shape", SHAPES)
def test_an_artifact_is_linear_in_the_rules(shape, tmp_path, monkeypatch):
    """A matrix is dense up to a constant size; without that, bytes a rule are the same."""
    each = {}
    for rules in (1_000, 4_000):
        machine = random_machine(rules, shape)
        assert 0.8 * rules <= len(machine.transitions) <= rules
        weights = api.compile(machine).weights
        stored, _ = artifact._stored(weights)
        for name, tensor in weights.tensors():
            parts = (name, f"{name}.starts", f"{name}.columns", f"{name}.values")
            kept = sum(stored[part].nbytes for part in parts if part in stored)
            assert kept <= max(8 * DENSE_ENTRIES, as_rows(tensor))
        with monkeypatch.context() as patch:
            patch.setattr(artifact, "DENSE_ENTRIES", 0)
            artifact.save(tmp_path / f"{rules}", weights, machine)
        written = sum(file.stat().st_size for file in (tmp_path / f"{rules}").iterdir())
        each[rules] = written / len(machine.transitions)
    assert each[4_000] < 1.2 * each[1_000]


def as_rows(tensor):
    """Return the bytes of a tensor whose matrix is stored in compressed rows."""
    if not isinstance(tensor, Matrix):
        return tensor.nbytes
    return 8 * (tensor.shape[0] + 1 + 2 * tensor.nonzeros)


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_a_large_machine_is_saved_and_loaded_as_it_was(tmp_path):
    model = api.compile(random_machine(2_000, "tall"))
    model.save(tmp_path)
    loaded = api.open_model(tmp_path)
    assert loaded.machine == model.machine
    assert loaded.weights.tokens == model.weights.tokens
    assert loaded.run(max_steps=500).tapes == model.run(max_steps=500).tapes


# --- rules in any order -------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(strategies.machines(), st.randoms(use_true_random=False))
def test_weights_do_not_depend_on_the_order_of_the_states_rules(machine, draw):
    """Rules of one state keep their order, as they do in a file: states take turns otherwise."""
    queues = {state: [] for state in machine.states}
    for rule in machine.transitions.items():
        queues[rule[0][0]].append(rule)
    mixed = {}
    while any(queues.values()):
        queue = queues[draw.choice([state for state in queues if queues[state]])]
        key, to = queue.pop(0)
        mixed[key] = to
    one, other = (
        compile_machine(replace(machine, transitions=given)).weights
        for given in (machine.transitions, mixed)
    )
    assert one.tokens == other.tokens
    for (name, left), (_, right) in zip(one.tensors(), other.tensors(), strict=True):
        sides = [t.dense() if isinstance(t, Matrix) else t for t in (left, right)]
        assert np.array_equal(*sides), name


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_a_machine_whose_states_take_turns_is_saved_and_loaded(tmp_path):
    bb3 = api.load("bb3")
    turns = sorted(bb3.transitions.items(), key=lambda rule: rule[0][1])
    mixed = replace(bb3, transitions=dict(turns))
    assert list(mixed.transitions) != list(bb3.transitions)
    model = api.compile(mixed)
    model.save(tmp_path)
    assert api.open_model(tmp_path).weights.tokens == model.weights.tokens
    assert model.weights_sha256 == api.compile(bb3).weights_sha256


# --- matrices -----------------------------------------------------------------------------

ENTRIES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from([-1.5, -1.0, 0.0, 1.0, 2.5])),
    max_size=30,
)


@given(ENTRIES)
@example([(0, 0, 1.0), (0, 0, -1.0)])
def test_entries_of_equal_places_add_up(entries):
    dense = np.zeros((5, 4))
    for row, column, value in entries:
        dense[row, column] += value
    built, read = Matrix.from_entries((5, 4), entries), Matrix.from_dense(dense)
    for part in ("starts", "columns", "values"):
        found, wanted = getattr(built, part), getattr(read, part)
        assert found.dtype == wanted.dtype
        assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_an_empty_matrix_has_its_shape(shape):
    matrix = Matrix.from_entries(shape, ())
    assert matrix.dense().shape == shape
    assert matrix.starts.tolist() == [0] * (shape[0] + 1)


@pytest.mark.parametrize("place", [(-1, 0), (2, 0), (0, -1), (0, 3)])
def test_entries_outside_a_matrix_are_refused(place):
    with pytest.raises(InternalError, match="outside a matrix"):
        Matrix.from_entries((2, 3), [(0, 0, 1.0), (*place, 1.0)])


# --- programs -----------------------------------------------------------------------------


def program(rows=(), inputs=("one", "two"), token="x", unembed=("out",), said=None):
    words = [Categorical(name, ("a", "b")) for name in ("one", "two", "out")]
    return Program(
        name="p",
        features=(Integer(POSITION, low=1), Integer("n"), *words),
        tokens=(
            Token("<bos>", "begin", {}),
            Token(token, "end", {"one": "a", "n": 3}),
            Token("y", "end", {"two": "b"}),
        ),
        layers=(Layer((), (Table("t", inputs, ("out",), tuple(rows)),)),),
        unembed=Unembed(unembed, {} if said is None else {"y": said}, token),
    )


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([Row(("a", "c"), ("a",))], "unknown value"),
        ([Row(("a", None), (None,))], "unknown value"),
        ([Row(("a",), ("a",))], "another width"),
        ([Row(("a", None), ("a",)), Row((None, "b"), ("b",))], "match at once"),
        ([Row(("a", "b"), ("a",)), Row(("a", "b"), ("b",))], "match at once"),
    ],
)
def test_bad_rows_are_found(rows, problem):
    with pytest.raises(ProgramError, match=problem):
        program(rows)


@pytest.mark.parametrize("name", ["", " ", "a b", "\x1c", "a\u2003", "a\n"])
def test_a_token_without_a_plain_name_is_refused(name):
    with pytest.raises(ProgramError, match="is empty or holds a space"):
        program(token=name)


@pytest.mark.parametrize("said", [None, "a", "3"])
def test_the_unembedding_cannot_read_an_integer(said):
    with pytest.raises(ProgramError, match="sets 'n' to"):
        program(unembed=("n",), said=(said,))


def test_a_table_may_name_an_input_twice_and_ask_for_none():
    rows = [
        Row(("a", "a"), ("a",)),
        Row(("b", "a"), ("b",)),  # one cannot be both: never
        Row((None, "b"), ("b",)),
    ]
    weights = lower(program(rows, inputs=("one", "one")), "made up")
    (layer,) = weights.layers
    at = {name: number for number, name in enumerate(weights.directions)}
    gate = np.zeros((len(at), 3))
    gate[at["one=a"]] = [2, 1, 0]
    gate[at["one=b"]] = [0, 1, 1]
    assert np.array_equal(layer.feed_forward.W_gate.dense(), gate)
    assert layer.feed_forward.b_gate.tolist() == [-1, -1, 0]
    assert layer.feed_forward.neurons == ("t: a, a -> a", "t: b, a -> b", "t: *, b -> b")
    out = layer.feed_forward.W_out.dense()
    assert np.flatnonzero(out[0]).tolist() == [at["out=a"]]
    assert np.flatnonzero(out[2]).tolist() == [at["out=b"]]


# --- the manifest's layout ----------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=12), inner, max_size=9)
    ),
    max_leaves=60,
)


@settings(max_examples=50, deadline=None)
@given(JSON, st.integers(0, 30))
def test_json_stands_on_one_line_where_it_fits(value, depth):
    flat = json.dumps(value, ensure_ascii=False)
    laid = laid_out(value, depth)
    one_line = len(flat) + 2 * depth <= 100 or not isinstance(value, dict | list)
    assert (laid == flat) if one_line else (laid.count("\n") >= 2)
    assert json.dumps(json.loads(laid)) == json.dumps(value)
    for line in laid.split("\n")[1:-1] if not one_line else ():
        assert line.startswith("  " * (depth + 1))


# --- YAML by libyaml ----------------------------------------------------------------------

FAST = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")


def tree(node):
    """Return what a node is, with the place of each part."""
    place = (node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.ScalarNode):
        return "scalar", node.value, place
    if isinstance(node, yaml.SequenceNode):
        return "list", [tree(item) for item in node.value], place
    return "mapping", [(tree(key), tree(item)) for key, item in node.value], place


def surely(text):
    """Return the tree of a text by PyYAML's own parser, None if it refuses it."""
    try:
        node = yaml.compose(text, Loader=yaml_nodes._PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return node and tree(node)


TEXTS = [entry.path.read_text(encoding="utf-8") for entry in library.entries()]


@FAST
def test_the_bundled_machines_are_read_fast_and_as_before():
    for text in TEXTS:
        assert tree(yaml_nodes._quickly(text)) == surely(text)


@FAST
@settings(max_examples=50, deadline=None)
@given(strategies.machines(words=strategies.ODD))
def test_what_we_write_is_read_as_before(machine):
    text = native_writer.dump(machine)
    found = yaml_nodes._quickly(text)
    assert found is None or tree(found) == surely(text)


ODD = "#:|*?&!%@`'\"[]{},-> \n\t\\_~=<.01abRL\u00e9\u2028\x85\ufeff\x07\r\U0001f600"


@FAST
@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
def test_a_damaged_text_is_read_as_before_or_left_to_pyyaml(text, draw):
    begin = draw.randrange(len(text))
    damaged = list(text[begin : begin + 200])
    for _ in range(draw.randrange(1, 6)):
        place = draw.randrange(len(damaged) + 1)
        damaged[place : place + draw.randrange(2)] = draw.choices(ODD, k=draw.randrange(3))
    found = yaml_nodes._quickly("".join(damaged))
    assert found is None or tree(found) == surely("".join(damaged))


@pytest.mark.parametrize(
    "text",
    ["a: b\t", "\ufeffa: b", "[a?b]", "? a", "a: |\n  b", "a: &x b", "a: !x b", "a: *b", "a:",
     "a: b\n---\nc: d", "", "a: [b", "a: \x07", "[" * 3000 + "]" * 3000],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_pyyaml(text):
    assert yaml_nodes._quickly(text) is None


def test_without_libyaml_machines_and_errors_are_the_same(monkeypatch):
    broken = TEXTS[0].replace("rules:", "rules: [", 1)
    with pytest.raises(FormatError) as fast:
        formats.parse(broken)
    machines = [formats.parse(text) for text in TEXTS[:5]]
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    with pytest.raises(FormatError) as slow:
        formats.parse(broken)
    assert str(fast.value) == str(slow.value)
    assert [formats.parse(text) for text in TEXTS[:5]] == machines
