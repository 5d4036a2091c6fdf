"""State graphs and program graphs as DOT, the language of Graphviz. Needs no Graphviz.

States are the nodes `state0`, `state1`, ... in the machine's order. Ids and classes are those of
the drawings (`state_svg`, `flow_svg`), so that what Graphviz makes of the text as
SVG can be styled alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx

from tm2tf.pictures.graphs.states import View, ends, rule_text, undefined_lines, visible
from tm2tf.pictures.palette import OKABE_ITO, hexadecimal

_, ORANGE, GREEN, _, VERMILION, SKY, PURPLE = map(hexadecimal, OKABE_ITO)

THIN = "47"
"""How thick a fill is, of 255 in hexadecimal: text on it stays legible."""

LOOKS: Mapping[str, Mapping[str, str]] = {
    "accepted": {"peripheries": "2", "fillcolor": GREEN + THIN},
    "rejected": {"peripheries": "2", "shape": "octagon", "fillcolor": VERMILION + THIN},
    "halted": {"peripheries": "2", "shape": "box", "fillcolor": SKY + THIN},
    "dead": {"penwidth": "2.4", "fillcolor": PURPLE + THIN},
}
"""Attributes of a state by its kind."""

TOLD = 50
"""Reads without a rule that the tooltip of an edge lists."""


def quoted(text: str) -> str:
    r"""Return a text as a quoted string that Graphviz shows as it is; its lines stay lines.

    Graphviz takes `\N` and the like in labels for names, and `&lt;` for `<`.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return '"' + escaped.replace("\n", "\\n") + '"'


def states_dot(shown: View) -> str:
    """Return a machine's state graph as a digraph in DOT."""
    machine, numbers = shown.machine, shown.numbers
    lines = [
        "digraph states {",
        "  graph [rankdir=LR, nodesep=0.25, ranksep=0.4];",
        '  node [shape=ellipse, style=filled, fillcolor="#ffffff00", fontname="DejaVu Sans Mono"];',
        '  edge [arrowsize=0.8, fontname="DejaVu Sans Mono", fontsize=10];',
        '  start [shape=point, style=invis, width=0.01, label=""];',
    ]
    for state, i in numbers.items():
        lines.append(f"  state{i} {_attributes(_state(shown, state))};")
    for i, part in enumerate(shown.analysis.components):
        names = " ".join(f"state{numbers[state]};" for state in part)
        lines += [
            f"  subgraph cluster_{i} {{",
            f'    graph [id="component-{i}", class="component", style="rounded,dashed", margin=9];',
            f"    {names}",
            "  }",
        ]
    lines.append(f'  start -> state{numbers[machine.start]} [id="start", penwidth=1.6];')
    for arrow in shown.arrows:
        i, j = numbers[arrow.source], numbers[arrow.target]
        rules = "\n".join(map(rule_text, arrow.rules))
        made = _edge(f"edge-{i}-{j}", "edge loop" if i == j else "edge", shown.label(arrow), rules)
        lines.append(f"  state{i} -> state{j} {_attributes(made)};")
    if shown.undefined and shown.analysis.undefined:
        lines += _undefined(shown)
    return "\n".join([*lines, "}", ""])


def _state(shown: View, state: str) -> dict[str, str]:
    """Return the attributes of a state."""
    kinds = shown.kinds(state)
    found = {
        "id": f"state-{shown.numbers[state]}",
        "class": " ".join(["state", *kinds]),
        "label": "\n".join([visible(state), *shown.notes(state)]),
        "tooltip": shown.title(state),
    }
    for kind in kinds:
        found |= LOOKS.get(kind, {})
    if "unreachable" in kinds:
        found["style"] = "filled,dashed"
    return found


def _undefined(shown: View) -> list[str]:
    """Return the lines for the node of reads without a rule, and for the edges to it."""
    machine = shown.machine
    node = {
        "id": "undefined",
        "class": "undefined-node",
        "label": f"undefined:\n{machine.undefined}",
        "tooltip": f"no rule for what is read: {ends(machine)}",
        "shape": "box",
        "style": "dashed",
    }
    lines = [f"  undefined {_attributes(node)};"]
    for state, count in shown.analysis.undefined.items():
        i = shown.numbers[state]
        every = "\n".join(undefined_lines(machine, state, count, TOLD))
        made = _edge(f"edge-{i}-undefined", "edge undefined", shown.undefined_label(state), every)
        lines.append(f"  state{i} -> undefined {_attributes(made | {'style': 'dashed'})};")
    return lines


def _edge(ident: str, kinds: str, label: Sequence[str], tooltip: str) -> dict[str, str]:
    return {
        "id": ident,
        "class": kinds,
        "label": "\n".join(label),
        "tooltip": tooltip,
        "labeltooltip": tooltip,
    }


def _attributes(given: Mapping[str, str]) -> str:
    return "[" + ", ".join(f"{name}={quoted(value)}" for name, value in given.items()) + "]"


# --- programs -------------------------------------------------------------------------------------


PARTS: Mapping[str, Mapping[str, str]] = {
    "attention": {"shape": "box", "style": "filled,rounded", "fillcolor": SKY + THIN},
    "feed-forward": {"shape": "box", "style": "filled", "fillcolor": ORANGE + THIN},
}
"""Attributes of an operation by the part of its layer."""


def flow_dot(graph: nx.DiGraph[str]) -> str:
    """Return the graph of `flow.graph` as a digraph in DOT, a cluster a layer."""
    numbers = {node: i for i, node in enumerate(graph)}
    lines = [
        "digraph program {",
        "  graph [rankdir=LR, nodesep=0.2, ranksep=0.5];",
        '  node [fontname="DejaVu Sans Mono", fontsize=10];',
        '  edge [arrowsize=0.7, fontname="DejaVu Sans Mono", fontsize=8];',
    ]
    for node, about in graph.nodes(data=True):
        lines.append(f"  n{numbers[node]} {_attributes(_node(about))};")
    for layer, inside in layers(graph):
        names = " ".join(f"n{numbers[node]};" for node in inside)
        lines += [
            f"  subgraph cluster_{layer} {{",
            f'    graph [id="layer-{layer}", class="layer", label="layer {layer}", '
            'style="rounded,dashed", labeljust=l, fontname="DejaVu Sans Mono", fontsize=10];',
            f"    {names}",
            "  }",
        ]
    for source, target, about in graph.edges(data=True):
        roles = about["roles"]
        given = {"class": " ".join(["flow", *roles]), "label": ", ".join(roles)}
        if "loop" in roles:
            given |= {"style": "dashed", "constraint": "false"}
        if roles == ["input"] or not roles:
            given["label"] = ""
        lines.append(f"  n{numbers[source]} -> n{numbers[target]} {_attributes(given)};")
    return "\n".join([*lines, "}", ""])


def _node(about: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of a node."""
    label = "\n".join([about["label"], *about["notes"]])
    kind = about["kind"]
    if kind == "operation":
        return {"class": f"op {about['part']}", "label": label, **PARTS[about["part"]]}
    if kind == "feature":
        return {"class": "feature", "label": label, "shape": "plain", "margin": "0.04"}
    return {"class": kind, "label": label, "shape": "box", "style": "bold"}


def layers(graph: nx.DiGraph[str]) -> Iterable[tuple[int, list[str]]]:
    """Yield each layer of a program's graph with its operations and the features they make."""
    inside: dict[int, list[str]] = {}
    for node, about in graph.nodes(data=True):
        if "layer" in about:
            inside.setdefault(about["layer"], []).extend([node, *graph.successors(node)])
    yield from sorted(inside.items())
