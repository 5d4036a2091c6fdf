"""Heads, tokens, directions and tensors: each view's numbers, against the weights."""

import numpy as np
import pytest

from tests.inspecting import NAMES, SMALL, compiled, inspect, json_of
from tm2tf.inspect import directions, tables, tensors
from tm2tf.weights.matrix import Matrix

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
            for which, expected in (("OV", ov), ("QK", qk)):
                if which == "OV" or view.qk:
                    drawn = tensors.tensor(weights, f"blocks.{number_}.attn.{index}.{which}")
                    assert drawn.rows == drawn.columns == tuple(places)[: len(expected)]
                    np.testing.assert_array_equal(drawn.values, expected)


def test_who_reads_each_feature():
    assert directions.read_by(compiled("bb2").weights) == {
        "position": ("layer 0",),
        "state": ("layer 2",),
        "tape0.write": ("head 2.0",),
        "tape0.move": ("head 0.0", "layer 1"),
        "tape0.fill": ("head 0.1",),
        "tape0.is_input": ("layer 0", "layer 1"),
        "tape0.writes": ("layer 1", "head 2.0"),
        "tape0.head": ("layer 1", "head 2.0"),
        "tape0.filled": ("layer 1",),
        "tape0.address": ("layer 1",),
        "tape0.read": ("layer 2",),
        "next.state": ("logits",),
        "next.tape0.write": ("logits",),
        "next.tape0.move": ("logits",),
    }


@pytest.mark.parametrize("construction", ["trace", "addressed", "queue", "looped"])
def test_readers_are_those_of_the_directions(construction):
    weights = compiled("bb2", construction, **SMALL[construction]).weights
    found = directions.read_by(weights)
    for readout in weights.readouts:
        held = {d for _, d in (*readout.values, *readout.terms)}
        if len(readout.terms) > 1:  # a sum may be read by fewer than its directions are
            continue
        tensors_ = {link.tensor for d in held for link in directions.direction(weights, d).readers}
        names = {"W_U": "logits", "W_loop": "next pass"}
        for tensor in tensors_ - names.keys():
            _, layer, part, *rest = tensor.split(".")
            names[tensor] = f"head {layer}.{rest[0]}" if part == "attn" else f"layer {layer}"
        assert set(found[readout.feature.name]) == {names[tensor] for tensor in tensors_}


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
