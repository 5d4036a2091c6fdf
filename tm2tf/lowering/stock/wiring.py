"""A program of words as a wiring: what stock architectures share, before any of their constants.

All that a wiring computes with is truths: one direction of the residual stream for every word that
a feature can be (`state=B`) and for every flag, +1 where it is so and -1 where it is not, at every
position and after every layer. So the norm of the stream is the same everywhere, and a layer norm
is a known factor. A head looks up the latest position at which all of its `pairs` agree; a neuron
fires where all of its inputs hold; the next token is the one whose whole row holds.

The begin token, at position 0, agrees with every query, and is older than all others: what a
lookup finds where nothing was written. So defaults are what the begin token says.

`<pad>` and `<unk>` agree with every query twice over, and say nothing. An engine that attends to
padding, or a prompt with a word that is none, finds nothing, no row of the table matches, and the
run ends at once, where it might else go on with a wrong symbol.

A query without a word (a head that left its tape has no address) agrees nowhere, and then some
position is found that agrees in part. No run comes to that: it is over there.

Only what the next token depends on gets directions: numbers that a program reads off its words to
be looked at do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tm2tf.errors import TargetError
from tm2tf.lowering.begin import Begin, at_begin
from tm2tf.program.features import POSITION, Categorical
from tm2tf.program.operations import (
    SIGNS,
    Affine,
    Latest,
    Operation,
    Sign,
    Table,
    reads,
    writes,
)
from tm2tf.program.program import Program, Token

ONE, BEGIN, VOID = range(3)
"""The directions that every wiring has: always +1; +1 at position 0; +1 at `<pad>` and `<unk>`."""

PAD, UNKNOWN = "<pad>", "<unk>"
"""Tokens that the program does not have, last in the vocabulary."""

ANY = "any"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A head: the latest position at which all of `agree` queries find their key.

    Attributes:
        name: the feature it brings, or the first of them.
        pairs: direction of a query (None: always) with that of the key it has to find.
        agree: how many pairs do at a position that is looked for.
        at_begin: keys that the begin token does not have, and is taken to have all the same.
        moves: direction of a value with the one it is brought to.
        defaults: what the begin token is taken to say besides (+1), or not to say (-1).
        until: (a head without pairs) the begin token is found while fewer tokens than this
            follow it, then the latest one.
    """

    name: str
    pairs: tuple[tuple[int | None, int], ...]
    agree: int
    at_begin: tuple[int, ...]
    moves: tuple[tuple[int, int], ...]
    defaults: tuple[tuple[int, int], ...]
    until: int | None = None

    @property
    def destinations(self) -> tuple[int, ...]:
        """The directions it may set, in order."""
        return tuple(
            dict.fromkeys([*(to for _, to in self.moves), *(to for to, _ in self.defaults)])
        )


@dataclass(frozen=True, slots=True)
class Conjunction:
    """A neuron: where all of `inputs` are +1, `outputs` become +1."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WiredLayer:
    """Lookups, then conjunctions."""

    lookups: tuple[Lookup, ...]
    conjunctions: tuple[Conjunction, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """What a program becomes on architectures that have nothing but words.

    Attributes:
        directions: the name of each direction, such as `state=B`.
        features: for each feature, the direction of each of its words (a flag's is `1`).
        ready: after which layer a feature is there (-1: embedded).
        tokens: the vocabulary, with `<pad>` and `<unk>` at the end.
        embedding: the directions that are +1 for each token, besides `ONE`.
        layers: what follows.
        rows: for each token that can come next, the directions that must all be +1.
        default: the token that comes next where no row holds.
    """

    directions: tuple[str, ...]
    features: dict[str, dict[str, int]]
    ready: dict[str, int]
    tokens: tuple[Token, ...]
    embedding: tuple[tuple[int, ...], ...]
    layers: tuple[WiredLayer, ...]
    rows: dict[int, tuple[int, ...]]
    default: int

    @property
    def agree(self) -> int:
        """The most pairs that any lookup's position has to agree in."""
        return max((head.agree for layer in self.layers for head in layer.lookups), default=1)

    def ids(self) -> dict[str, int]:
        """Return the id of each token by name."""
        return {token.name: number for number, token in enumerate(self.tokens)}


def wire(program: Program, target: str) -> Wiring:
    """Return the wiring of a program.

    Raises:
        TargetError: the program computes with something else than words and flags.
    """
    if program.loop:
        raise TargetError(f"target {target!r} writes tokens one by one; this program is looped")
    return _Wirer(program, target).wiring()


@dataclass
class _Wirer:
    """What is known of a program while it is wired."""

    program: Program
    target: str
    names: list[str] = field(default_factory=lambda: ["one", "begin", "void"])
    features: dict[str, dict[str, int]] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)

    def wiring(self) -> Wiring:
        program = self.program
        needed = _needed(program)
        made = {
            name: number
            for number, layer in enumerate(program.layers)
            for op in (*layer.attention, *layer.feed_forward)
            for name in writes(op)
        }
        flags = {f.name for f in program.features if f.name in needed and self._is_flag(f.name)}
        for feature in program.features:
            if feature.name in needed and feature.name != POSITION:
                self._allocate(feature.name, feature.name in flags, made.get(feature.name, -1))
        begin = at_begin(program, BEGIN)
        layers = [
            self._layer(layer.attention + layer.feed_forward, begin, needed)
            for layer in program.layers
        ]
        # a layer that only prepared what positions say has nothing left to do
        kept = [i for i, layer in enumerate(layers) if layer.lookups or layer.conjunctions]
        places = {-1: -1} | {old: new for new, old in enumerate(kept)}
        self.ready = {name: places[layer] for name, layer in self.ready.items()}
        tokens = (*program.tokens, Token(PAD, "prompt", {}), Token(UNKNOWN, "prompt", {}))
        ids = {token.name: number for number, token in enumerate(tokens)}
        asked = program.unembed.features
        rows = {
            ids[name]: tuple(
                self.features[feature][word]
                for feature, word in zip(asked, row, strict=True)
                if word is not None
            )
            for name, row in program.unembed.rows.items()
        }
        return Wiring(
            directions=tuple(self.names),
            features=self.features,
            ready=self.ready,
            tokens=tokens,
            embedding=tuple(self._embedded(token) for token in tokens),
            layers=tuple(layers[i] for i in kept),
            rows=rows,
            default=ids[program.unembed.default],
        )

    def _is_flag(self, name: str) -> bool:
        feature = next(f for f in self.program.features if f.name == name)
        if isinstance(feature, Categorical) or name == POSITION:
            return False
        if getattr(feature, "is_flag", False):
            return True
        raise TargetError(
            f"target {self.target!r} computes with words alone, and {name!r} is a number that the "
            "next token depends on; constructions that it can take: addressed, summarised-addressed"
        )

    def _allocate(self, name: str, flag: bool, ready: int) -> None:
        feature = next(f for f in self.program.features if f.name == name)
        words = ("1",) if flag else getattr(feature, "values", ())
        start = len(self.names)
        self.features[name] = {word: start + i for i, word in enumerate(words)}
        self.names += [name] if flag else [f"{name}={word}" for word in words]
        self.ready[name] = ready

    def _embedded(self, token: Token) -> tuple[int, ...]:
        if token.name in (PAD, UNKNOWN):
            return (VOID,)
        found = [BEGIN] if token.role == "begin" else []
        for name, value in token.values.items():
            places = self.features.get(name, {})
            if str(value) in places:
                found.append(places[str(value)])
        return tuple(found)

    def _layer(
        self, operations: tuple[Operation, ...], begin: Begin, needed: frozenset[str]
    ) -> WiredLayer:
        lookups: list[Lookup] = []
        neurons: list[Conjunction] = []
        for op in operations:
            if not needed.intersection(writes(op)):
                continue
            match op:
                case Latest():
                    lookups.append(self._lookup(op, begin))
                case Sign():
                    lookups.append(self._threshold(op))
                case Table():
                    neurons += self._conjunctions(op)
                case Affine():  # of the position, for a sign
                    continue
                case _:
                    raise TargetError(
                        f"target {self.target!r} cannot express {type(op).__name__}; "
                        "constructions that it can take: addressed, summarised-addressed"
                    )
        return WiredLayer(tuple(lookups), tuple(neurons))

    def _lookup(self, op: Latest, begin: Begin) -> Lookup:
        pairs: list[tuple[int | None, int]] = []
        absent: list[int] = []
        for query, key in zip(op.query, op.key, strict=True):
            for word, direction in self.features[key].items():
                if word not in self.features[query]:
                    continue  # never asked for
                pairs.append((self.features[query][word], direction))
                if begin.words[key] != word:
                    absent.append(direction)
        agree = len(op.key)
        if not self._flag_is_idle(op):
            flag = self.features[op.where]["1"]
            pairs.append((None, flag))
            agree += 1
            if not begin.numbers[op.where]:
                absent.append(flag)
        moves: list[tuple[int, int]] = []
        defaults: list[tuple[int, int]] = []
        for number, (out, value) in enumerate(zip(op.outs, op.values, strict=True)):
            if out not in self.features:
                continue
            to = self.features[out]
            moves += [(self.features[value][word], place) for word, place in to.items()]
            default = str(op.defaults[number]) if op.defaults else None
            known = begin.words[value]
            if default != known:
                defaults += [(to[default], 1)] if default else []
                defaults += [(to[known], -1)] if known else []
        return Lookup(op.name, tuple(pairs), agree, tuple(absent), tuple(moves), tuple(defaults))

    def _flag_is_idle(self, op: Latest) -> bool:
        """Return whether no token without the flag could have all of the key anyway."""
        embedded = all(self.ready[name] < 0 for name in (*op.key, op.where))
        return embedded and all(
            token.values.get(op.where) == 1 or any(name not in token.values for name in op.key)
            for token in self.program.tokens
            if token.role != "begin"
        )

    def _threshold(self, op: Sign) -> Lookup:
        """Return the head for the sign of a form of the position that is never zero."""
        layers = self.program.layers
        affine = {o.out: o for la in layers for o in la.feed_forward if isinstance(o, Affine)}
        form = affine.get(op.value)
        if form is None or len(form.terms) != 1 or form.terms[0][1] != POSITION:
            raise TargetError(
                f"target {self.target!r} has signs only of forms of the position alone, and "
                f"{op.value!r} is none"
            )
        slope, offset = form.terms[0][0], form.constant
        if slope <= 0 or offset % slope == 0:
            raise TargetError(
                f"target {self.target!r} has signs only of forms that rise with the position and "
                f"are never 0, and {op.value!r} is not so"
            )
        negative, _, positive = SIGNS
        to = self.features[op.out]
        last = -offset // slope  # slope * position + offset < 0 up to this position, from 1
        return Lookup(
            name=op.out,
            pairs=(),
            agree=0,
            at_begin=(),
            moves=((ONE, to[positive]),),
            defaults=((to[positive], -1), (to[negative], 1)),
            until=last,
        )

    def _conjunctions(self, op: Table) -> list[Conjunction]:
        found = []
        for row in op.rows:
            asked = [
                self.features[name][word]
                for name, word in zip(op.inputs, row.inputs, strict=True)
                if word is not None
            ]
            gives = tuple(
                self.features[name][word]
                for name, word in zip(op.outputs, row.outputs, strict=True)
                if name in self.features
            )
            shown = ", ".join(ANY if word is None else word for word in row.inputs)
            name = f"{op.name}: {shown} -> {', '.join(row.outputs)}"
            found.append(Conjunction(name, tuple(dict.fromkeys(asked)), gives))
        return found


def _needed(program: Program) -> frozenset[str]:
    """Return the features that the next token depends on."""
    operations = [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]
    needed = set(program.unembed.features)
    for op in reversed(operations):
        if not needed.intersection(writes(op)):
            continue
        if isinstance(op, Latest):
            pairs = zip(op.outs, op.values, strict=True)
            needed |= {value for out, value in pairs if out in needed}
            needed |= {*op.key, *op.query, op.where}
        elif not isinstance(op, Sign):  # the position says it
            needed |= set(reads(op))
    return frozenset(needed)
