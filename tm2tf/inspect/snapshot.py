"""What one pass was at one position: features, heads, neurons and logits, as a view has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float64

from tm2tf.inspect.forms import Names, Term, parts_of_sums, sums
from tm2tf.inspect.neurons import Neuron, neurons
from tm2tf.program.features import Categorical, Distribution, Integer
from tm2tf.weights.model import HeadKind, Weights

TOP = 5
"""How many logits are shown."""

UNCLEAR = -2
"""What a readout reads where the directions of a categorical do not hold exactly one 1."""

BEGAN = "where each head began"
LAST_CUT = "where each head was at the last cut"
FIRST_CELL = "the first cell"
"""What stands at the weights' address 0."""

Within = Literal["prompt", "run", "summary", "window"]

Vector = Float64[np.ndarray, " d_model"]
Row = Float64[np.ndarray, " positions"]


@dataclass(frozen=True, slots=True)
class Place:
    """A position (from 1) and its token.

    `within` is what the token belongs to; `step` is the step that it stands for, or belongs to, if
    any. `addresses` are the machine's addresses, a tape each, of the cell that it is, if it is one.
    """

    position: int
    token: str
    within: Within
    step: int | None
    addresses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature in the stream after the last layer; `layer` is the one that made it, -1: none.

    `value` is None where a categorical is absent, and the shares above 0 of a distribution. `clear`
    is false where directions do not hold exactly one 1, or what cannot be shares: then the weights
    do not compute their program. `carried` is whether the pass before left it (looped weights).
    `part` is whether another feature is a sum with all of it.
    """

    name: str
    value: str | int | Mapping[str, float] | None
    layer: int
    clear: bool
    carried: bool
    part: bool


@dataclass(frozen=True, slots=True)
class HeadStep:
    """What a head did. `brought` is what it added to the stream.

    For a "latest" head: the place it attended to, the greatest score, and by how much that is
    more than the greatest score that differs from it (None: all scores are equal). For a
    "relative" head: the place. For a uniform head: the mean of each coordinate of the value; for a
    "mean" head besides how many positions it attended to (`count`), score and margin. For a
    "softmax" head, where the scores are known: the place with the greatest, and its share.
    """

    layer: int
    index: int
    name: str
    kind: HeadKind
    attended: Place | None
    count: int | None
    score: float | None
    margin: float | None
    share: float | None
    mean: tuple[float, ...]
    brought: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class NeuronStep:
    """A neuron that fired: its activation, and the text of `neurons.Neuron`."""

    layer: int
    index: int
    label: str
    activation: float
    text: str


@dataclass(frozen=True, slots=True)
class StepView:
    """The pass that emits the token of step `step`, at the position `fed`.

    That is the end of context of a decoder, and the cell with tape 0's head of a looped model.

    Attributes:
        number: which pass it is, from 1, among those that emit something.
        positions: how many positions there are.
        cells: how many cells a row or the window has, if cells are what positions stand for.
        starts: the machine's address, a tape each, of the weights' address 0 (of the first cell).
        zero: what was, or is, at that address.
        renamed: what the machine calls the weights' states and symbols that it calls otherwise.
        logits: the greatest ones, in order.
        margin: by how much the first logit is greater than the second (None: only one token).
    """

    step: int
    number: int
    looped: bool
    positions: int
    cells: int | None
    fed: Place
    emits: str
    outcome: str | None
    starts: tuple[int, ...]
    zero: str
    renamed: Mapping[str, Mapping[str, str]]
    features: tuple[FeatureValue, ...]
    heads: tuple[HeadStep, ...]
    neurons: tuple[NeuronStep, ...]
    logits: tuple[Term, ...]
    margin: float | None


@dataclass(frozen=True, slots=True)
class Attended:
    """Where a head looked, if at one place; the others as in `HeadStep`."""

    place: Place | None = None
    score: float | None = None
    margin: float | None = None
    share: float | None = None
    count: int | None = None

    @staticmethod
    def among(
        scores: Float64[np.ndarray, " seen"],
        index: int,
        place: Place | None,
        share: float | None = None,
    ) -> Attended:
        """Return that a place was chosen by its score, `scores[index]`."""
        score = float(scores[index])
        less = scores[scores < score]
        return Attended(place, score, score - float(less.max()) if len(less) else None, share)


NOWHERE = Attended()


class Labels:
    """What the views of many passes of the same weights share: names, and neurons in words."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.parts = parts_of_sums(sums(weights))
        self._names = Names(weights)
        self._neurons: dict[int, list[Neuron]] = {}

    def neurons(self, layer: int) -> list[Neuron]:
        """Return all neurons of a layer, put into words once."""
        if layer not in self._neurons:
            self._neurons[layer] = neurons(self.weights, self._names, layer)
        return self._neurons[layer]


@dataclass(slots=True, eq=False)
class Snapshot:
    """One pass at one position.

    What softmax heads leak counts as 0, as far as the readouts tolerate it.

    Attributes:
        streams: the residual stream there, before each layer and after the last.
        heads: what each head did, `added` what it added to the stream, and `rows` how much of
            its attention each position had (a sum of 1), in order.
    """

    labels: Labels
    streams: Sequence[Vector]
    logits: Float64[np.ndarray, " d_vocab"]
    heads: list[HeadStep] = field(default_factory=list)
    added: list[Vector] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    @property
    def weights(self) -> Weights:
        """The tensors and their labels."""
        return self.labels.weights

    @property
    def tolerance(self) -> float:
        """How far from the truth the numbers here may be."""
        return max((readout.tolerance for readout in self.weights.readouts), default=0.0)

    def note(
        self,
        layer: int,
        index: int,
        added: Vector,
        row: Row,
        attended: Attended = NOWHERE,
        mean: Sequence[float] = (),
    ) -> None:
        """Note what the next head did."""
        head = self.weights.layers[layer].heads[index]
        terms = zip(self.weights.directions, added.tolist(), strict=True)
        leak = self.tolerance
        self.added.append(added)
        self.rows.append(row)
        self.heads.append(
            HeadStep(
                layer=layer,
                index=index,
                name=head.name,
                kind=head.kind,
                attended=attended.place,
                count=attended.count,
                score=attended.score,
                margin=attended.margin,
                share=attended.share,
                mean=tuple(mean),
                brought=tuple(Term(name, weight) for name, weight in terms if abs(weight) > leak),
            )
        )

    def features(self, carried: bool) -> tuple[FeatureValue, ...]:
        """Return all features; `carried` is whether there was a pass before this one."""
        x, loop = self.streams[-1], self.weights.W_loop
        into = set() if loop is None or not carried else set(loop.columns.tolist())
        found, parts = [], self.labels.parts
        for readout in self.weights.readouts:
            read, held = readout.read(x), {d for _, d in (*readout.values, *readout.terms)}
            value: str | int | Mapping[str, float] | None = read
            if isinstance(readout.feature, Categorical):
                value = readout.values[read][0] if read >= 0 else None
            if isinstance(readout.feature, Distribution):
                shares = zip(readout.values, readout.shares(x).tolist(), strict=True)
                value = {word: share for (word, _), share in shares if share} or None
            clear = read != UNCLEAR or isinstance(readout.feature, Integer)
            name, layer = readout.feature.name, readout.layer
            from_before = layer < 0 and bool(held) and held <= into
            found.append(FeatureValue(name, value, layer, clear, from_before, name in parts))
        return tuple(found)

    def neurons(self) -> tuple[NeuronStep, ...]:
        """Return the neurons that fired, that is, whose activation is not 0."""
        added, fired = iter(self.added), []
        for number, layer in enumerate(self.weights.layers):
            x = sum((next(added) for _ in layer.heads), start=self.streams[number])
            mlp = layer.feed_forward
            gate = np.maximum(x @ mlp.W_gate.dense() + mlp.b_gate, 0)
            values = gate * (x @ mlp.W_in.dense() + mlp.b_in)
            values = np.where(mlp.snap, np.rint(values), values)
            values[np.abs(values) <= self.tolerance] = 0
            labelled = self.labels.neurons(number) if values.any() else []
            fired += [
                NeuronStep(number, i, labelled[i].label, float(values[i]), labelled[i].text)
                for i in np.flatnonzero(values).tolist()
            ]
        return tuple(fired)

    def best(self) -> list[tuple[int, float]]:
        """Return all tokens with their logits, the greatest first, of equals the lower id."""
        order = np.argsort(-self.logits, kind="stable")
        return [(int(i), float(self.logits[i])) for i in order]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A pass of a run, seen from one position.

    Attributes:
        number: which pass it is, from 1, among those that emit something.
        places: all positions of the context then (of the window).
        cells: how many cells a row or the window has, if cells are what positions stand for.
        starts: the machine's address, a tape each, of the weights' address 0 (of the first cell).
        rebased: whether that is where its head was when the context was last cut.
        fed: the position from which the pass is seen.
    """

    number: int
    places: Sequence[Place]
    cells: int | None
    starts: tuple[int, ...]
    rebased: bool
    fed: Place
    snapshot: Snapshot
