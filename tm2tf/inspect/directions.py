"""One residual direction: what it means, who writes it, who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tm2tf.errors import NotFoundError
from tm2tf.inspect.forms import BEGIN, Names, columns, number
from tm2tf.inspect.lookup import missing, numbered
from tm2tf.program.features import Distribution
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Weights


@dataclass(frozen=True, slots=True)
class Link:
    """Something that writes or reads a direction, by the weight of `tensor`.

    `part` is the token, the neuron's label, the head's name with one of its coordinates, or for
    W_loop the direction that it writes or reads in the other pass.
    """

    tensor: str
    part: str
    index: int | None
    weight: float


@dataclass(frozen=True, slots=True)
class DirectionView:
    """A residual direction. `meaning` is what the readouts say; None if no feature is there."""

    index: int
    name: str
    meaning: str | None
    writers: tuple[Link, ...]
    readers: tuple[Link, ...]


def direction(weights: Weights, which: str | int) -> DirectionView:
    """Return a residual direction by its name, else by its index.

    Raises:
        NotFoundError: there is no such direction.
    """
    known, word = weights.directions, str(which)
    if word in known:
        index = known.index(word)
    elif word.isdecimal() and int(word) < len(known):
        index = int(word)
    else:
        raise _no_direction(weights, word)
    return DirectionView(
        index=index,
        name=known[index],
        meaning=_meaning(weights, index),
        writers=tuple(_writers(weights, index)),
        readers=tuple(_readers(weights, index)),
    )


def read_by(weights: Weights) -> dict[str, tuple[str, ...]]:
    """Return what reads each feature, in processing order: `head 2.0`, `layer 1` (its neurons).

    `logits` is the unembedding, `next pass` the loop. A feature that is a sum of directions is read
    where all of them are read together.
    """
    parts: list[tuple[str, tuple[Matrix, ...]]] = []
    for layer, found in enumerate(weights.layers):
        for i, head in enumerate(found.heads):
            parts.append((f"head {layer}.{i}", (head.W_Q, head.W_K, head.W_V)))
        mlp = found.feed_forward
        parts.append((f"layer {layer}", (mlp.W_gate, mlp.W_in)))
    parts.append(("logits", (weights.W_U,)))
    if weights.W_loop is not None:
        parts.append(("next pass", (weights.W_loop,)))
    readers: dict[str, list[str]] = {readout.feature.name: [] for readout in weights.readouts}
    for name, matrices in parts:
        together = [set(column.weights) for matrix in matrices for column in columns(matrix)]
        each = set[int]().union(*together)
        for readout in weights.readouts:
            words = {d for _, d in readout.values}
            terms = {d for _, d in readout.terms}
            if words & each or (terms and any(terms <= read for read in together)):
                readers[readout.feature.name].append(name)
    return {feature: tuple(names) for feature, names in readers.items()}


def _no_direction(weights: Weights, word: str) -> NotFoundError:
    """Return the error for an unknown direction; a feature's name gets its directions."""
    for readout in weights.readouts:
        if readout.feature.name == word:
            held = [d for _, d in (*readout.values, *readout.terms)]
            listing = numbered(weights.directions, held)
            return NotFoundError(
                f"{word!r} is a feature; the directions that hold it are {listing}"
            )
    return missing(f"no direction {word!r}", word, weights.directions, numbered(weights.directions))


def _meaning(weights: Weights, index: int) -> str | None:
    meanings = ["1 at the first token alone"] if weights.directions[index] == BEGIN else []
    constant = Names(weights).constants.get(index)
    meanings += [] if constant is None else [f"{number(constant)} at every position"]
    first = "embedding" if weights.W_loop is None else "beginning of a pass"
    for readout in weights.readouts:
        since = first if readout.layer < 0 else f"end of layer {readout.layer}"
        ready = f"from the {since} on"
        for value, place in readout.values:
            if place == index:
                name, shared = readout.feature.name, isinstance(readout.feature, Distribution)
                held = f"the share of {value} in {name}" if shared else f"1 where {name} is {value}"
                meanings.append(f"{held} ({ready})")
        for coefficient, place in readout.terms:
            if place == index and len(readout.terms) == 1 and coefficient == 1:
                meanings.append(f"the integer {readout.feature.name} ({ready})")
            elif place == index:
                meanings.append(f"counts {coefficient:+g} in {readout.feature.name} ({ready})")
    return "; ".join(meanings) or None


def _held(matrix: Matrix, axis: int, index: int) -> list[tuple[int, float]]:
    """Return a row (axis 0) or column (axis 1) as (place on the other axis, value) pairs."""
    if axis == 0:
        return matrix.row(index)
    mine = matrix.columns == index
    pairs = zip(matrix.rows()[mine].tolist(), matrix.values[mine].tolist(), strict=True)
    return list(pairs)


def _writers(weights: Weights, index: int) -> Iterator[Link]:
    for i, weight in _held(weights.W_E, 1, index):
        yield Link("W_E", weights.tokens[i].name, i, weight)
    if weights.W_pos[index]:
        yield Link("W_pos", "position", None, float(weights.W_pos[index]))
    if weights.W_positions is not None:
        for i, weight in _held(weights.W_positions, 1, index):
            yield Link("W_positions", f"position={i + 1}", i, weight)
    if weights.W_loop is not None and weights.W_fixed is not None:
        for i, weight in _held(weights.W_fixed, 1, index):
            yield Link("W_fixed", weights.tokens[i].name, i, weight)
        for i, weight in _held(weights.W_loop, 1, index):
            yield Link("W_loop", weights.directions[i], i, weight)
    for layer, found in enumerate(weights.layers):
        for i, head in enumerate(found.heads):
            for v, weight in _held(head.W_O, 1, index):
                yield Link(f"blocks.{layer}.attn.{i}.W_O", f"{head.name} v[{v}]", v, weight)
        mlp = found.feed_forward
        for i, weight in _held(mlp.W_out, 1, index):
            yield Link(f"blocks.{layer}.mlp.W_out", mlp.neurons[i], i, weight)


def _readers(weights: Weights, index: int) -> Iterator[Link]:
    for layer, found in enumerate(weights.layers):
        for i, head in enumerate(found.heads):
            for letter in "QKV":
                matrix: Matrix = getattr(head, f"W_{letter}")
                for j, weight in _held(matrix, 0, index):
                    part = f"{head.name} {letter.lower()}[{j}]"
                    yield Link(f"blocks.{layer}.attn.{i}.W_{letter}", part, j, weight)
        mlp = found.feed_forward
        for name, matrix in (("W_gate", mlp.W_gate), ("W_in", mlp.W_in)):
            for i, weight in _held(matrix, 0, index):
                yield Link(f"blocks.{layer}.mlp.{name}", mlp.neurons[i], i, weight)
    for i, weight in _held(weights.W_U, 0, index):
        yield Link("W_U", weights.tokens[i].name, i, weight)
    if weights.W_loop is not None:
        for i, weight in _held(weights.W_loop, 0, index):
            yield Link("W_loop", weights.directions[i], i, weight)
