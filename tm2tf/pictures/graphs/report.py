"""State graphs and program graphs in words: as JSON, and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import networkx as nx

from tm2tf.inspect.sections import Section
from tm2tf.pictures.graphs.flow import Flow, Input
from tm2tf.pictures.graphs.states import View, ends, outcome_of_undefined, visible


def states_json(shown: View) -> dict[str, object]:
    """Return a machine's states, transitions and what its graph says, all of them."""
    machine, analysis = shown.machine, shown.analysis
    component = {state: i for i, part in enumerate(analysis.components) for state in part}
    return {
        "machine": machine.name,
        "tapes": machine.tapes,
        "start": machine.start,
        "states": [
            {
                "number": i,
                "name": state,
                "outcome": machine.outcome_of(state),
                "reachable": state not in analysis.unreachable,
                "dead": state in analysis.dead,
                "loop": state in analysis.looping,
                "component": component.get(state),
                "undefined": analysis.undefined.get(state, 0),
            }
            for state, i in shown.numbers.items()
        ],
        "transitions": [
            {
                "from": rule.state,
                "to": rule.to.state,
                "reads": list(rule.reads),
                "writes": list(rule.to.writes),
                "moves": list(rule.to.moves),
            }
            for arrow in shown.arrows
            for rule in arrow.rules
        ],
        "unreachable": list(analysis.unreachable),
        "dead": list(analysis.dead),
        "components": [list(part) for part in analysis.components],
        "undefined": outcome_of_undefined(machine),
        "never_ends": analysis.never_ends(machine),
    }


def flow_json(machine: str, construction: str, graph: nx.DiGraph[str]) -> dict[str, object]:
    """Return a program's nodes and edges, as `flow.graph` has them."""
    return {
        "machine": machine,
        "construction": construction,
        "program": graph.graph["name"],
        "nodes": [{"id": node, **about} for node, about in graph.nodes(data=True)],
        "edges": [
            {"from": source, "to": target, **about}
            for source, target, about in graph.edges(data=True)
        ],
    }


# --- tables ---------------------------------------------------------------------------------------


def states_sections(shown: View) -> list[Section]:
    """Return what there is to say of the states, and which rules lead where."""
    machine, analysis = shown.machine, shown.analysis
    ending = [state for state in machine.states if machine.outcome_of(state)]
    parts = "; ".join(_words(part) for part in analysis.components)
    rows = [
        ("machine", machine.name),
        ("states", f"{len(machine.states)}, of which {len(ending)} end a run"),
        ("rules", f"{len(machine.transitions):,}"),
        ("start", visible(machine.start)),
        ("unreachable", _words(analysis.unreachable)),
        ("dead", _words(analysis.dead)),
        ("strongly connected", parts or "none"),
        ("loops", _words(analysis.looping)),
    ]
    if analysis.undefined:
        lacking = ", ".join(f"{visible(s)} {n:,}" for s, n in analysis.undefined.items())
        rows.append(("undefined", f"{ends(machine)} there: {lacking}"))
    if analysis.never_ends(machine):
        rows.append(("so", "no run ever ends, whatever the tape holds: the start state is dead"))
    return [
        Section("", (), rows),
        Section("", ("state", "to", "reads → writes, moves"), _table(shown)),
    ]


def _table(shown: View) -> list[tuple[str, ...]]:
    """Return a row a rule, as far as labels go; what would be repeated is left out."""
    rows: list[tuple[str, ...]] = []
    before = None
    for state in shown.machine.states:
        marks = ", ".join(shown.notes(state))
        leaving = [arrow for arrow in shown.arrows if arrow.source == state]
        if not leaving:
            rows.append((visible(state), "", f"({marks})" if marks else ""))
        for arrow in leaving:
            for i, line in enumerate(shown.label(arrow) or [f"{len(arrow.rules)} rules"]):
                first = visible(state) if state != before else ""
                rows.append((first, visible(arrow.target) if i == 0 else "", line))
                before = state
    return rows


def _words(states: Sequence[str]) -> str:
    return ", ".join(map(visible, states)) or "none"


def flow_sections(found: Flow) -> list[Section]:
    """Return what each layer of a program reads and makes, a line a feature."""
    rows = _rows("embedding", [f"{found.tokens} tokens"], [], found.embedded)
    before = ""
    for box in found.boxes:
        part = f"{box.layer} {box.part}"
        named = [f"{box.kind} {box.name}".rstrip(), *box.notes]
        rows += _rows(part if part != before else "", named, map(_given, box.inputs), box.outputs)
        before = part
    rows += _rows("unembedding", [f"{found.rows} rows"], found.unembedded, ["the next token"])
    if found.loop:
        rows += _rows("next pass", [], *zip(*found.loop, strict=True))
    return [
        Section("", (), [("program", found.program), ("layers", str(found.layers))]),
        Section("", ("layer", "operation", "reads", "makes"), rows),
    ]


def _rows(
    where: str, operation: Iterable[str], reads: Iterable[str], makes: Iterable[str]
) -> list[tuple[str, ...]]:
    """Return the lines of an operation, each of which has one of what it reads and makes."""
    return list(zip_longest([where], operation, reads, makes, fillvalue=""))


def _given(given: Input) -> str:
    said = given.note or ("" if given.role == "input" else given.role)
    return f"{said} {given.feature}".lstrip()
