"""What a head attends to, in words, where its tensors have the form of a lookup.

Two forms of "latest" and "mean" heads are known, both of `lowering.hard`. On a parabola,

    q = (2p, 1, p^2),  k = (w, -w^2 + begin/2 + f - 1, 1 - f),

where earlier layers make w = key and w^2 where the flag f is 1, and 0 elsewhere: the position with
f = 1 and key = p wins. By words, for D features compared,

    q = (directions of the query's words, 1),
    k = (directions of the key's words, f + (D + 1/2) begin)

(D = 0: q = (1)), where k at the begin token is 0 but for the D + 1/2: a position with f = 1 and
all words alike has D + 1 and wins. Where none wins, either form attends to the begin token.

Whether a head has a form is read from the tensors. That directions hold words, and flags, is what
the labels say; names alone prove nothing, and no name of a head is looked at.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Float64

from tm2tf.inspect.forms import Linear, Names, columns, shown
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head, Weights

ONE_FORM, NEVER = Linear({}, 1.0), Linear({}, 0.0)
OTHERWISE = "the greatest q . k"
ALWAYS = {"uniform": "every position, equally", "softmax": "softmax of q . k / sqrt(d_head)"}
"""What heads of these kinds attend to, whatever their tensors hold."""


class Lookups:
    """Says what the heads of some weights attend to.

    In looped weights the begin token is looked at in the first pass; what other positions bring
    there is not known, and a head whose keys depend on it is not taken for a lookup.

    Attributes:
        weights: the weights; `names`: what their directions are called.
    """

    def __init__(self, weights: Weights, names: Names) -> None:
        self.weights, self.names = weights, names
        self._looped = weights.W_loop is not None
        self._at_begin = _begin_streams(weights) if self._begins() else None

    def attends(self, layer: int, head: Head) -> str:
        """Return what a head attends to; `OTHERWISE` for scores of no known form."""
        if head.kind in ALWAYS:
            return ALWAYS[head.kind]
        if head.kind == "relative":
            return _distance(head.offset)
        query, key = columns(head.W_Q, head.b_Q), columns(head.W_K, head.b_K)
        which = "all" if head.kind == "mean" else "the last" if self._looped else "the latest"
        found = self._parabola(layer, query, key) or self._words(layer, query, key, which)
        return found or OTHERWISE

    def _begins(self) -> bool:
        """Return whether a direction is 1 at the begin token, and nothing else ever writes it."""
        begin, weights = self.names.begin, self.weights
        if begin is None or weights.W_pos[begin]:
            return False
        first = [i for i, token in enumerate(weights.tokens) if token.role == "begin"]
        others = [head.W_O for layer in weights.layers for head in layer.heads]
        others += [layer.feed_forward.W_out for layer in weights.layers]
        others += [m for m in (weights.W_loop, weights.W_positions) if m is not None]
        embeds = [matrix for matrix in (weights.W_E, weights.W_fixed) if matrix is not None]
        return (
            len(first) == 1
            and all(_column(matrix, begin) == {first[0]: 1.0} for matrix in embeds)
            and not any((other.columns == begin).any() for other in others)
        )

    def _parabola(self, layer: int, query: list[Linear], key: list[Linear]) -> str | None:
        """Return what a lookup by address looks for, None if it is none."""
        begin, weights = self.names.begin, self.weights
        if len(query) != 3 or begin is None:
            return None
        p2, w = _single(query[2]), _single(key[0])
        made = None if p2 is None or w is None else _gated(weights, w, key[2], layer)
        if p2 is None or made is None:
            return None
        p, flag = query[0] * 0.5, ONE_FORM - key[2]
        address, gates = made
        base = Linear({begin: 0.5}) - key[2]
        squares = [
            d
            for d in key[1].weights
            if key[1] == base - Linear({d: 1.0})
            and _written_by(weights, d, layer)
            == [(gates[0], address, 1.0), (gates[1], address * -1.0, 1.0)]
        ]
        fits = (
            query[1] == ONE_FORM
            and _written_by(weights, p2, layer) == [(p, p, 1.0), (p * -1.0, p * -1.0, 1.0)]
            and len(squares) == 1
        )
        if not fits:
            return None
        asked, held = (self.names.form(form, layer).text for form in (p, address))
        return f"{held} there = {asked} here" + self._if(layer, flag.without(begin))

    def _words(self, layer: int, query: list[Linear], key: list[Linear], which: str) -> str | None:
        """Return what a lookup by words looks for, None if it is none; `which` without words."""
        begin = self.names.begin
        if self._at_begin is None or begin is None or not query or query[-1] != ONE_FORM:
            return None
        flag = key[-1].without(begin)
        compared = self._compared(query[:-1], [form.without(begin) for form in key[:-1]])
        if compared is None or flag == NEVER or not self.names.is_flag(flag):
            return None
        x = self._at_begin[layer]
        floor = [0.0] * (len(key) - 1) + [len(compared) + 0.5]
        if [form.at(x) for form in key] != floor:
            return None
        if compared:
            there, here = (", ".join(map(shown, names)) for names in zip(*compared, strict=True))
            return f"{there} there = {here} here" + self._if(layer, flag)
        condition = self.names.form(flag, layer).text
        return f"{which} with {condition}" if flag.weights else f"{which} of all"

    def _if(self, layer: int, flag: Linear) -> str:
        """Return the condition that a flag sets, nothing if it is 1 everywhere."""
        return f", if {self.names.form(flag, layer).text} there" if flag != ONE_FORM else ""

    def _compared(self, query: list[Linear], key: list[Linear]) -> list[tuple[str, str]] | None:
        """Return which feature there is compared with which one here, once for each time.

        None if it is not each word of the one with the same word of the other.
        """
        found: Counter[tuple[str, str, str]] = Counter()
        for asked, held in zip(map(_single, query), map(_single, key), strict=True):
            values = self.names.values
            if asked is None or held is None or not {asked, held} <= values.keys():
                return None
            (here, word), (there, same) = values[asked], values[held]
            if word != same or {here, there} & self.names.shares:
                return None
            found[there, here, word] += 1
        compared: list[tuple[str, str]] = []
        for there, here in dict.fromkeys(pair[:2] for pair in found):
            words = self.names.words[there]
            times = {found[there, here, word] for word in words}
            if len(times) != 1 or set(words) != set(self.names.words[here]):
                return None
            compared += [(there, here)] * times.pop()
        return compared


def _distance(offset: int) -> str:
    """Return what a "relative" head attends to."""
    if offset < 0:
        return f"{-offset} further on, or the last position"
    return f"{offset} back, or the first position" if offset else "the same position"


def _begin_streams(weights: Weights) -> list[Float64[np.ndarray, " d_model"]]:
    """Return what the first position holds before each layer; it is the same in every run.

    The first position of a decoder sees nothing but itself, so every head brings its own value.
    In a looped model, what heads bring counts as no number.
    """
    first = next(i for i, token in enumerate(weights.tokens) if token.role == "begin")
    x = weights.W_pos.copy()
    table = weights.W_positions
    for direction, weight in (*weights.W_E.row(first), *(() if table is None else table.row(0))):
        x[direction] += weight
    streams = []
    for layer in weights.layers:
        streams.append(x)
        added = np.zeros_like(x)
        for head in layer.heads:
            if weights.W_loop is None:
                added += _times(_times(x, head.W_V), head.W_O)
            else:
                added[head.W_O.columns] = np.nan
        x = x + added
        mlp = layer.feed_forward
        values = np.maximum(_times(x, mlp.W_gate) + mlp.b_gate, 0)
        values = values * (_times(x, mlp.W_in) + mlp.b_in)
        x = x + _times(np.where(mlp.snap, np.rint(values), values), mlp.W_out)
    return streams


def _times(x: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Return x W, of stored values alone: what is no number stays where it is read."""
    out = np.zeros(matrix.shape[1])
    np.add.at(out, matrix.columns, x[matrix.rows()] * matrix.values)
    return out


def _column(matrix: Matrix, number: int) -> dict[int, float]:
    mine = matrix.columns == number
    return dict(zip(matrix.rows()[mine].tolist(), matrix.values[mine].tolist(), strict=True))


def _single(linear: Linear) -> int | None:
    """Return the direction that a form is, if it is one."""
    direction = next(iter(linear.weights), None)
    return direction if direction is not None and linear == Linear({direction: 1.0}) else None


Written = list[tuple[Linear, Linear, float]]
"""The neurons that write one direction: gate, inner form, weight."""


def _written_by(weights: Weights, direction: int, layer: int) -> Written:
    """Return the neurons below a layer that write a direction; none if something else does too."""
    found: Written = []
    others = [weights.W_E, *(head.W_O for below in weights.layers[:layer] for head in below.heads)]
    if weights.W_pos[direction] or any((other.columns == direction).any() for other in others):
        return found
    for below in weights.layers[:layer]:
        mlp = below.feed_forward
        entries = mlp.W_out.columns == direction
        if entries.any():
            gate, inner = columns(mlp.W_gate, mlp.b_gate), columns(mlp.W_in, mlp.b_in)
            rows, values = mlp.W_out.rows()[entries], mlp.W_out.values[entries]
            found += [(gate[i], inner[i], float(w)) for i, w in zip(rows, values, strict=True)]
    return found


def _gated(
    weights: Weights, direction: int, absent: Linear, layer: int
) -> tuple[Linear, tuple[Linear, Linear]] | None:
    """Return (w, gates) if a direction is made to hold w where `absent` is 0, and 0 where it is 1.

    That is by two neurons, relu(w - C absent) less relu(-w - C absent), with a C above any w.
    """
    made = _written_by(weights, direction, layer)
    if [(inner, weight) for _, inner, weight in made] != [(ONE_FORM, 1.0), (ONE_FORM, -1.0)]:
        return None
    gates = made[0][0], made[1][0]
    held, shut = (gates[0] - gates[1]) * 0.5, (gates[0] + gates[1]) * -0.5
    largest = max([abs(absent.constant), *map(abs, absent.weights.values())])
    closed = max([abs(shut.constant), *map(abs, shut.weights.values())]) / (largest or 1.0)
    if shut != absent * closed or (absent != Linear({}) and closed <= weights.bounds.key):
        return None
    return held, gates
