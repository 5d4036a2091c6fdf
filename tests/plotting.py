"""What the tests of heatmaps share: small models of each construction, and what legible means."""

from functools import cache

import numpy as np

from tests.inspecting import SMALL, compiled
from tm2tf.pictures.heatmaps.forward import Forward, forward

CASES = [
    ("bb4", "trace", ()),
    ("binary-increment", "trace", ("1011",)),
    ("palindrome-2tape", "trace", ("1001",)),
    ("bb2", "universal", ()),
    ("bb2", "empirical", ()),
    ("bb4", "addressed", ()),
    ("bb4", "summarised", ()),
    ("bb2", "summarised-addressed", ()),
    ("bb2", "queue", ()),
    ("bb2", "scratchpad", ()),
    ("bb2", "looped", ()),
    ("bb2", "looped-neighbours", ()),
]


@cache
def of(name, construction="trace"):
    options = SMALL.get(construction, {})
    return compiled(name, construction, **options)


def run(name, construction, inputs, steps=None, **keywords) -> Forward:
    it = of(name, construction)
    return forward(it, it.machine.initial(inputs), steps, **keywords)


def legible_everywhere(figure):
    """Assert that no two texts of a figure overlap, and that none is cut off at an edge."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(150)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    texts = [*figure.texts]
    for ax in figure.axes:
        texts += [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts]
    texts = [text for text in texts if text.get_text() and text.get_visible()]
    boxes = np.array([text.get_window_extent(renderer).extents for text in texts])
    wide, high = figure.bbox.width, figure.bbox.height
    assert (boxes[:, :2] > -1).all()
    assert (boxes[:, 2] < wide + 1).all()
    assert (boxes[:, 3] < high + 1).all()
    left, low, right, up = (boxes + np.array([1, 1, -1, -1])).T  # a dot of a hundred and fifty
    meet = (
        (left[:, None] < right)
        & (left < right[:, None])
        & (low[:, None] < up)
        & (low < up[:, None])
    )
    np.fill_diagonal(meet, val=False)
    pairs = [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(meet)[:4]]
    assert not pairs, pairs
