"""The tracr target: a looped program as a RASP program, compiled by DeepMind's tracr.

`sops` says what the RASP program is. tracr makes a transformer of it (Lindner et al. 2023, "Tracr",
arXiv 2301.05062; RASP is of Weiss, Goldberg & Yahav 2021, arXiv 2106.06981), and its matrices are
read back here as `Weights` under our names: bidirectional softmax attention, relu, no layer norm,
    x = E[word] + P[position], in each pass, where P is 0 at the first position, the begin token
    x = x + sum over heads of softmax(x W_Q (x W_K)^T / sqrt(K)) x W_V W_O
    x = x + relu(x W_1) W_2
with K the same for all heads. Before the division a head scores 100 where its selector says yes, 50
at the begin token, whose values are 0, and 0 elsewhere. Temperature and weights are tracr's.

What is added: the loop. tracr decodes the argmax of its last S-op, and the next pass embeds that
word; here the neurons that write the last S-op are rounded (`snap`) and `W_loop` copies their
directions to those of the words, which is the same while each is within 1/2 of the truth. (Without
rounding errors grow, and runs are wrong after some passes.) The unembedding is the program's.

The bound. With n cells (all positions but the first), a = 100 / sqrt(K), a head leaves the weight
    e = 1 - 1 / (1 + exp(-a/2) + (n - 1) exp(-a)) + 2^-40,
first what the begin token and the n - 1 other cells have beside the one that is selected, then room
for float64: a softmax over less than 2^11 positions and the sums after it err by less than 2^-41.
Errors add up as in `sops`, to `leaks` e at the most, and weights are exact if that is below 1/2 for
the next word and for all features of the unembedding together. K = L + 2, where L = max(n, v - 2)
is the length that tracr is asked for, with v the most words of a value that a head brings: so many
dimensions a head must have. For looped-neighbours, which has 2 e, on machines whose v is at most
n + 2, n is 225 at the most: a window of 224. The bound is sufficient; where weights of a wider
window go wrong depends on the run.

Tried with Python 3.11.7, tracr 1.0.0 at commit 9ce2b8c82b6ba10e62e86cf6f390e7536d4fd2cd, jax and
jaxlib 0.10.2, dm-haiku 0.0.17, chex 0.1.92, einops 0.8.2. Nothing of them is changed. Bridged:
- the labels of directions hold a counter of the process: S-ops are named, which leaves tracr's
  parameters alone the same each time, and directions, heads and neurons are sorted by our graph;
- Map of a Map would be simplified into one and its S-op lost: `simplify=False`;
- a head with more words than K writes past its slice: hence L;
- a categorical Aggregate that finds nothing has no value, and no SequenceMap has one for that:
  hence total S-ops;
- values of a S-op are called by their number in it, so that no word of a machine is special.
Neurons and heads that only fill tracr's matrices are left out, and so are the padding word and
indices beyond n, none of which ever matters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from tm2tf.errors import ExtraError, InternalError, TargetError
from tm2tf.lowering.sops import Graph, Sop, Value, graph_of, is_cell
from tm2tf.program import program as ir
from tm2tf.program.features import Categorical
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, FeedForward, Head, Layer, Readout, Weights

COLDNESS = 100.0
"""tracr's score of a position that a selector takes."""

ROUNDING = 2.0**-40

Dense = Float64[np.ndarray, "rows columns"]


def lower(program: ir.Program, construction: str, positions: int | None) -> Weights:
    """Return the weights of a looped program on so many positions, by tracr.

    Raises:
        TargetError: the program is not looped, has no fixed number of positions or too many of
            them, or needs values at the begin token.
        ExtraError: tracr is not installed.
    """
    if not program.loop:
        raise TargetError(
            f"construction {construction!r} is no looped model, and target 'tracr' makes only "
            "those; take target 'hard'"
        )
    if positions is None or positions < 2:
        raise TargetError("target 'tracr' has to be told how many positions there are, 2 or more")
    graph = graph_of(program, positions - 1)
    most = largest(program, graph)
    if positions - 1 > most:
        raise TargetError(
            f"target 'tracr' is exact for {program.name!r} up to {most + 1:,} positions (with an "
            f"edge, a window of {max(0, most - 1):,} cells), not on {positions:,}: softmax "
            "attention is not sharp enough there; take a narrower window, or target 'hard'"
        )
    return _Reading(program, graph, construction).weights()


# --- bounds -------------------------------------------------------------------------------


def leak(cells: int, key_size: int) -> float:
    """Return the weight, at most, that a head gives to positions that it does not select."""
    a = COLDNESS / math.sqrt(key_size)
    return 1 - 1 / (1 + math.exp(-a / 2) + (cells - 1) * math.exp(-a)) + ROUNDING


def key_size(graph: Graph, cells: int) -> int:
    """Return the K of a graph, if it is on so many cells."""
    return _length(graph, cells) + 2


def _length(graph: Graph, cells: int) -> int:
    words = [len(sop.values) for sop in graph.sops if sop.kind == "bring"]
    return max(cells, max(words, default=0) - 2)


def largest(program: ir.Program, graph: Graph) -> float:
    """Return on how many cells the weights of a graph are exact; infinity if nothing limits it."""
    told = [graph.features[name].leaks for name in program.unembed.features]
    leaks = max(graph.next_cell.leaks, sum(told))
    if not leaks:
        return math.inf
    cells = 0
    while leaks * leak(cells + 1, key_size(graph, cells + 1)) < 1 / 2:
        cells += 1
    return cells


# --- to tracr -----------------------------------------------------------------------------


def numbered(sop: Sop) -> dict[Value, str]:
    """Return what tracr is told of each value of an S-op: an index, or a number as a text."""
    if sop.kind == "index":
        return {value: str(value) for value in sop.values}
    return {value: str(number) for number, value in enumerate(sop.values)}


def compiled(graph: Graph, construction: str) -> tuple[Any, dict[Sop, str]]:
    """Return tracr's model of a graph, and tracr's label of each S-op.

    Raises:
        ExtraError: tracr is not installed.
    """
    try:
        from tracr.compiler import compiling
        from tracr.rasp import rasp
    except ImportError:
        raise ExtraError(f"construction {construction!r}", "tracr", "tracr") from None
    made: dict[Sop, Any] = {}
    for sop in graph.sops:
        own, others = numbered(sop), [numbered(other) for other in sop.inputs]
        inputs = [made[other] for other in sop.inputs]
        match sop.kind:
            case "cell":
                made[sop] = rasp.tokens
            case "index":
                made[sop] = rasp.indices
            case "map" if sop.inputs == (graph.index,):
                # tracr may have more indices than there are cells; what they are is no matter
                first = own[sop.values[0]]
                to = {index: own[value] for index, value in sop.table.items()}
                made[sop] = rasp.Map(
                    lambda i, to=to, first=first: to.get(i, first), *inputs, simplify=False
                )
            case "map":
                to = {others[0][value]: own[out] for value, out in sop.table.items()}
                made[sop] = rasp.Map(to.__getitem__, *inputs, simplify=False)
            case "pair":
                one, other = others
                both = {(one[a], other[b]): own[out] for (a, b), out in sop.table.items()}
                made[sop] = rasp.SequenceMap(lambda a, b, both=both: both[a, b], *inputs)
            case "bring":
                taken = rasp.Select(
                    rasp.indices,
                    rasp.indices,
                    lambda key, query, to=sop.table: key == to.get(query),
                )
                made[sop] = rasp.Aggregate(taken, *inputs)
        if sop.inputs:
            # tracr sorts by names, to which it adds a counter: ours make its parameters the same
            made[sop] = made[sop].named(sop.name)
    model = compiling.compile_rasp_to_model(
        made[graph.next_cell],
        vocab=set(numbered(graph.cell).values()),
        max_seq_len=_length(graph, graph.cells),
        causal=False,
    )
    return model, {sop: expression.label for sop, expression in made.items()}


# --- and back -----------------------------------------------------------------------------

BOS = "compiler_bos"
"""What tracr calls the begin token."""

PAD = "compiler_pad"
"""What tracr calls the padding token."""


class _Reading:
    """Weights from tracr's parameters, with our directions in the order of the graph."""

    def __init__(self, program: ir.Program, graph: Graph, construction: str) -> None:
        self.program, self.graph, self.construction = program, graph, construction
        model, labels = compiled(graph, construction)
        self.model = model
        at = {label: place for place, label in enumerate(model.residual_labels)}
        self.names, places = ["begin", "one"], [at[f"{labels[graph.cell]}:{BOS}"], at["one"]]
        self.owners: list[Sop | None] = [None, None]
        self.directions: dict[Sop, dict[Value, int]] = {}
        for sop in graph.sops:
            found = self.directions[sop] = {}
            for value, number in numbered(sop).items():
                label = f"{labels[sop]}:{number}"
                if label not in at:
                    raise InternalError(f"tracr has no direction {label!r}, {sop.label(value)!r}")
                found[value] = len(places)
                self.names.append(sop.label(value))
                self.owners.append(sop)
                places.append(at[label])
        self.order = np.array(places)
        self.ranks = {sop: rank for rank, sop in enumerate(graph.sops)}
        self.ready: dict[Sop, int] = {}

    def weights(self) -> Weights:
        """Return the weights."""
        layers = tuple(self._layer(n) for n in range(self.model.model_config.num_layers))
        W_E, W_fixed, W_positions = self._embedding()
        W_U, b_U = self._unembedding()
        width, positions = len(self.names), self.graph.cells + 1
        words = self.directions[self.graph.cell]
        loop = [
            (direction, words[value], 1.0)
            for value, direction in self.directions[self.graph.next_cell].items()
            if value in words
        ]
        return Weights(
            construction=self.construction,
            target="tracr",
            directions=tuple(self.names),
            tokens=self.program.tokens,
            readouts=self._readouts(),
            bounds=Bounds(position=positions, key=0),
            W_E=W_E,
            W_pos=np.zeros(width),
            layers=layers,
            W_U=W_U,
            b_U=b_U,
            W_loop=Matrix.from_entries((width, width), loop),
            W_fixed=W_fixed,
            W_positions=W_positions,
        )

    def _tensor(self, module: str, name: str = "w") -> Dense:
        return np.asarray(self.model.params[module][name], dtype=np.float64)

    def _layer(self, number: int) -> Layer:
        for part in ("attn/query", "attn/key", "attn/value", "attn/linear", "mlp/linear_1"):
            if self._tensor(f"transformer/layer_{number}/{part}", "b").any():
                raise InternalError(f"tracr's layer {number} has a bias in {part}")
        heads = self._heads(f"transformer/layer_{number}/attn", number)
        feed_forward, written = self._feed_forward(f"transformer/layer_{number}/mlp", number)
        made = [sop.name for sop in [*(sop for sop, _ in heads), *written]]
        return Layer(", ".join(made), tuple(head for _, head in heads), feed_forward)

    def _heads(self, module: str, number: int) -> list[tuple[Sop, Head]]:
        """Return the heads of a layer, those that only fill tracr's matrix left out."""
        size, found = self.model.model_config.key_size, []
        query, key, value = (
            self._tensor(f"{module}/{part}")[self.order] for part in ("query", "key", "value")
        )
        linear = self._tensor(f"{module}/linear")[:, self.order]
        for begin in range(0, len(linear), size):
            part = slice(begin, begin + size)
            W_O, W_V = linear[part], value[:, part]
            used = [int(row) for row in np.flatnonzero(W_O.any(axis=1))]
            if not used:
                continue
            used.sort(key=lambda row: int(np.flatnonzero(W_O[row])[0]))
            (sop,) = {self.owners[d] for d in np.flatnonzero(W_O.any(axis=0))}
            assert sop is not None
            self.ready[sop] = number
            head = Head(
                name=sop.name,
                kind="softmax",
                W_Q=Matrix.from_dense(query[:, part]),
                b_Q=np.zeros(size),
                W_K=Matrix.from_dense(key[:, part]),
                b_K=np.zeros(size),
                W_V=Matrix.from_dense(W_V[:, used]),
                W_O=Matrix.from_dense(W_O[used]),
            )
            found.append((sop, head))
        return sorted(found, key=lambda pair: self.ranks[pair[0]])

    def _feed_forward(self, module: str, number: int) -> tuple[FeedForward, list[Sop]]:
        """Return the neurons of a layer and the S-ops that they write, both in our order."""
        first = self._tensor(f"{module}/linear_1")[self.order]
        second = self._tensor(f"{module}/linear_2")[:, self.order]
        neurons: list[tuple[int, tuple[int, ...], int]] = []
        for neuron in np.flatnonzero(second.any(axis=1)).tolist():
            (out,) = np.flatnonzero(second[neuron]).tolist()
            asked = tuple(np.flatnonzero(first[:, neuron] > 0).tolist())
            neurons.append((out, asked, neuron))
        neurons.sort()
        columns = [neuron for _, _, neuron in neurons]
        outs = [self.owners[out] for out, _, _ in neurons]
        written = [sop for sop in dict.fromkeys(outs) if sop is not None]
        self.ready |= dict.fromkeys(written, number)
        return (
            FeedForward(
                neurons=tuple(self._neuron(out, asked) for out, asked, _ in neurons),
                W_gate=Matrix.from_dense(first[:, columns]),
                b_gate=np.zeros(len(columns)),
                W_in=Matrix.from_entries((len(self.names), len(columns)), ()),
                b_in=np.ones(len(columns)),
                W_out=Matrix.from_dense(second[columns]),
                snap=np.array([sop is self.graph.next_cell for sop in outs], dtype=np.bool_),
            ),
            written,
        )

    def _neuron(self, out: int, asked: tuple[int, ...]) -> str:
        """Return what a neuron is called."""
        sop = self.owners[out]
        assert sop is not None
        if sop.kind == "pair":
            return f"{', '.join(self.names[d] for d in asked)} -> {self.names[out]}"
        return f"{sop.inputs[0].name} -> {self.names[out]}"

    def _embedding(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return W_E, what tokens go on adding in later passes, and the table of positions."""
        table = self._tensor("token_embed", "embeddings")[:, self.order]
        tokens = self.program.tokens
        rows = self.model.input_encoder.encoding_map
        begin, one = table[rows[BOS]], np.eye(len(self.names))[1]
        embedded, fixed = np.tile(one, (len(tokens), 1)), np.tile(one, (len(tokens), 1))
        numbers = numbered(self.graph.cell)
        for i, token in enumerate(tokens):
            if token.role == "begin":
                embedded[i] = fixed[i] = begin
            elif is_cell(token):
                embedded[i] = table[rows[numbers[self.graph.value(token)]]]
        positions = self._tensor("pos_embed", "embeddings")[: self.graph.cells + 1, self.order]
        return (
            Matrix.from_dense(embedded),
            Matrix.from_dense(fixed),
            Matrix.from_dense(positions),
        )

    def _unembedding(self) -> tuple[Matrix, np.ndarray]:
        """Return the unembedding as the hard target has it: 1 for a row that fits, 1/2 else."""
        ids = {token.name: number for number, token in enumerate(self.program.tokens)}
        unembed = self.program.unembed
        b_U, entries = np.zeros(len(ids)), []
        for token, row in unembed.rows.items():
            cells = zip(unembed.features, row, strict=True)
            asked = [(name, word) for name, word in cells if word is not None]
            b_U[ids[token]] = 1.0 - len(asked)
            for name, word in asked:
                direction = self.directions[self.graph.features[name]].get(word)
                if direction is not None:  # else it never is that
                    entries.append((direction, ids[token], 1.0))
        b_U[ids[unembed.default]] = 0.5
        return Matrix.from_entries((len(self.names), len(ids)), entries), b_U

    def _readouts(self) -> tuple[Readout, ...]:
        """Return where features stand; words that a feature never is have no direction."""
        size = key_size(self.graph, self.graph.cells)
        found = []
        for feature in self.program.features:
            sop = self.graph.features.get(feature.name)
            if sop is None or not isinstance(feature, Categorical):
                continue
            at = self.directions[sop]
            values = tuple((word, at[word]) for word in feature.values if word in at)
            known = Categorical(feature.name, tuple(word for word, _ in values))
            tolerance = sop.leaks * leak(self.graph.cells, size)
            found.append(Readout(known, self.ready[sop], values=values, tolerance=tolerance))
        return tuple(found)
