"""Every view of the weights of every construction, at rest."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests import tracr_stand_in
from tests.inspecting import (
    SMALL,
    bundled,
    check_sections,
    compiled,
    inspect,
    sentences,
    shown_by,
    texts,
)
from tm2tf.compiler import compile_machine
from tm2tf.inspect import directions, sections, tables, tensors
from tm2tf.inspect.forms import to_json
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import trace
from tm2tf.weights.matrix import Matrix

BOTH = [(machine, name) for machine in ("bb3", "binary-increment") for name in SMALL]


def small(machine, name):
    return compiled(machine, name, **SMALL[name])


# --- weights at rest --------------------------------------------------------------------------


@pytest.mark.parametrize(("machine", "name"), BOTH)
def test_every_view_of_the_weights(machine, name):
    weights = small(machine, name).weights
    whole = tables.overview(weights)
    assert (whole.construction, whole.options) == (name, SMALL[name])
    assert (whole.looped, whole.bits) == (weights.W_loop is not None, weights.bounds.bits)
    assert sum(whole.roles.values()) == weights.d_vocab
    views = [(whole, sections.overview(whole, machine))]
    for number, layer in enumerate(weights.layers):
        found = tables.layer(weights, number)
        views.append((found, sections.layer(found)))
        for index in range(len(layer.heads)):
            head = tables.head(weights, number, index)
            views.append((head, sections.head(head)))
        views += [(neuron, sections.neuron(neuron)) for neuron in found.neurons[:1]]
    of_role = {token.role: i for i, token in enumerate(weights.tokens)}
    for i in of_role.values():
        token = tables.token(weights, f"#{i}")
        assert token.role == weights.tokens[i].role
        views.append((token, sections.token(token)))
    for direction in weights.directions[:: max(1, weights.d_model // 20)]:
        found = directions.direction(weights, direction)
        views.append((found, sections.direction(found)))
    for view, of_view in views:
        assert json.dumps(to_json(view))
        check_sections(of_view)
    for tensor, values in weights.tensors():
        view = tensors.tensor(weights, tensor)
        assert view.shape == values.shape
        assert (len(view.rows), len(view.columns)) == view.values.shape


@pytest.mark.parametrize("name", SMALL)
def test_directions_have_every_weight_once(name):
    weights = small("bb3", name).weights
    links = 0
    for label in weights.directions:
        view = directions.direction(weights, label)
        links += len(view.writers) + len(view.readers)
    biases = sum(
        np.count_nonzero(tensor)
        for label, tensor in weights.tensors()
        if ".b_" in f".{label}" and not isinstance(tensor, Matrix)
    )
    twice = 0 if weights.W_loop is None else weights.W_loop.nonzeros  # it reads and writes
    assert links == weights.nonzeros - biases + twice


WITH_A_TABLE = [("addressed", 0), ("summarised", 3), ("summarised-addressed", 0), ("looped", 0)]


@pytest.mark.parametrize(("name", "layer"), WITH_A_TABLE)
def test_the_tables_neurons_say_the_transitions(name, layer):
    assert sentences(bundled("bb3")) <= set(texts(small("bb3", name).weights, layer))


def test_the_table_of_several_tapes():
    found = set(texts(compiled("palindrome-2tape", "addressed", tape=9).weights, 1))
    assert found == sentences(bundled("palindrome-2tape"), of="now.state")


def test_the_loop_is_written_and_read():
    weights = small("bb3", "looped").weights
    view = directions.direction(weights, "tape0.symbol=1")
    written = {(link.tensor, link.part) for link in view.writers}
    assert {("W_E", "<1"), ("W_E", "[1]"), ("W_loop", "next.tape0.symbol=1")} <= written
    assert view.meaning == "1 where tape0.symbol is 1 (from the beginning of a pass on)"
    view = directions.direction(weights, "next.tape0.symbol=1")
    assert [(link.tensor, link.part) for link in view.readers] == [("W_loop", "tape0.symbol=1")]
    fixed = directions.direction(weights, "tape0.write=1")
    assert {link.tensor for link in fixed.writers} == {"W_E", "W_fixed"}
    assert tables.overview(weights).carries == (
        "next.state -> state",
        "next.tape0.symbol -> tape0.symbol",
        "next.tape0.here -> tape0.here",
    )


def test_tokens_of_a_loop():
    weights = small("bb3", "looped").weights
    cell, act = tables.token(weights, "[0]"), tables.token(weights, "1L>A")
    assert (cell.looped, cell.fixed) == (True, ())
    assert {term.name for term in act.fixed} == {"tape0.write=1", "tape0.move"}
    assert {term.name for term in act.embeds} == {"state=A", "tape0.write=1", "tape0.move"}
    assert tables.token(small("bb3", "queue").weights, "#").role == "row"
    assert not tables.token(small("bb3", "queue").weights, "#").looped


def test_a_table_of_positions():
    weights = small("bb3", "looped").weights
    table = np.zeros((6, weights.d_model))
    table[2, 5] = 1
    learned = replace(weights, W_positions=Matrix.from_dense(table))
    view = tensors.tensor(learned, "W_positions")
    assert view.rows == tuple(f"position={n}" for n in range(1, 7))
    links = directions.direction(learned, "5").writers
    assert [(link.part, link.index) for link in links if link.tensor == "W_positions"] == [
        ("position=3", 2)
    ]


def test_what_tracr_makes(monkeypatch):
    tracr_stand_in.install(monkeypatch)
    it = compile_machine(bundled("bb3"), "tracr", options={"window": 9})
    whole = tables.overview(it.weights)
    assert {"one", "cell"} < set(whole.embedded)
    (carried,) = whole.carries
    assert carried.endswith(" -> cell")
    soft = [head for layer in whole.layers for head in layer.heads]
    assert {(head.kind, head.attends) for head in soft} == {
        ("softmax", "softmax of q . k / sqrt(d_head)")
    }
    assert "leaves.right -> " in soft[0].brings
    said = set(texts(it.weights, 1))  # the direction that is 1 everywhere is a constant to them
    for (state, (symbol,)), to in it.machine.transitions.items():
        when = f"if state={state} and tape0.symbol={symbol} then"
        assert f"{when} next.tape0.symbol={to.writes[0]}" in said
    assert directions.direction(it.weights, "one").meaning == "1 at every position"
    for expected in list(trace(it.machine, it.machine.initial()))[:6]:
        view = step(it, it.machine.initial(), expected.number)
        assert view.fed.addresses == expected.heads
        features = {feature.name: feature.value for feature in view.features}
        assert (features["state"], features["tape0.symbol"]) == (
            expected.state, *expected.reads,
        )  # fmt: skip
        assert all(0.99 < head.share < 1 and len(head.brought) == 1 for head in view.heads)
        check_sections(sections.step(view))


# --- overviews as text ------------------------------------------------------------------------


def test_an_overview_of_wide_weights_is_readable():
    weights = compiled("bb4", "addressed", tape=256).weights
    lines = shown_by("bb4", "--construction", "addressed", "--tape", "256").splitlines()
    assert max(map(len, lines)) <= 205
    assert lines[1:9] == [
        "construction  addressed, tape 256",
        "kind          decoder: one token a pass, and each position sees those up to it",
        "target        hard, float64",
        "size          1 layer, 1 head, d_model 66, d_mlp 8, 3,074 tokens",
        "tokens        1 begin, 768 prompt, 257 end, 2,048 step",
        f"parameters    {weights.parameters:,}, of which {weights.nonzeros:,} are not 0",
        "precision     4 significant bits: float64, float32, bfloat16, float16",
        "exact up to   2^51 (2,251,799,813,685,248): tokens of context, prompt included",
    ]
    makes = [line for line in lines if line.startswith(("embed", "0  "))]
    assert makes[0].endswith("tape0.at.2, tape0.edge, tape0.head, tape0.address")
    assert makes[1].split("  ")[4].strip() == (
        "tape0.read, next.state, next.tape0.write, next.tape0.move"
    )


def test_the_overview_of_a_loop():
    text = shown_by("bb3", "--construction", "looped", "--window", "4")
    for line in (
        "construction  looped, window 4",
        "kind          looped: a pass for all positions at once, which all see each other, "
        "and then the next",
        "tokens        1 begin, 1 prompt, 1 end, 6 cell, 6 step",
        "loop     carried to the next pass: next.state -> state, "
        "next.tape0.symbol -> tape0.symbol, next.tape0.here -> tape0.here",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("name", [*SMALL, "wide"])
def test_what_an_overview_suggests_can_be_asked_for(name):
    options = SMALL.get(name, {"tape": 128})  # W_E is too large to show then
    asked = [f"--{option}={value}" for option, value in options.items()]
    base = ["bb3", "--construction", name if name in SMALL else "addressed", *asked]
    lines = shown_by(*base).splitlines()[-2:]
    suggested = ", ".join(line.removeprefix("closer").strip() for line in lines).split(", --")
    assert len(suggested) >= 6
    for words in suggested:
        view = "--" + words.removeprefix("--").replace("'", "")
        assert inspect(*base, *view.split(" ")).exit_code == 0


def test_many_links_are_counted():
    weights = compiled("bb3", "addressed", tape=64).weights
    (section, *_) = sections.direction(directions.direction(weights, "tape0.write=1"))[1:]
    assert len(section.rows) == sections.MOST + 1
    assert section.rows[-1][2].endswith("more, which --json lists")
