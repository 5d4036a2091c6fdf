"""Are heatmaps legible? Asked of the drawn figure: the extents of all its text, its colours."""

import numpy as np
import pytest

from tests.inspecting import bundled, compiled
from tests.plotting import CASES, legible_everywhere, of, run
from tm2tf.compiler import compile_machine
from tm2tf.machine import library
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.pictures.heatmaps import circuits, drawing
from tm2tf.pictures.heatmaps.attention import attention, merged, subtitle
from tm2tf.pictures.heatmaps.forward import forward
from tm2tf.pictures.heatmaps.panels import Panel, scale_of, short
from tm2tf.pictures.heatmaps.residual import residual
from tm2tf.pictures.heatmaps.sheet import measure
from tm2tf.pictures.letters import legible

pytest.importorskip("matplotlib", reason="pictures are drawn with the extra draw")

SLOW_TO_DRAW = (
    "universal", "addressed", "summarised", "summarised-addressed", "queue", "scratchpad",
    "looped-neighbours",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "construction", "inputs"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] if case[1] in SLOW_TO_DRAW else [])
        for case in CASES
    ],
)
def test_every_picture_is_legible(name, construction, inputs):
    it, found = of(name, construction), run(name, construction, inputs, None)
    if construction != "empirical":  # thousands of neurons: slow, below
        legible_everywhere(drawing.draw(circuits.overview(it.weights), name, "weights", "weight"))
    squares = merged(it.weights, attention(it.weights, found))
    legible_everywhere(drawing.draw(squares, name, subtitle(found), "share of attention"))
    stream = residual(it.weights, found)
    legible_everywhere(drawing.draw([stream], name, subtitle(found), "value"))


@pytest.mark.slow
@pytest.mark.parametrize("entry", list(library.entries()), ids=lambda entry: entry.name)
def test_every_bundled_machine_is_legible(entry):
    it = compile_machine(bundled(entry.name))
    found = forward(it, it.machine.initial(), 30)
    legible_everywhere(drawing.draw(circuits.overview(it.weights), "w", "w", "weight"))
    squares = merged(it.weights, attention(it.weights, found))
    legible_everywhere(drawing.draw(squares, "a", subtitle(found), "share of attention"))
    panels_ = [residual(it.weights, found, layer) for layer in range(-1, len(it.weights.layers))]
    legible_everywhere(drawing.draw(panels_, "r", subtitle(found), "value"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["universal", "empirical", "addressed", "queue"])
def test_large_weights_are_legible(name):
    it = compiled("bb2", name)
    legible_everywhere(drawing.draw(circuits.overview(it.weights), "w", "w", "weight"))


@pytest.mark.slow
def test_long_runs_are_binned_and_legible():
    it = of("bb5")
    found = forward(it, it.machine.initial(), 1_900)
    legible_everywhere(drawing.draw(attention(it.weights, found, 2), "a", "b", "share"))
    legible_everywhere(drawing.draw([residual(it.weights, found)], "a", "b", "value"))


ODD = ("$x$", "a_{b}", "語", "\N{SLIGHTLY SMILING FACE}", "é", "\\", "%", "^")


def test_odd_symbols_are_drawn_as_they_are():
    machine = Machine(
        name="odd $1$", symbols=ODD, blank=ODD[0], states=("A $", "B"), start="A $",
        transitions={("A $", (s,)): Transition("B", (s,), ("R",)) for s in ODD},
    )  # fmt: skip
    it = compile_machine(machine)
    figure = drawing.draw(circuits.overview(it.weights), machine.name, "$", "weight")
    legible_everywhere(figure)
    labels = {label.get_text() for ax in figure.axes for label in ax.get_yticklabels()}
    assert "tape0.write=$x$" in labels
    assert "tape0.write=\\u8a9e" in labels  # DejaVu has no such sign
    assert "tape0.write=é" in labels
    assert legible("a\nb") == "a\\nb"
    assert measure("$x$", 8) > measure("x", 8)


def test_large_squares_are_no_strip():
    # the labels of gcd's tokens make its squares so wide that a page has room for one
    it = compile_machine(bundled("gcd"))
    start = it.machine.initial([Tape(tuple("1100")), Tape(tuple("10010"))])
    figure = drawing.draw(
        merged(it.weights, attention(it.weights, forward(it, start))), "a", "b", "share"
    )
    wide, high = figure.get_size_inches()
    assert high < 1.5 * wide
    legible_everywhere(figure)


def test_long_labels_are_cut_in_the_middle():
    long = "a" * 50 + "|" + "b" * 50
    panel = Panel("x", "long " * 40, "a", "b", (long,), (long, "c"), np.ones((1, 2)))
    figure = drawing.draw([panel], "a title", "and a line below it " * 20, "weight")
    legible_everywhere(figure)
    (label,) = figure.axes[-1].get_yticklabels()
    assert label.get_text().startswith("aaa")
    assert label.get_text().endswith("bbb")
    assert "…" in label.get_text()


def test_the_cells_have_the_colours_of_their_values():
    found = circuits.part(of("bb4").weights, "blocks.2.attn.0.QK")
    figure = drawing.draw(found, "t", "s", "weight")
    (mesh,) = figure.axes[-1].collections[:1]
    colours = drawing.colours(scale_of(found).strength(found[0].values))
    drawn = np.asarray(mesh.get_array())
    np.testing.assert_allclose(drawn, colours)
    # blue is above 0 and orange below, and 0 is white
    at = {tuple(np.sign(x) for x in pair): c for pair, c in zip(
        found[0].values.reshape(-1, 1), drawn.reshape(-1, 3), strict=True)}  # fmt: skip
    assert at[1.0,][2] > at[1.0,][0]
    assert at[-1.0,][0] > at[-1.0,][2]
    assert at[0.0,].tolist() == [1, 1, 1]
    written = {text.get_text() for text in figure.axes[-1].texts}
    assert written == {short(x) for x in np.unique(found[0].values) if x}
