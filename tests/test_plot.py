"""Heatmaps of weights, attention and the residual stream: what is drawn.

Numbers are held against tensors, against `inspect.step`, which follows a run on its own, and
against the simulator. `test_plot_legible` looks at the drawing.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.plotting import CASES, legible_everywhere, of, run
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.inspect import tables
from tm2tf.inspect.step import step
from tm2tf.inspect.tensors import tensor
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Transition
from tm2tf.pictures.heatmaps import circuits, drawing, panels
from tm2tf.pictures.heatmaps.attention import attention, merged, subtitle
from tm2tf.pictures.heatmaps.forward import AT_FIRST, forward, shares
from tm2tf.pictures.heatmaps.panels import Panel, binned, scale_of, short, trimmed
from tm2tf.pictures.heatmaps.residual import residual
from tm2tf.runtime.looped import Attention
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head

pytest.importorskip("matplotlib", reason="pictures are drawn with the extra draw")

# --- what is drawn: weights -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W_E", "W_pos", "blocks.2.mlp.W_out", "blocks.2.attn.0.W_Q"])
def test_a_tensor_is_drawn_as_it_is(name):
    weights = of("bb4").weights
    (panel,) = circuits.part(weights, name, everything=True)
    view = tensor(weights, name)
    assert (panel.rows, panel.columns) == (view.rows, view.columns)
    np.testing.assert_array_equal(panel.values, view.values)


def test_rows_and_columns_of_nothing_are_left_out_and_counted():
    weights = of("bb4").weights
    view = tensor(weights, "W_E")
    (panel,) = circuits.part(weights, "W_E")
    assert panel.left_out == (1, weights.d_model - len(panel.columns))  # <stuck> embeds nothing
    assert "<stuck>" in view.rows
    assert "<stuck>" not in panel.rows
    kept = {(r, c): v for r, row in zip(panel.rows, panel.values, strict=True)
            for c, v in zip(panel.columns, row, strict=True) if v}  # fmt: skip
    assert kept == {
        (token.name, weights.directions[d]): value
        for i, token in enumerate(weights.tokens)
        for d, value in weights.W_E.row(i)
    }


@pytest.mark.parametrize("name", ["bb4", "palindrome-2tape"])
def test_circuits_are_those_that_inspect_lists(name):
    weights = of(name).weights
    for layer, found in enumerate(weights.layers):
        for index in range(len(found.heads)):
            view = tables.head(weights, layer, index)
            drawn = {panel.name[-2:]: panel for panel in circuits.part(
                weights, f"blocks.{layer}.attn.{index}")}  # fmt: skip
            assert nonzero(drawn["OV"]) == {(m.source, m.to): m.weight for m in view.ov}
            if view.qk:
                listed = {(named(c.query), named(c.key)): c.weight for c in view.qk}
                assert nonzero(drawn["QK"]) == listed
            assert ("QK" in drawn) == bool(view.qk)


def named(label):
    return circuits.BIAS if label == "1" else label


def nonzero(panel):
    rows, columns = np.nonzero(panel.values)
    return {
        (panel.rows[r], panel.columns[c]): panel.values[r, c]
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    }


def test_the_overview_has_every_weight_in_processing_order():
    weights = of("palindrome-2tape").weights
    found = circuits.overview(weights)
    names = [panel.name for panel in found]
    assert names[0] == "W_E"
    assert names[-1] == "W_U"
    numbers = [int(name.split(".")[1]) for name in names[1:-1]]
    assert numbers == sorted(numbers)
    by_name = {panel.name: panel for panel in found}
    # a rule's neuron is a row: it reads its state and its two symbols, and has a bias
    gates = by_name["blocks.2.mlp.W_gate"]
    mlp = weights.layers[2].feed_forward
    assert gates.rows == mlp.neurons
    assert (gates.values != 0).sum(axis=1).tolist() == [4] * len(mlp.neurons)
    assert gates.columns[-1] == circuits.BIAS
    np.testing.assert_array_equal(gates.values[:, -1], mlp.b_gate)
    assert "all factors are 1" in gates.title
    assert by_name["W_U"].rows[-1] == circuits.BIAS
    assert by_name["W_E"].rows[-1] == "each position (W_pos)"


def test_parts_are_found_by_name():
    weights = of("bb4").weights
    layer = [panel.name for panel in circuits.part(weights, "blocks.2")]
    assert layer == [
        "blocks.2.attn.0.QK",
        "blocks.2.attn.0.OV",
        "blocks.2.mlp.W_gate",
        "blocks.2.mlp.W_out",
    ]
    assert [p.name for p in circuits.part(weights, "blocks.2.attn")] == layer[:2]
    assert [p.name for p in circuits.part(weights, "blocks.2.mlp")] == layer[2:]
    for name in ("blocks.2.attn.0.W_QK", "blocks.2.attn.tape0.read.QK"):
        assert [p.name for p in circuits.part(weights, name)] == layer[:1]
    for name in ("W_X", "blocks.3", "blocks.x", "blocks.0.norm", "blocks.0.attn.7", "", "blocks."):
        with pytest.raises(NotFoundError):
            circuits.part(weights, name)
    with pytest.raises(NotFoundError, match="has no queries and keys"):
        circuits.part(weights, "blocks.0.attn.0.QK")
    with pytest.raises(NotFoundError, match=r"blocks\.1\.attn is empty"):
        circuits.part(weights, "blocks.1.attn")


# --- what is drawn: attention -----------------------------------------------------------------


@pytest.mark.parametrize(("name", "construction", "inputs"), CASES)
def test_each_row_of_attention_is_a_whole_and_sees_no_future(name, construction, inputs):
    found = run(name, construction, inputs)
    for squares in found.attention:
        for square in squares:
            np.testing.assert_allclose(square.sum(axis=1), 1, atol=1e-12)
            assert (square >= 0).all()
            assert found.looped or not np.triu(square, 1).any()
    assert len(found.streams) == len(found.attention) + 1
    assert all(len(x) == len(found.tokens) for x in found.streams)


@pytest.mark.parametrize(("name", "construction", "inputs"), CASES)
def test_attention_makes_the_stream_what_it_is(name, construction, inputs):
    """What is attended to, moved by W_V W_O, and the neurons give the next layer's stream."""
    found, weights = run(name, construction, inputs), of(name, construction).weights
    for number, layer in enumerate(weights.layers):
        x = found.streams[number]
        for head, square in zip(layer.heads, found.attention[number], strict=True):
            x = x + square @ found.streams[number] @ head.W_V.dense() @ head.W_O.dense()
        mlp = layer.feed_forward
        fired = np.maximum(x @ mlp.W_gate.dense() + mlp.b_gate, 0)
        fired *= x @ mlp.W_in.dense() + mlp.b_in
        x = x + np.where(mlp.snap, np.rint(fired), fired) @ mlp.W_out.dense()
        np.testing.assert_allclose(x, found.streams[number + 1], atol=1e-9)


@pytest.mark.parametrize("kind", ["softmax", "latest", "uniform", "relative"])
def test_shares_of_looped_heads_are_those_of_the_plain_model(kind):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.integers(-2, 3, shape).astype(float)

    scored = kind in ("softmax", "latest")
    width = 3 if scored else 0
    query, key, value, out = (
        Matrix.from_dense(draw(*shape)) for shape in ((5, width), (5, width), (5, 4), (4, 5))
    )
    back = -2 if kind == "relative" else 0
    head = Head("h", kind, query, draw(width), key, draw(width), value, out, back)
    x = draw(7, 5)
    square = shares(x, head)
    np.testing.assert_allclose(square.sum(axis=1), 1)
    expected = Attention((head,)).double()(torch.from_numpy(x[None]))[0].numpy()
    np.testing.assert_allclose(square @ x @ head.W_V.dense() @ head.W_O.dense(), expected)


@pytest.mark.parametrize(("name", "construction", "inputs"), CASES)
@pytest.mark.parametrize("number", [1, 2, 4])
def test_heads_look_where_the_step_view_says(name, construction, inputs, number):
    it = of(name, construction)
    start = it.machine.initial(inputs)
    view = step(it, start, number)
    found = forward(it, start, number)
    assert found.steps == number
    row = view.fed.position - 1
    assert found.tokens[row] == view.fed.token
    for head in view.heads:
        shares = found.attention[head.layer][head.index][row]
        if head.count is not None:
            assert (shares > 0).sum() == head.count
        elif head.attended is not None and head.share is None:
            assert shares[head.attended.position - 1] == 1
        elif head.kind == "uniform":
            assert len(set(shares[shares > 0].tolist())) == 1
            assert (shares > 0).sum() == (len(found.tokens) if found.looped else row + 1)


def test_a_context_that_was_cut_is_drawn_as_it_is_then():
    it = of("bb4", "summarised")
    start = it.machine.initial()
    view, found = step(it, start, 60), forward(it, start, 60)
    assert found.tokens[0] == "<bos>"
    assert "<summary>" in found.tokens[: found.prompt]
    assert len(found.tokens) < 60
    assert found.tokens[view.fed.position - 1] == view.fed.token


def test_without_steps_a_run_goes_as_far_as_labels_fit():
    short_run = run("binary-increment", "trace", ("1011",))
    assert (short_run.steps, short_run.over, short_run.prompt) == (8, True, 6)
    long_run = run("bb4", "trace", ())
    assert len(long_run.tokens) == AT_FIRST
    assert not long_run.over
    assert subtitle(long_run) == "the context of 48 tokens after 46 steps; the run goes on"
    assert subtitle(short_run) == "the context of 14 tokens after 8 steps, all of the run"
    assert run("bb4", "trace", (), 10_000).steps == 107


def test_uniform_heads_of_a_layer_share_a_picture():
    found, weights = run("palindrome-2tape", "trace", ("1001",)), of("palindrome-2tape").weights
    every = attention(weights, found)
    assert len(every) == weights.heads == 6
    drawn = merged(weights, every)
    assert len(drawn) == 3
    for head in weights.layers[0].heads:
        assert head.name in drawn[0].title
    assert [panel.name for panel in drawn[1:]] == ["blocks.2.attn.0", "blocks.2.attn.1"]
    (one,) = attention(weights, found, 2, "tape1.read")
    assert one.title.startswith("layer 2, head 1 tape1.read: tape1.address there = tape1.head here")


def test_heads_that_are_not_there():
    found, weights = run("bb4", "trace", (), 3), of("bb4").weights
    with pytest.raises(NotFoundError, match="layer 1 has no heads"):
        attention(weights, found, 1)
    with pytest.raises(NotFoundError, match="no layer 9"):
        attention(weights, found, 9)
    with pytest.raises(NotFoundError, match="layer 2 has no head 'x'"):
        attention(weights, found, 2, "x")
    with pytest.raises(InputError, match="of which layer"):
        attention(weights, found, None, "x")


# --- what is drawn: the residual stream -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "construction", "inputs"),
    [case for case in CASES if case[1] in ("trace", "universal", "empirical")],
)
def test_the_stream_holds_what_the_simulator_says(name, construction, inputs):
    it, machine = of(name, construction), of(name, construction).machine
    found = run(name, construction, inputs, 40)
    start = machine.initial(inputs)
    known = {readout.feature.name: readout for readout in it.weights.readouts}
    simulation = Simulation(machine, start)
    states = it.naming.states
    for number in range(found.steps + 1):
        x = found.streams[-1][found.prompt - 1 + number]
        state = known["state"].values[known["state"].read(x)][0]
        assert states.get(state, state) == simulation.state
        for t in range(machine.tapes):
            head = simulation.heads[t] - start.tapes[t].head
            assert known[f"tape{t}.head"].read(x) == head
        simulation.step()


def test_residual_panels_are_the_streams_of_each_layer():
    it, found = of("bb4"), run("bb4", "trace", (), 20)
    for layer in (-1, 0, 1, 2):
        full = residual(it.weights, found, layer, everything=True)
        np.testing.assert_array_equal(full.values.T, found.streams[layer + 1])
        panel = residual(it.weights, found, layer)
        assert panel.values.any(axis=1).all()
        assert len(panel.rows) + panel.left_out[0] == it.weights.d_model
        assert len(panel.columns) == 22
        assert panel.columns[:3] == ("1: <bos>", "2: <start>", "3: 1R>B")
        for at in full.row_breaks:  # a line stands where another feature begins
            above, below = (full.rows[i].rpartition("=")[0] for i in (at - 1, at))
            assert above != below
    last = residual(it.weights, found)
    assert last.name == "blocks.2"
    assert last.rows.index("tape0.write=0") in last.row_breaks
    assert last.rows.index("tape0.write=1") not in last.row_breaks
    for layer in (-2, 3):
        with pytest.raises(NotFoundError, match=f"no layer {layer}"):
            residual(it.weights, found, layer)


def test_runs_that_cannot_be_drawn():
    it = of("bb4")
    with pytest.raises(InputError, match="ask for 1 or more"):
        forward(it, it.machine.initial(), 0)
    right = Machine(
        name="right", symbols=("0", "1"), blank="0", states=("A",), start="A",
        transitions={("A", (s,)): Transition("A", ("1",), ("R",)) for s in "01"},
    )  # fmt: skip
    endless = compile_machine(right)
    # no more is read than shows that it is too much
    said = r"has 2,001 tokens, and 2,000 at most are drawn: ask for fewer with --steps"
    with pytest.raises(InputError, match=said):
        forward(endless, right.initial(), 50_000_000)
    with pytest.raises(InputError, match=r"has 20,001 tokens, and 20,000 at most"):
        forward(endless, right.initial(), 50_000_000, attention=False)
    with pytest.raises(InputError, match=r"50,000,000 steps take as many passes, and 20,000"):
        forward(of("bb2", "looped"), it.machine.initial(), 50_000_000)
    assert forward(endless, right.initial(), 2_500, attention=False).attention == ()
    bounded = compile_machine(right, "addressed", options={"tape": 16})
    with pytest.raises((BoundError, InputError)):
        forward(bounded, bounded.machine.initial(["0" * 40]), 5)


def test_progress_is_told():
    told = []
    found = run("bb4", "trace", (), on_progress=told.append)
    assert told == [len(found.tokens)]
    told.clear()
    found = run("bb2", "looped", (), on_progress=told.append)
    assert told[-1] == found.steps == 6


# --- colours and panels -----------------------------------------------------------------------


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=40))
def test_colours_keep_sign_and_order(numbers):
    values = np.array(numbers)[None]
    panel = Panel("x", "x", "a", "b", ("r",), tuple(map(str, numbers)), values)
    strengths = scale_of([panel]).strength(values)
    assert (np.sign(strengths) == np.sign(values)).all()
    assert (np.abs(strengths) <= 1).all()
    order = np.argsort(values[0], kind="stable")
    assert (np.diff(strengths[0][order]) >= -1e-12).all()
    seen = np.abs(strengths[values != 0])
    assert not len(seen) or seen.min() > 0.2  # beside white


def test_very_different_magnitudes_are_told_apart():
    (panel,) = circuits.part(of("bb4").weights, "blocks.1.mlp.W_gate")
    found = scale_of(circuits.overview(of("bb4").weights))
    assert found.logarithmic
    one, shut, position = (drawing.colours(found.strength(np.array(x))) for x in (1, 2**27, 2**51))
    assert panel.values.max() == 2**27
    for a, b in pairwise((np.ones(3), one, shut, position)):
        assert np.abs(a - b).max() > 0.2
        assert a @ (0.299, 0.587, 0.114) - b @ (0.299, 0.587, 0.114) > 0.05  # without colours too


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.randoms())
def test_binning_keeps_what_is_farthest_from_0(rows, columns, most, rng):
    values = np.array([[rng.randint(-9, 9) for _ in range(columns)] for _ in range(rows)], float)
    panel = Panel("x", "x", "a", "b", tuple(f"r{i}" for i in range(rows)),
                  tuple(f"c{i}" for i in range(columns)), values)  # fmt: skip
    small = binned(panel, most, most)
    assert max(small.values.shape) <= most
    assert (len(small.rows), len(small.columns)) == small.values.shape
    down, across = small.bins
    for r in range(small.values.shape[0]):
        for c in range(small.values.shape[1]):
            block = values[r * down : (r + 1) * down, c * across : (c + 1) * across]
            assert abs(small.values[r, c]) == np.abs(block).max()
            assert small.values[r, c] in block
            assert small.rows[r] == f"r{r * down}"


def test_a_panel_of_nothing_stays_whole():
    panel = Panel("x", "x", "a", "b", ("r", "s"), ("c",), np.zeros((2, 1)), row_breaks=(1,))
    assert trimmed(panel) is panel
    legible_everywhere(drawing.draw([panel], "nothing", "at all", "weight"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.5, "0.5"), (-(2**27), "-2^27"), (1 / 3, "0.33"), (1e6, "10^6"), (-1e-7, "-10^-7"),
     (123456, "1.2e5"), (float("nan"), "nan"), (float("-inf"), "-inf"), (49729, "49729")],
)  # fmt: skip
def test_short_numbers(value, text):
    assert short(float(value)) == text


def test_panels_too_many_for_a_sheet(monkeypatch):
    monkeypatch.setattr(circuits, "MOST_PANELS", 5)
    with pytest.raises(InputError, match=r"would be 1\d panels.*--layer \(0 to 2\)"):
        circuits.overview(of("bb4").weights)
    monkeypatch.setattr(drawing, "LONGEST_SHEET", 3)
    with pytest.raises(InputError, match="inches long"):
        drawing.draw(circuits.part(of("bb4").weights, "W_E"), "t", "s", "weight")


def test_numbers_that_are_none_are_data_too():
    panel = Panel("x", "x", "a", "b", ("r",), ("c", "d"), np.array([[np.nan, -np.inf]]))
    assert panels.to_json(panel)["values"] == [["nan", "-inf"]]
    legible_everywhere(drawing.draw([panel], "t", "s", "weight"))
