"""One page: a machine, its weights, and what runs and shows them, in one HTML file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources

from tm2tf.compiler import Compiled
from tm2tf.errors import ExtraError
from tm2tf.page.payload import Start, of_examples, payload
from tm2tf.pictures.graphs.state_svg import state_svg
from tm2tf.weights.model import Weights

SCRIPTS = (
    "evaluator.js",
    "run.js",
    "looped.js",
    "weights.js",
    "tape.js",
    "details.js",
    "context.js",
    "layers.js",
    "history.js",
    "app.js",
)
"""The page's scripts, in the order in which they need each other."""


WIDE_GRAPH = 560
"""Pixels of a state graph's own width from which it stands over both columns: in one of them, 420
wide, its letters would be less than three quarters of their size."""


def asset(name: str) -> str:
    """Return the text of a file of assets/."""
    return (resources.files("tm2tf.page") / "assets" / name).read_text(encoding="utf-8")


def build(compiled: Compiled, starts: Sequence[Start] = (), index: str = "") -> str:
    """Return the page of a compiled machine, as HTML.

    Args:
        compiled: the machine and its weights.
        starts: the starts to offer, the first of which the page opens with; none: the examples.
        index: the address of a list of pages to link to, if there is one.

    Raises:
        ExtraError: a package of the extra `draw` is not installed.
        InputError: a page cannot show these weights.
    """
    graph = state_svg(compiled.machine, prefix="g-")
    given = payload(compiled, starts or of_examples(compiled.machine))
    page: str = template("page.html").render(
        name=compiled.machine.name,
        description=compiled.machine.description,
        facts=facts(compiled.weights),
        index=index,
        view=compiled.construction.view,
        css=asset("page.css"),
        graph=graph,
        graph_width=_width(graph),
        wide_from=WIDE_GRAPH,
        payload=embedded(given),
        scripts=[asset(name) for name in SCRIPTS],
    )
    return page


def _width(svg: str) -> float:
    """Return the width of the viewBox of an `<svg>` element."""
    return float(re.search(r'viewBox="\S+ \S+ (\S+) ', svg)[1])  # type: ignore[index]


def facts(weights: Weights) -> str:
    """Return the sizes of weights in one line."""
    return (
        f"construction {weights.construction}: {len(weights.layers)} layers, {weights.heads} "
        f"heads, {weights.d_model} directions, {weights.d_mlp} neurons in the widest layer, "
        f"{weights.d_vocab} tokens; {weights.nonzeros:,} of {weights.parameters:,} weights are "
        "not 0"
    )


def embedded(value: object) -> str:
    """Return JSON that may stand in a script element: no `<` ends it early."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def template(name: str):  # type: ignore[no-untyped-def] # jinja2's type, which is an extra's
    """Return a template of assets/; what it is given is escaped, unless it says `safe`.

    Raises:
        ExtraError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ExtraError("a page", "jinja2", "draw") from None
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(asset(name))
