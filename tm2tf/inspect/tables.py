"""The views of weights at rest: overview, layer, head, neuron, token.

Pure functions from weights to frozen dataclasses, which `forms.to_json` turns into JSON. What is
asked for by a name that does not exist is a NotFoundError that says what exists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tm2tf.errors import NotFoundError
from tm2tf.inspect import heads
from tm2tf.inspect.forms import Form, Names, Term, columns, number, parts_of_sums, shown, sums
from tm2tf.inspect.heads import HeadSummary, HeadView
from tm2tf.inspect.lookup import missing, numbered
from tm2tf.inspect.matching import Lookups
from tm2tf.inspect.neurons import Neuron, neurons
from tm2tf.runtime.memory import PARABOLA
from tm2tf.runtime.runner import DTYPES
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Layer, Weights


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A layer in a line. `makes` are the features that it makes ready, `purpose` is its label."""

    number: int
    purpose: str
    makes: tuple[str, ...]
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

    Attributes:
        options: what the construction was asked for.
        bits: the significant bits that a floating-point format must have; `formats` have them.
        roles: how many tokens there are of each role.
        embedded: the features ready before layer 0.
        carries: what is moved from the end of a pass to the beginning of the next, if looped.
        decides: the features that the unembedding reads.
    """

    construction: str
    options: Mapping[str, int]
    target: str
    looped: bool
    dtype: str
    bits: int
    formats: tuple[str, ...]
    bounds: tuple[Bound, ...]
    d_model: int
    d_mlp: int
    d_vocab: int
    parameters: int
    nonzeros: int
    roles: Mapping[str, int]
    embedded: tuple[str, ...]
    layers: tuple[LayerSummary, ...]
    carries: tuple[str, ...]
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
    """A token: the directions that it embeds, and its logit; `text` says what that amounts to.

    If the weights are `looped`, it embeds that before the first pass, and before each later one
    adds what is `fixed`.
    """

    id: int
    name: str
    role: str
    outcome: str | None
    looped: bool
    embeds: tuple[Term, ...]
    fixed: tuple[Term, ...]
    logit: Form
    text: str


def overview(weights: Weights) -> Overview:
    """Return the whole transformer in a few numbers and names."""
    lookups = Lookups(weights, Names(weights))
    read = dict.fromkeys(
        lookups.names.values[d][0] if d in lookups.names.values else weights.directions[d]
        for d in sorted(set(weights.W_U.rows().tolist()))
    )
    layers = tuple(_layer(lookups, number) for number in range(len(weights.layers)))
    return Overview(
        construction=weights.construction,
        options=weights.options,
        target=weights.target,
        looped=weights.W_loop is not None,
        dtype=str(weights.W_E.values.dtype),
        bits=weights.bounds.bits,
        formats=tuple(name for name, bits in DTYPES.items() if bits >= weights.bounds.bits),
        bounds=tuple(_bounds(weights)),
        d_model=weights.d_model,
        d_mlp=max((layer.neurons for layer in layers), default=0),
        d_vocab=weights.d_vocab,
        parameters=weights.parameters,
        nonzeros=weights.nonzeros,
        roles=Counter(token.role for token in weights.tokens),
        embedded=_makes(weights, -1) or _embedded(lookups.names, weights),
        layers=layers,
        carries=_carries(lookups.names, weights),
        decides=tuple(read),
        directions=weights.directions,
        tokens=tuple(token.name for token in weights.tokens),
    )


def _bounds(weights: Weights) -> Iterator[Bound]:
    what = "tokens of context, prompt included" if weights.W_loop is None else "positions"
    yield Bound("position", weights.bounds.position, what)
    heads = (head for layer in weights.layers for head in layer.heads)
    if any(head.kind in ("latest", "mean") and len(head.b_Q) == PARABOLA for head in heads):
        meaning = "addresses that lookups ask for, either way from 0"
        yield Bound("key", weights.bounds.key, meaning)


def _makes(weights: Weights, layer: int) -> tuple[str, ...]:
    """Return the features that a layer (-1: the embedding) makes ready.

    Sums of directions are ready where the last of these is; those that are a part of another such
    sum are left out.
    """
    written = dict.fromkeys(range(weights.d_model), -1)
    for at, found in enumerate(weights.layers):
        for matrix in (*(head.W_O for head in found.heads), found.feed_forward.W_out):
            written |= dict.fromkeys(matrix.columns.tolist(), at)
    known = sums(weights)
    ready = {readout.feature.name: readout.layer for readout in weights.readouts}
    ready |= {name: max(written[d] for _, d in terms) for name, terms in known.items()}
    parts = parts_of_sums(known)
    return tuple(name for name, at in ready.items() if at == layer and name not in parts)


def _embedded(names: Names, weights: Weights) -> tuple[str, ...]:
    """Return what embeddings write, where no feature is read there: values in between, by name."""
    tables = [matrix for matrix in (weights.W_E, weights.W_positions) if matrix is not None]
    written = sorted({direction for matrix in tables for direction in matrix.columns.tolist()})
    labels = (names.values.get(d, (weights.directions[d], ""))[0] for d in written)
    return tuple(dict.fromkeys(labels))


def _carries(names: Names, weights: Weights) -> tuple[str, ...]:
    """Return what looped weights move to the next pass, in words."""
    if weights.W_loop is None:
        return ()
    rows, columns = weights.W_loop.rows().tolist(), weights.W_loop.columns.tolist()
    entries = dict(
        zip(zip(rows, columns, strict=True), weights.W_loop.values.tolist(), strict=True)
    )
    return heads.moved(names, entries, len(weights.layers))


def _row(weights: Weights, matrix: Matrix | None, number: int) -> tuple[Term, ...]:
    """Return what a token adds to directions by a matrix."""
    row = [] if matrix is None else matrix.row(number)
    return tuple(Term(weights.directions[d], weight) for d, weight in row)


def layer(weights: Weights, number: int) -> LayerView:
    """Return a layer.

    Raises:
        NotFoundError: there is no such layer.
    """
    _check_layer(weights, number)
    names = Names(weights)
    summary = _layer(Lookups(weights, names), number)
    return LayerView(summary, tuple(neurons(weights, names, number)))


def head(weights: Weights, layer: int, which: str | int) -> HeadView:
    """Return a head by its number in its layer or by its name.

    Raises:
        NotFoundError: there is no such layer or head.
    """
    labels = [head.name for head in _check_layer(weights, layer).heads]
    word = str(which)
    if word in labels:
        return heads.view(weights, layer, labels.index(word))
    if word.isdecimal() and int(word) < len(labels):
        return heads.view(weights, layer, int(word))
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
    needed, weighed = names.all_needed(logits[found]), logits[found].weights
    constants = [logit.constant for logit in logits if not logit.weights]
    if needed is not None:
        all_of = " and ".join(shown(weights.directions[d]) for d in needed)
        top = number(sum(logits[found].weights.values()) + logits[found].constant)
        text = f"{top} where {all_of}, at most 0 elsewhere"
    elif weights.emits_probabilities and weighed:
        word, of = (names.values[next(iter(weighed))][place] for place in (1, 0))
        text = f"its probability: the share of {shown(word)} in {shown(of)}"
    elif weighed:
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
        looped=weights.W_loop is not None,
        embeds=_row(weights, weights.W_E, found),
        fixed=_row(weights, weights.W_fixed, found),
        logit=names.form(logits[found], len(weights.layers)),
        text=text,
    )


def _layer(lookups: Lookups, number: int) -> LayerSummary:
    weights = lookups.weights
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
        makes=_makes(weights, number),
        heads=tuple(heads.summary(lookups, number, i) for i in range(len(found.heads))),
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
