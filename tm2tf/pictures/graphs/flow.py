"""A program as a graph: which layer computes what, and what flows where.

Features flow from the token embedding into operations, and out of them into operations of the same
or of later layers, until the unembedding reads the next token off some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from tm2tf.program.features import POSITION
from tm2tf.program.operations import (
    Affine,
    CausalSum,
    Gather,
    Latest,
    Number,
    Operation,
    Product,
    Relative,
    Sign,
    Table,
    reads,
    writes,
)
from tm2tf.program.program import Program

Part = Literal["attention", "feed-forward"]
EMBEDDING, UNEMBEDDING = "embedding", "unembedding"
"""The nodes where features come from, and where they go in the end."""

ROLES = ("query", "key", "value", "where", "input", "loop")
"""What a feature is to what reads it. An operation asks with `query`, compares it with `key`,
brings `value`, and counts only positions `where` a flag is 1; feed-forward ones have an `input`;
`loop` is the feature whose value it has in the next pass."""


KINDS: Mapping[type, str] = {
    CausalSum: "causal-sum",
    Latest: "latest",
    Gather: "gather",
    Relative: "relative",
    Affine: "affine",
    Number: "number",
    Sign: "sign",
    Product: "product",
    Table: "table",
}
"""What the text of a program calls the operations."""


@dataclass(frozen=True, slots=True)
class Input:
    """A feature that is read, in what role, and a coefficient, say, that goes with it."""

    feature: str
    role: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """An operation: the `number`-th of its layer, attention first.

    `kind` is what the text of a program calls it, `name` that of a table, `notes` what else there
    is to say, such as a default.
    """

    layer: int
    number: int
    part: Part
    kind: str
    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name of its node."""
        return f"op {self.layer}.{self.number}"


@dataclass(frozen=True, slots=True)
class Flow:
    """A program's boxes, and what stands before and after them.

    Attributes:
        program: its name.
        tokens: how many tokens there are.
        embedded: the features that are there before the first layer; `position` if it is read.
        boxes: the operations, in order.
        unembedded: the features that the next token is read off.
        rows: how many rows the unembedding has.
        loop: pairs of a feature and the one that has its value in the next pass.
        layers: how many layers there are.
    """

    program: str
    tokens: int
    embedded: tuple[str, ...]
    boxes: tuple[Box, ...]
    unembedded: tuple[str, ...]
    rows: int
    loop: tuple[tuple[str, str], ...]
    layers: int


def flow(program: Program) -> Flow:
    """Return what flows where in a program."""
    boxes = []
    for number, layer in enumerate(program.layers):
        operations: list[tuple[Part, Operation]] = [("attention", op) for op in layer.attention]
        operations += [("feed-forward", op) for op in layer.feed_forward]
        boxes += [_box(number, i, part, op) for i, (part, op) in enumerate(operations)]
    used = {given.feature for box in boxes for given in box.inputs}
    used |= {*program.unembed.features, *(before for before, _ in program.loop)}
    made = {name for box in boxes for name in box.outputs}
    embedded = tuple(
        feature.name
        for feature in program.features
        if feature.name not in made and (feature.name != POSITION or POSITION in used)
    )
    return Flow(
        program.name,
        len(program.tokens),
        embedded,
        tuple(boxes),
        program.unembed.features,
        len(program.unembed.rows),
        program.loop,
        len(program.layers),
    )


def _box(layer: int, number: int, part: Part, operation: Operation) -> Box:
    kind, name, inputs, notes = _reading(operation)
    return Box(layer, number, part, kind, name, tuple(inputs), writes(operation), tuple(notes))


def _reading(operation: Operation) -> tuple[str, str, list[Input], list[str]]:
    """Return an operation's kind, name, inputs and notes."""
    kind = KINDS[type(operation)]
    notes: list[str] = []
    match operation:
        case CausalSum(value=value, when=when):
            inputs = [Input(value, "value"), *([Input(when, "where")] if when is not None else [])]
        case Latest(values=values, defaults=defaults):
            inputs = _lookup(operation, values)
            notes = [f"else {' '.join(map(str, defaults))}"] if defaults else []
        case Gather(value=value, default=default):
            inputs = _lookup(operation, (value,))
            notes = [f"else {default}"] if default is not None else []
        case Relative(value=value, offset=offset, default=default):
            inputs = [Input(value, "value")]
            notes = [f"{offset} back" if offset >= 0 else f"{-offset} on"]
            notes += [f"else {default}"] if default is not None else []
        case Affine(terms=terms, constant=constant):
            inputs = [Input(name, "input", f"{by:+d}") for by, name in terms]
            notes = [f"{constant:+d}"] if constant else []
        case Table(rows=rows):
            inputs = [Input(feature, "input") for feature in operation.inputs]
            notes = [f"{len(rows)} row{'' if len(rows) == 1 else 's'}"]
        case _:  # Number, Sign, Product
            inputs = [Input(feature, "input") for feature in reads(operation)]
    return kind, operation.name if isinstance(operation, Table) else "", inputs, notes


def _lookup(operation: Latest | Gather, values: Sequence[str]) -> list[Input]:
    return [
        *(Input(name, "query") for name in operation.query),
        *(Input(name, "key") for name in operation.key),
        *(Input(name, "value") for name in values),
        Input(operation.where, "where"),
    ]


def feature_node(name: str) -> str:
    """Return the name of a feature's node."""
    return f"feature {name}"


def graph(found: Flow) -> nx.DiGraph[str]:
    """Return the graph: features and operations in turn, from the embedding to the unembedding.

    Nodes have a `kind`: "embedding", "unembedding", "feature" (with `label`), or "operation" (with
    `label`, `layer`, `part` and `notes`). Edges have `roles`, a list of those of `ROLES`, which is
    empty where a feature comes from; an edge with the role "loop" goes from a feature at the end of
    a pass to one at the beginning of the next.
    """
    drawn: nx.DiGraph[str] = nx.DiGraph(name=found.program)
    drawn.add_node(EMBEDDING, kind=EMBEDDING, label="token embedding", notes=[])
    for name in found.embedded:
        drawn.add_node(feature_node(name), kind="feature", label=name, notes=[])
        drawn.add_edge(EMBEDDING, feature_node(name), roles=[])
    for box in found.boxes:
        label = f"{box.kind} {box.name}".rstrip()
        drawn.add_node(
            box.key,
            kind="operation",
            label=label,
            layer=box.layer,
            part=box.part,
            notes=list(box.notes),
        )
        for name in box.outputs:
            drawn.add_node(feature_node(name), kind="feature", label=name, notes=[])
            drawn.add_edge(box.key, feature_node(name), roles=[])
    for box in found.boxes:
        for given in box.inputs:
            _read(drawn, feature_node(given.feature), box.key, given.role)
    drawn.add_node(UNEMBEDDING, kind=UNEMBEDDING, label="unembedding", notes=[])
    for name in found.unembedded:
        _read(drawn, feature_node(name), UNEMBEDDING, "input")
    for before, after in found.loop:
        _read(drawn, feature_node(before), feature_node(after), "loop")
    return drawn


def _read(drawn: nx.DiGraph[str], source: str, target: str, role: str) -> None:
    """Add an edge, or one more role of it."""
    if not drawn.has_edge(source, target):
        drawn.add_edge(source, target, roles=[])
    roles = drawn.edges[source, target]["roles"]
    if role not in roles:
        roles.append(role)
