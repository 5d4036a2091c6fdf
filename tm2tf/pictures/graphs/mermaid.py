"""State graphs and program graphs as Mermaid flowcharts, which many pages draw by themselves.

Every letter of a label that Mermaid, Markdown or HTML could take for something else is written as
a character code, `#34;` for a quotation mark, which Mermaid turns back when all is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

from tm2tf.pictures.graphs.dot import layers
from tm2tf.pictures.graphs.states import View, visible
from tm2tf.pictures.palette import OKABE_ITO, hexadecimal

_, ORANGE, GREEN, _, VERMILION, SKY, PURPLE = map(hexadecimal, OKABE_ITO)

PLAIN = frozenset(" ,:→␣↻")
"""What stands in a label as it is, besides letters and digits."""

SHAPES: Mapping[str, tuple[str, str]] = {
    "accepted": ("(((", ")))"),
    "rejected": ("{{", "}}"),
    "halted": ("[[", "]]"),
}
"""Brackets of a state by its outcome: a double circle, a hexagon, a box with double sides."""

CLASSES: Mapping[str, str] = {
    "accepted": f"fill:{GREEN}47",
    "rejected": f"fill:{VERMILION}47",
    "halted": f"fill:{SKY}47",
    "unreachable": "stroke-dasharray:4 3",
    "dead": f"fill:{PURPLE}47,stroke-width:3px",
    "attention": f"fill:{SKY}47",
    "feedforward": f"fill:{ORANGE}47",
}
"""Styles of nodes by class."""


def quoted(lines: Sequence[str]) -> str:
    """Return a label of some lines, in quotation marks."""
    return '"' + "<br/>".join("".join(map(_letter, line)) for line in lines) + '"'


def _letter(letter: str) -> str:
    plain = letter in PLAIN or (letter.isascii() and letter.isalnum())
    return letter if plain else f"#{ord(letter)};"


def states_mermaid(shown: View) -> str:
    """Return a machine's state graph as a flowchart from left to right."""
    machine, numbers = shown.machine, shown.numbers
    lines = ["flowchart LR", "  start(( )) --> state" + str(numbers[machine.start])]
    used: set[str] = set()
    for state, i in numbers.items():
        kinds = [kind for kind in shown.kinds(state) if kind in CLASSES]
        used |= set(kinds)
        before, after = SHAPES.get(str(machine.outcome_of(state)), ("((", "))"))
        label = quoted([visible(state), *shown.notes(state)])
        lines.append(f"  state{i}{before}{label}{after}")
        lines += [f"  class state{i} {kind}" for kind in kinds]
    for i, part in enumerate(shown.analysis.components):
        lines.append(f'  subgraph component{i}["strongly connected"]')
        lines += [f"    state{numbers[state]}" for state in part]
        lines.append("  end")
    for arrow in shown.arrows:
        line = _line("-->", shown.label(arrow))
        lines.append(f"  state{numbers[arrow.source]} {line} state{numbers[arrow.target]}")
    if shown.undefined and shown.analysis.undefined:
        lines.append(f"  undefined[{quoted(['undefined:', machine.undefined])}]")
        for state in shown.analysis.undefined:
            line = _line("-.->", shown.undefined_label(state))
            lines.append(f"  state{numbers[state]} {line} undefined")
    return "\n".join([*lines, *_styles(used), ""])


def flow_mermaid(graph: nx.DiGraph[str]) -> str:
    """Return the graph of `flow.graph` as a flowchart from left to right, a subgraph a layer."""
    numbers = {node: i for i, node in enumerate(graph)}
    lines, used = ["flowchart LR"], set()
    for node, about in graph.nodes(data=True):
        label = quoted([about["label"], *about["notes"]])
        if about["kind"] == "operation":
            kind = about["part"].replace("-", "")
            used.add(kind)
            before, after = ("([", "])") if kind == "attention" else ("[", "]")
            lines.append(f"  n{numbers[node]}{before}{label}{after}")
            lines.append(f"  class n{numbers[node]} {kind}")
        else:
            before, after = ("(", ")") if about["kind"] == "feature" else ("[[", "]]")
            lines.append(f"  n{numbers[node]}{before}{label}{after}")
    for layer, inside in layers(graph):
        lines.append(f'  subgraph layer{layer}["layer {layer}"]')
        lines += [f"    n{numbers[node]}" for node in inside]
        lines.append("  end")
    for source, target, about in graph.edges(data=True):
        roles = about["roles"]
        said = [", ".join(roles)] if roles and roles != ["input"] else []
        line = _line("-.->" if "loop" in roles else "-->", said)
        lines.append(f"  n{numbers[source]} {line} n{numbers[target]}")
    return "\n".join([*lines, *_styles(used), ""])


def _line(arrow: str, label: Sequence[str]) -> str:
    return f"{arrow}|{quoted(label)}|" if label else arrow


def _styles(used: set[str]) -> list[str]:
    """Return the lines that say how the classes look that are used."""
    return [f"  classDef {kind} {look}" for kind, look in CLASSES.items() if kind in used]
