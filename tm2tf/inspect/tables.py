"""The views of weights at rest: overview, layer, head, neuron, token.

Pure functions from weights to frozen dataclasses, which `forms.to_json` turns into JSON. What is
asked for by a name that does not exist is a NotFoundError that says what exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tm2tf.errors import NotFoundError
from tm2tf.inspect import heads
from tm2tf.inspect.forms import Form, Names, Term, columns, number, shown
from tm2tf.inspect.heads import HeadSummary, HeadView
from tm2tf.inspect.lookup import missing, numbered
from tm2tf.inspect.neurons import Neuron, neurons
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Layer, Weights


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A layer in a line."""

    number: int
    purpose: str
    heads: tuple[HeadSummary, ...]
    neurons: int
    parameters: int
    nonzeros: int


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the weights are exact in one respect, and what that means."""

    name: str
    value: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole transformer.

    `embedded` are the features ready before layer 0, `decides` those that the unembedding reads.
    """

    construction: str
    target: str
    dtype: str
    bounds: tuple[Bound, ...]
    d_model: int
    d_mlp: int
    d_vocab: int
    parameters: int
    nonzeros: int
    embedded: tuple[str, ...]
    layers: tuple[LayerSummary, ...]
    decides: tuple[str, ...]
    directions: tuple[str, ...]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer with its heads and its neurons."""

    summary: LayerSummary
    neurons: tuple[Neuron, ...]


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token: the directions that it embeds, and its logit; `text` says what that amounts to."""

    id: int
    name: str
    role: str
    outcome: str | None
    embeds: tuple[Term, ...]
    logit: Form
    text: str


BOUNDS = {
    "position": "tokens of context, prompt included",
    "key": "addresses that lookups ask for, either way from 0",
}


def overview(weights: Weights) -> Overview:
    """Return the whole transformer in a few numbers and names."""
    names = Names(weights)
    read = dict.fromkeys(
        names.values[d][0] if d in names.values else weights.directions[d]
        for d in sorted(set(weights.W_U.rows().tolist()))
    )
    return Overview(
        construction=weights.construction,
        target=weights.target,
        dtype=str(weights.W_E.values.dtype),
        bounds=tuple(
            Bound(name, getattr(weights.bounds, name), meaning) for name, meaning in BOUNDS.items()
        ),
        d_model=weights.d_model,
        d_mlp=weights.d_mlp,
        d_vocab=weights.d_vocab,
        parameters=weights.parameters,
        nonzeros=weights.nonzeros,
        embedded=tuple(r.feature.name for r in weights.readouts if r.layer < 0),
        layers=tuple(_layer(weights, names, number) for number in range(len(weights.layers))),
        decides=tuple(read),
        directions=weights.directions,
        tokens=tuple(token.name for token in weights.tokens),
    )


def layer(weights: Weights, number: int) -> LayerView:
    """Return a layer.

    Raises:
        NotFoundError: there is no such layer.
    """
    _check_layer(weights, number)
    names = Names(weights)
    return LayerView(_layer(weights, names, number), tuple(neurons(weights, names, number)))


def head(weights: Weights, layer: int, which: str | int) -> HeadView:
    """Return a head by its number in its layer or by its name.

    Raises:
        NotFoundError: there is no such layer or head.
    """
    labels = [head.name for head in _check_layer(weights, layer).heads]
    word = str(which)
    if word in labels:
        return heads.view(weights, Names(weights), layer, labels.index(word))
    if word.isdecimal() and int(word) < len(labels):
        return heads.view(weights, Names(weights), layer, int(word))
    every = [
        f"in layer {number}: {numbered([head.name for head in found.heads])}"
        for number, found in enumerate(weights.layers)
        if found.heads
    ]
    raise missing(
        f"layer {layer} has no head {word!r}", word, labels, "; ".join(every) or "no heads at all"
    )


def neuron(weights: Weights, layer: int, which: str | int) -> Neuron:
    """Return a neuron by its number, its label, or a part that only one label has.

    Raises:
        NotFoundError: there is no such layer; no neuron, or several, of that name.
    """
    labels = _check_layer(weights, layer).feed_forward.neurons
    word = str(which)
    if word.isdecimal() and int(word) < len(labels):
        return neurons(weights, Names(weights), layer)[int(word)]
    found = [i for i, label in enumerate(labels) if label == word]
    found = found or [i for i, label in enumerate(labels) if word in label]
    if len(found) == 1:
        return neurons(weights, Names(weights), layer)[found[0]]
    if found:
        raise NotFoundError(
            f"{word!r} is in the labels of {len(found)} neurons of layer {layer}: give a number\n"
            f"there are: {numbered(labels, found)}"
        )
    raise missing(f"layer {layer} has no neuron {word!r}", word, labels, numbered(labels))


def token(weights: Weights, which: str | int) -> TokenView:
    """Return a token by its name, else by its id; `#3` is always the id 3.

    Raises:
        NotFoundError: there is no such token.
    """
    ids, word = weights.ids(), str(which)
    if word not in ids:
        digits = word.removeprefix("#")
        if not digits.isdecimal() or int(digits) >= len(ids):
            raise missing(f"no token {word!r}", word, ids, numbered(list(ids)))
        word = weights.tokens[int(digits)].name
    found, names = ids[word], Names(weights)
    logits = columns(weights.W_U, weights.b_U)
    needed = names.all_needed(logits[found])
    constants = [logit.constant for logit in logits if not logit.weights]
    if needed is not None:
        all_of = " and ".join(shown(weights.directions[d]) for d in needed)
        top = number(sum(logits[found].weights.values()) + logits[found].constant)
        text = f"{top} where {all_of}, at most 0 elsewhere"
    elif logits[found].weights:
        text = "emitted where it is the greatest"
    elif logits[found].constant < max(constants):
        default = next(
            weights.tokens[i].name
            for i, logit in enumerate(logits)
            if not logit.weights and logit.constant == max(constants)
        )
        text = f"never emitted: the logit of {default} is always greater"
    else:
        text = "emitted where no other token's logit is greater"
    it = weights.tokens[found]
    return TokenView(
        id=found,
        name=it.name,
        role=it.role,
        outcome=it.outcome,
        embeds=tuple(Term(weights.directions[d], w) for d, w in weights.W_E.row(found)),
        logit=names.form(logits[found], len(weights.layers)),
        text=text,
    )


def _layer(weights: Weights, names: Names, number: int) -> LayerSummary:
    found = weights.layers[number]
    prefix = f"blocks.{number}."
    mine = [
        tensor
        for name, tensor in weights.tensors()
        if name.startswith(prefix) and not name.endswith(".snap")
    ]
    return LayerSummary(
        number=number,
        purpose=found.purpose,
        heads=tuple(heads.summary(weights, names, number, i) for i in range(len(found.heads))),
        neurons=len(found.feed_forward.neurons),
        parameters=sum(tensor.size for tensor in mine),
        nonzeros=sum(
            tensor.nonzeros if isinstance(tensor, Matrix) else int(np.count_nonzero(tensor))
            for tensor in mine
        ),
    )


def _check_layer(weights: Weights, number: int) -> Layer:
    if 0 <= number < len(weights.layers):
        return weights.layers[number]
    raise missing(
        f"no layer {number}", "", (), numbered([layer.purpose for layer in weights.layers])
    )
