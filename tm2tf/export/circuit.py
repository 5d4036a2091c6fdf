"""The ground-truth circuit of a checkpoint: which heads, neurons and edges carry which output.

Nodes, with the names that papers on circuit discovery use:
- `embed`, the embedding of tokens; `pos_embed`, that of positions (GPT-2; Llama turns queries and
  keys by the position within each head instead, which is no edge);
- `L0.H1`, head 1 of layer 0, which reads through three ports: `q`, `k` and `v`;
- `L0.N5`, neuron 5 of layer 0, which is a row of the transition table;
- `logits`, the unembedding.

Edges are `embed -> L0.H0.q`, `L0.H0 -> L0.N5`, `L0.N5 -> logits`; each has the directions of the
residual stream that it carries, such as `state=B`. It is derived from the tensors alone
(`tensors`); the wiring only gives names. A source *says* a direction if

- embeddings: it is not the same for all tokens, or at all positions;
- heads: some column of values that reads what somebody says is written to it;
- neurons: the neuron reads what somebody says, and is written to it.

There is an edge where a source says a direction that a later port reads with a weight that is not
0, if what has the port is on the way to the logits itself. Constants are not information, so they
are no edges: `one`, which stands for biases in Llama, and `idle.*`, which fill the width. Nor is
`-state=B`, the copy that keeps GPT-2's mean at 0: it is written, and nothing reads it but the
norms, for which the pair of both is a constant. Every head and neuron of the architecture that
carries nothing (they fill up sizes) is `outside`.

The circuit is that of all inputs: what carries some output after some context. `carrying` is that
of one output; `components` has a layer's neurons as one node. `ablation` proves it on the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import networkx as nx
import numpy as np

from tm2tf.errors import FormatError, NotFoundError, did_you_mean
from tm2tf.export.tensors import IN, LOGITS, ModelTensors, any_of, said, tensors_of, wanted
from tm2tf.lowering.stock.checkpoint import Checkpoint

FORMAT, VERSION = "tm2tf circuit", 1
PORTS = ("q", "k", "v")


@dataclass(frozen=True, slots=True)
class Node:
    """A part of the model.

    Attributes:
        id: `embed`, `pos_embed`, `L0.H1`, `L0.N5`, `L0.MLP` (of `components`) or `logits`.
        kind: embedding, head, neuron, mlp or logits.
        layer: its layer; -1 for embeddings, the number of layers for logits.
        index: its number in the layer.
        name: a neuron's row of the table, or a head's name; "" if it has none.
        lookup: the lookup that a head carries, maybe with other heads.
    """

    id: str
    kind: str
    layer: int
    index: int = 0
    name: str = ""
    lookup: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """What a port reads of what a source says; `port`: q, k or v of a head, "in" else."""

    source: str
    target: str
    port: str
    directions: tuple[str, ...]

    @property
    def id(self) -> str:
        """Return it as it is written: `embed -> L0.H0.q`."""
        return f"{self.source} -> {entry(self.target, self.port)}"


@dataclass(frozen=True, slots=True)
class Circuit:
    """The circuit of a checkpoint.

    Attributes:
        architecture: "gpt2" or "llama".
        nodes: what carries outputs, from the embedding to the logits.
        edges: in the order of their targets, then sources.
        outside: the heads and neurons that the architecture has besides.
        outputs: for each token that is not read alone, what its logit reads of what somebody says.
    """

    architecture: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    outside: tuple[Node, ...]
    outputs: dict[str, tuple[str, ...]]

    def node(self, name: str) -> Node:
        """Return a node, inside or outside, by id.

        Raises:
            NotFoundError: there is none.
        """
        for node in (*self.nodes, *self.outside):
            if node.id == name:
                return node
        known = [node.id for node in (*self.nodes, *self.outside)]
        raise NotFoundError(f"the model has no node {name!r}{did_you_mean(name, known)}")

    def reads(self, name: str, port: str = IN) -> tuple[str, ...]:
        """Return the directions that a node reads at a port, in order of its edges."""
        found = [e.directions for e in self.edges if (e.target, e.port) == (name, port)]
        return tuple(dict.fromkeys(d for directions in found for d in directions))

    def writes(self, name: str) -> tuple[str, ...]:
        """Return the directions of a node that some other node reads."""
        found = [edge.directions for edge in self.edges if edge.source == name]
        return tuple(dict.fromkeys(d for directions in found for d in directions))


def entry(target: str, port: str) -> str:
    """Return the name of a port: that of the node if it has only one."""
    return target if port == IN else f"{target}.{port}"


def circuit(checkpoint: Checkpoint) -> Circuit:
    """Return the ground-truth circuit of a checkpoint, derived from its tensors."""
    tensors = tensors_of(checkpoint)
    names = np.array(checkpoint.directions)
    says = said(tensors)
    read = wanted(tensors, says)
    everything = _nodes(checkpoint, tensors)
    edges = []
    sources: list[Node] = []
    for _, group in groupby(everything, key=lambda node: (node.layer, node.kind)):
        together = list(group)  # these do not read each other
        for node in together:
            for port in ports(node):
                if (node.id, port) not in read:
                    continue
                for source in sources:
                    carried = read[node.id, port] & says[source.id]
                    if carried.any():
                        found = tuple(names[carried].tolist())
                        edges.append(Edge(source.id, node.id, port, found))
        sources += together
    used = {LOGITS, *(edge.source for edge in edges)}
    rows = tensors.unembed & any_of(list(says.values()))
    return Circuit(
        architecture=checkpoint.architecture,
        nodes=tuple(node for node in everything if node.id in used),
        edges=tuple(edges),
        outside=tuple(node for node in everything if node.id not in used),
        outputs={
            token.name: tuple(names[row].tolist())
            for token, row in zip(checkpoint.wiring.tokens, rows, strict=True)
            if row.any()
        },
    )


def ports(node: Node) -> tuple[str, ...]:
    """Return the ports of a node."""
    if node.kind == "embedding":
        return ()
    return PORTS if node.kind == "head" else (IN,)


def precedes(source: Node, target: Node) -> bool:
    """Return whether what a source writes is there when the target reads."""
    late = {"embedding": 0, "head": 1, "neuron": 2, "mlp": 2, "logits": 3}
    return (source.layer, late[source.kind]) < (target.layer, late[target.kind])


def possible(found: Circuit) -> Iterator[tuple[str, str, str]]:
    """Yield (source, target, port) for every edge that the architecture has, inside or not."""
    everything = (*found.nodes, *found.outside)
    for target in everything:
        for port in ports(target):
            for source in everything:
                if precedes(source, target):
                    yield source.id, target.id, port


def carrying(found: Circuit, token: str) -> Circuit:
    """Return the part of a circuit that carries one output: what the logit of `token` rests on.

    Raises:
        NotFoundError: the logit of the token is the same everywhere.
    """
    if token not in found.outputs:
        raise NotFoundError(
            f"nothing carries the logit of {token!r}{did_you_mean(token, found.outputs)}"
        )
    row = set(found.outputs[token])
    kept: list[Edge] = []
    used = {LOGITS}
    for edge in reversed(found.edges):  # targets come in order, so whole paths are followed
        directions = edge.directions
        if edge.target == LOGITS:
            directions = tuple(d for d in directions if d in row)
        if edge.target in used and directions:
            kept.append(replace(edge, directions=directions))
            used.add(edge.source)
    return replace(
        found,
        nodes=tuple(node for node in found.nodes if node.id in used),
        edges=tuple(reversed(kept)),
        outside=tuple(n for n in (*found.nodes, *found.outside) if n.id not in used),
        outputs={token: found.outputs[token]},
    )


def components(found: Circuit) -> Circuit:
    """Return a circuit with the neurons of each layer as one node, `L0.MLP`."""
    place = {
        node.id: f"L{node.layer}.MLP" if node.kind == "neuron" else node.id
        for node in (*found.nodes, *found.outside)
    }

    def merged(nodes: tuple[Node, ...]) -> dict[str, Node]:
        return {
            place[n.id]: Node(place[n.id], "mlp", n.layer) if n.kind == "neuron" else n
            for n in nodes
        }

    joined: dict[tuple[str, str, str], dict[str, None]] = {}
    for edge in found.edges:
        key = (place[edge.source], place[edge.target], edge.port)
        joined.setdefault(key, {}).update(dict.fromkeys(edge.directions))
    inside = merged(found.nodes)
    return replace(
        found,
        nodes=tuple(inside.values()),
        edges=tuple(Edge(*key, tuple(directions)) for key, directions in joined.items()),
        outside=tuple(node for key, node in merged(found.outside).items() if key not in inside),
    )


def to_json(found: Circuit) -> dict[str, Any]:
    """Return a circuit as JSON that `networkx.node_link_graph(data, edges="edges")` reads.

    - `directed`, `multigraph`, `graph` (format, version, architecture): of the graph.
    - `nodes`: `id`, `kind`, `layer`, `index`, `name`, `lookup` as in `Node`, and `writes`, the
      directions that others read. A head's ports are nodes too, `L0.H1.q`, of kind "port", with
      `reads`, and lead to the head.
    - `edges`: `source`, `target` (a port, where the node has several) and `directions`, empty
      from a port to its head.
    - `outside`: as `nodes`, the heads and neurons that carry nothing; they are not in the graph.
    - `outputs`: for each token that is not read alone, the directions that its logit reads.
    """
    reads: dict[tuple[str, str], dict[str, None]] = {}
    writes: dict[str, dict[str, None]] = {}
    for edge in found.edges:
        reads.setdefault((edge.target, edge.port), {}).update(dict.fromkeys(edge.directions))
        writes.setdefault(edge.source, {}).update(dict.fromkeys(edge.directions))
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for node in found.nodes:
        if node.kind == "head":
            for port in PORTS:
                name = entry(node.id, port)
                read = list(reads.get((node.id, port), ()))
                nodes.append({"id": name, "kind": "port", "layer": node.layer, "reads": read})
                edges.append({"source": name, "target": node.id, "directions": []})
        nodes.append({**_listed(node), "writes": list(writes.get(node.id, ()))})
    edges += [
        {
            "source": edge.source,
            "target": entry(edge.target, edge.port),
            "directions": list(edge.directions),
        }
        for edge in found.edges
    ]
    return {
        "directed": True,
        "multigraph": False,
        "graph": {"format": FORMAT, "version": VERSION, "architecture": found.architecture},
        "nodes": nodes,
        "edges": edges,
        "outside": [_listed(node) for node in found.outside],
        "outputs": {token: list(row) for token, row in found.outputs.items()},
    }


def from_json(data: Any) -> Circuit:
    """Return the circuit that `to_json` wrote.

    Raises:
        FormatError: it is something else.
    """
    head = data.get("graph") if isinstance(data, dict) else None
    if not isinstance(head, dict) or (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise FormatError(f"this is no circuit: expected format {FORMAT!r}, version {VERSION}")
    try:
        nodes = [_parsed(node) for node in data["nodes"] if node["kind"] != "port"]
        places = {entry(n.id, port): (n.id, port) for n in nodes for port in ports(n)}
        edges = [
            Edge(edge["source"], *places[edge["target"]], tuple(edge["directions"]))
            for edge in data["edges"]
            if edge["directions"]
        ]
        outside = tuple(_parsed(node) for node in data["outside"])
        outputs = {token: tuple(row) for token, row in data["outputs"].items()}
        return Circuit(head["architecture"], tuple(nodes), tuple(edges), outside, outputs)
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"this circuit lacks something that a circuit has: {error}") from None


def graph(found: Circuit) -> nx.DiGraph[str]:
    """Return a circuit as a graph, with the nodes, edges and attributes of `to_json`."""
    data = to_json(found)
    made: nx.DiGraph[str] = nx.DiGraph(**data["graph"])
    for node in data["nodes"]:
        made.add_node(node["id"], **{key: node[key] for key in node if key != "id"})
    for edge in data["edges"]:
        made.add_edge(edge["source"], edge["target"], directions=edge["directions"])
    return made


def _listed(node: Node) -> dict[str, Any]:
    return {key: getattr(node, key) for key in ("id", "kind", "layer", "index", "name", "lookup")}


def _parsed(node: dict[str, Any]) -> Node:
    return Node(*(node[key] for key in ("id", "kind", "layer", "index", "name", "lookup")))


def _nodes(checkpoint: Checkpoint, tensors: ModelTensors) -> list[Node]:
    """Return all nodes of the architecture, in the order in which they compute."""
    found = [Node(name, "embedding", -1, i) for i, name in enumerate(tensors.embedded)]
    for number, (layer, place) in enumerate(zip(tensors.layers, checkpoint.layers, strict=True)):
        lookups = checkpoint.wiring.layers[number].lookups
        for h in range(len(layer.q)):
            head = place.heads[h] if h < len(place.heads) else None
            called = (head.name, lookups[head.lookup].name) if head else ("", "")
            found.append(Node(f"L{number}.H{h}", "head", number, h, *called))
        for n in range(len(layer.down)):
            name = place.neurons[n] if n < len(place.neurons) else ""
            found.append(Node(f"L{number}.N{n}", "neuron", number, n, name))
    return [*found, Node(LOGITS, LOGITS, len(tensors.layers))]
