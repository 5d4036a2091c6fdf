"""Hypothesis strategies: random legal programs, and token sequences for them."""

import random
from itertools import product

from hypothesis import strategies as st

from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Product, Relative, Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed

LENGTH = 30
"""The longest sequence."""
LARGEST_KEY, LARGEST = 2**12, 2**40
"""What keys and queries, and all integers, stay within on a sequence that long."""

WIDE = 70
"""Values of a large categorical: two take the kernel past `SMALL`, a table of one past `FEW`."""

NAMES = st.integers(0, 999).map("n{}".format)
ODD_NAMES = st.one_of(
    st.sampled_from([" ", "a b", '"', "'", "\\", "#", "a#", "=", "x=1", "->", "a->b", ":", "a:"]),
    st.sampled_from(["one", "layer", "tokens", "default", "table", "token", "when", "unembedding"]),
    st.sampled_from(["1", "+1", "1..", "-", "é", "語", "🙂", "\t", "\n", "\u2028", "\x85", "\x00"]),
    st.text(min_size=1, max_size=4),
)


def is_flag(feature):
    return isinstance(feature, Integer) and feature.is_flag


class Draft:
    """A program being drawn. `bound` holds, for each integer, what it cannot exceed."""

    def __init__(self, draw, names):
        self.draw, self.names = draw, names
        self.taken = {POSITION}
        self.features = [Integer(POSITION, low=1)]
        self.bound = {POSITION: LENGTH}
        wide = [f"w{i}" for i in range(WIDE)]
        second = self.draw(st.sampled_from([None, wide])) or self.several(names, 1, 3)
        self.alphabets = [self.several(names, 1, 3), second]

    def several(self, words, least, most):
        return self.draw(st.lists(words, min_size=least, max_size=most, unique=True))

    def name(self):
        name = self.draw(self.names.filter(lambda name: name not in self.taken))
        self.taken.add(name)
        return name

    def categorical(self, values=None):
        values = self.draw(st.sampled_from(self.alphabets)) if values is None else values
        self.features.append(Categorical(self.name(), tuple(values)))
        return self.features[-1].name

    def integer(self, bound, flag=False):
        ends = (0, 1) if flag else self.draw(st.sampled_from([(None, None), (-bound, bound)]))
        self.features.append(Integer(self.name(), *ends))
        self.bound[self.features[-1].name] = bound
        return self.features[-1].name

    def some(self, kind, among, within=LARGEST):
        """Draw one of the features of a kind: "flag", "integer" (small ones more often), "word"."""
        found = [f for f in self.features if f.name in among]
        if kind == "word":
            return self.draw(st.sampled_from([f for f in found if isinstance(f, Categorical)]))
        numbers = [f for f in found if isinstance(f, Integer) and self.bound[f.name] <= within]
        if kind == "flag":
            return self.draw(st.sampled_from([f.name for f in numbers if is_flag(f)]))
        small = [f for f in numbers if self.bound[f.name] <= 3]
        return self.draw(st.sampled_from(small) | st.sampled_from(numbers)).name

    def tokens(self, embedded):
        word = self.names.map(lambda name: "".join(name.split())).filter(bool)
        begin, *names = self.several(word, 6, 10)
        flags = {f.name: st.sampled_from([1, 0, 1]) for f in embedded if is_flag(f)}
        others = {
            f.name: st.sampled_from(f.values) if isinstance(f, Categorical) else st.integers(-3, 3)
            for f in embedded
            if not is_flag(f)
        }
        values = st.fixed_dictionaries(flags, optional=others)
        role = st.sampled_from(["prompt", "step", "end"])
        outcome = st.none() | st.none() | self.names
        rest = [Token(n, self.draw(role), self.draw(values), self.draw(outcome)) for n in names]
        return [Token(begin, "begin", {}), *rest]

    def attention(self, ready):
        kind = self.draw(st.sampled_from([CausalSum, Latest, Latest, Relative]))
        if kind is CausalSum:
            value = self.some("integer", ready, LARGEST // LENGTH)
            when = self.some("flag", ready) if self.draw(st.booleans()) else None
            return CausalSum(self.integer(LENGTH * self.bound[value]), value, when)
        word = self.some("word", ready)
        out, default = self.categorical(word.values), self.draw(st.sampled_from(word.values))
        if kind is Relative:
            return Relative(out, self.draw(st.integers(1, 4) | st.just(LENGTH)), word.name, default)
        query, key = (self.some("integer", ready, LARGEST_KEY) for _ in range(2))
        return Latest(out, query, key, word.name, self.some("flag", ready), default)

    def affine(self, known):
        """Draw a linear form of what is `known`, sometimes the negation of a flag."""
        if self.draw(st.booleans()):
            flag = self.some("flag", known)
            return Affine(self.integer(1, flag=True), ((-1, flag),), 1)
        terms = tuple(
            (self.draw(st.integers(-2, 2)), self.some("integer", known, LARGEST // 8))
            for _ in range(self.draw(st.integers(0, 3)))
        )
        constant = self.draw(st.integers(-2, 2))
        bound = abs(constant) + sum(abs(c) * self.bound[name] for c, name in terms)
        return Affine(self.integer(bound), terms, constant)

    def product(self, ready):
        """Draw a product, sometimes of flags: their conjunction."""
        kind = self.draw(st.sampled_from(["flag", "integer"]))
        left = self.some(kind, ready)
        right = self.some(kind, ready, LARGEST // max(1, self.bound[left]))
        bound = self.bound[left] * self.bound[right]
        return Product(self.integer(bound, flag=kind == "flag"), left, right)

    def table(self, ready):
        inputs = [self.some("word", ready) for _ in range(self.draw(st.sampled_from([1, 0, 1, 2])))]
        cases = list(product(*(feature.values for feature in inputs)))
        total = len(inputs) < 2 and self.draw(st.booleans())
        matched = cases if total else self.several(st.sampled_from(cases), 0, len(cases))
        outputs = [self.categorical() for _ in range(self.draw(st.integers(1, 2)))]
        values = [f.values for name in outputs for f in self.features if f.name == name]
        rng = random.Random(self.draw(st.integers(0, 99)))
        rows = tuple(Row(case, tuple(map(rng.choice, values))) for case in matched)
        names = tuple(feature.name for feature in inputs)
        return Table(self.draw(self.names), names, tuple(outputs), rows)

    def layer(self):
        before = {feature.name for feature in self.features}
        heads = [self.attention(before) for _ in range(self.draw(st.integers(0, 3)))]
        ready = before | {op.out for op in heads if not isinstance(op, CausalSum)}
        mlp = []
        for _ in range(self.draw(st.integers(0, 3))):
            kind = self.draw(st.sampled_from([self.affine, self.product, self.table]))
            known = {feature.name for feature in self.features}
            mlp.append(kind(known if kind == self.affine else ready))
        return Layer(tuple(heads), tuple(mlp))

    def unembed(self, tokens):
        names = {feature.name for feature in self.features}
        read = [self.some("word", names) for _ in range(self.draw(st.integers(0, 2)))]
        cases = list(product(*(feature.values for feature in read)))
        default, *rest = self.draw(st.permutations([token.name for token in tokens[1:]]))
        rows = self.several(st.sampled_from(cases), 0, min(len(cases), len(rest)))
        named = dict(zip(rest, rows, strict=False))
        return Unembed(tuple(feature.name for feature in read), named, default)


@st.composite
def programs(draw, names=NAMES):
    """Return random programs of 1 to 3 layers, of every operation, with names drawn from `names`.

    Tokens embed two words, two flags and two integers within -3..3. On sequences of up to
    `LENGTH` tokens no integer exceeds `LARGEST`, and no key or query `LARGEST_KEY`.
    """
    draft = Draft(draw, names)
    for _ in range(2):
        draft.categorical()
        draft.integer(1, flag=True)
        draft.integer(3)
    tokens = draft.tokens(draft.features[1:])
    layers = tuple(draft.layer() for _ in range(draw(st.integers(1, 3))))
    unembed = draft.unembed(tokens)
    features = tuple(draw(st.permutations(draft.features)))
    return Program(draw(names), features, tuple(tokens), layers, unembed)


def sequences(program):
    """Return sequences of token names for a program, of up to `LENGTH` tokens."""
    begin, *others = [token.name for token in program.tokens]
    following = st.sampled_from(others)
    return st.integers(0, LENGTH - 1).flatmap(
        lambda more: st.lists(following, min_size=more, max_size=more).map(lambda t: [begin, *t])
    )
