"""Hypothesis strategies: random legal programs, causal or looped, and token sequences for them."""

import random
from itertools import product

from hypothesis import strategies as st

from tm2tf.program.features import POSITION, Categorical, Distribution, Integer
from tm2tf.program.operations import (
    SIGNS,
    Affine,
    CausalSum,
    Gather,
    Latest,
    Number,
    Product,
    Relative,
    Row,
    Sign,
    Table,
    writes,
)
from tm2tf.program.program import Layer, Program, Token, Unembed

LENGTH = 30
"""The longest sequence."""
LARGEST_KEY, LARGEST = 2**12, 2**40
"""What keys and queries, and all integers, stay within on a sequence that long."""

WIDE = 70
"""Values of a large categorical: two take the kernel past `SMALL`, a table of one past `FEW`."""

ROLES = ("prompt", "step", "end")
ALL_ROLES = (*ROLES, "part", "summary", "cut", "cell", "row")

NAMES = st.integers(0, 999).map("n{}".format)
ODD_NAMES = st.one_of(
    st.sampled_from([" ", "a b", '"', "'", "\\", "#", "a#", "=", "x=1", "->", "a->b", ":", "a:"]),
    st.sampled_from(["one", "layer", "tokens", "default", "table", "token", "when", "unembedding"]),
    st.sampled_from(
        ["latest", "gather", "shares", "where", "and", "is", "else", "back", "loop", "*"]
    ),
    st.sampled_from(["1", "+1", "1..", "-", "é", "語", "🙂", "\t", "\n", "\u2028", "\x85", "\x00"]),
    st.text(min_size=1, max_size=4),
)


def is_flag(feature):
    return isinstance(feature, Integer) and feature.is_flag


def can_match_at_once(row, other):
    return all(x is None or y is None or x == y for x, y in zip(row, other, strict=True))


class Draft:
    """A program being drawn. `bound` holds, for each integer, what it cannot exceed."""

    def __init__(self, draw, names, looped):
        self.draw, self.names, self.looped = draw, names, looped
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

    def feature(self, kind, among):
        """Draw one of the features of a kind, as a feature."""
        drawn = self.some(kind, among)
        return next((f for f in self.features if f.name == drawn), drawn)

    def copy(self, feature):
        """Add a feature that can hold another's values; return its name, and a default for it."""
        if isinstance(feature, Categorical):
            return self.categorical(feature.values), self.draw(st.sampled_from(feature.values))
        flag = is_flag(feature)
        out = self.integer(max(self.bound[feature.name], 1 if flag else 3), flag)
        return out, self.draw(st.integers(0, 1) if flag else st.integers(-3, 3))

    def tokens(self, embedded, roles):
        word = self.names.map(lambda name: "".join(name.split())).filter(bool)
        begin, *names = self.several(word, 6, 10)
        flags = {f.name: st.sampled_from([1, 0, 1]) for f in embedded if is_flag(f)}
        others = {
            f.name: st.sampled_from(f.values) if isinstance(f, Categorical) else st.integers(-3, 3)
            for f in embedded
            if not is_flag(f)
        }
        values = st.fixed_dictionaries(flags, optional=others)
        drawn = [self.draw(st.sampled_from(roles)) for _ in names]
        if len({"summary", "cut"} & {*drawn}) == 1:  # they need each other
            drawn[:2] = ["summary", "cut"]
        outcome = st.none() | st.none() | self.names
        rest = [
            Token(name, role, self.draw(values), self.draw(outcome))
            for name, role in zip(names, drawn, strict=True)
        ]
        return [Token(begin, "begin", {}), *rest]

    def attention(self, ready):
        kinds = [Latest, Latest, Relative, CausalSum, Gather]
        kind = self.draw(st.sampled_from(kinds[:3] if self.looped else kinds))
        if kind is CausalSum:
            value = self.some("integer", ready, LARGEST // LENGTH)
            when = self.some("flag", ready) if self.draw(st.booleans()) else None
            return CausalSum(self.integer(LENGTH * self.bound[value]), value, when)
        if kind is Latest:
            return self.latest(ready)
        if kind is Gather:
            return self.gather(ready)
        word = self.some("word", ready)
        out, default = self.copy(word)
        offset = self.draw(st.integers(1, 4) | st.just(LENGTH))
        if self.looped and self.draw(st.booleans()):
            offset = -offset
        return Relative(out, offset, word.name, self.draw(st.sampled_from([None, default])))

    def latest(self, ready):
        """Draw a lookup by address, by up to two words, or of the last position of all."""
        kinds = st.sampled_from(["word", "word", "integer", "flag"])
        count = self.draw(st.sampled_from([1, 1, 2]))
        values = [self.feature(self.draw(kinds), ready) for _ in range(count)]
        outs, defaults = zip(*map(self.copy, values), strict=True)
        if all(isinstance(value, Categorical) for value in values) and self.draw(st.booleans()):
            defaults = ()
        names = tuple(value.name for value in values)
        return Latest(outs, names, self.some("flag", ready), *self.compared(ready), defaults)

    def compared(self, ready):
        """Draw a key and a query: an address, up to two words, or nothing."""
        if self.draw(st.booleans()):
            key, query = ((self.some("integer", ready, LARGEST_KEY),) for _ in range(2))
            return key, query
        words = [self.some("word", ready) for _ in range(self.draw(st.integers(0, 2)))]
        alike = [f for f in self.features if f.name in ready and isinstance(f, Categorical)]
        query = tuple(
            self.draw(st.sampled_from([f.name for f in alike if f.values == word.values]))
            for word in words
        )
        return tuple(word.name for word in words), query

    def gather(self, ready):
        """Draw a distribution: compared like `latest`."""
        value = self.some("word", ready)
        out = Distribution(self.name(), value.values)
        self.features.append(out)
        flag, default = self.some("flag", ready), self.draw(st.sampled_from([None, *value.values]))
        return Gather(out.name, value.name, flag, *self.compared(ready), default)

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

    def number(self, known):
        word = self.some("word", known)
        rng = random.Random(self.draw(st.integers(0, 99)))
        values = rng.sample(word.values, rng.randint(0, len(word.values)))
        return Number(self.integer(3), word.name, tuple((v, rng.randint(-3, 3)) for v in values))

    def sign(self, ready):
        return Sign(self.categorical(SIGNS), self.some("integer", ready))

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
        rows = tuple(Row(case, tuple(map(rng.choice, values))) for case in self.widened(matched))
        names = tuple(feature.name for feature in inputs)
        return Table(self.draw(self.names), names, tuple(outputs), rows)

    def widened(self, rows):
        """Let some rows match more, in half of the cases; drop those that then clash."""
        seed = self.draw(st.none() | st.integers(0, 99))
        if seed is None:
            return rows
        rng = random.Random(seed)
        kept = []
        for row in rows:
            wider = tuple(None if rng.random() < 0.3 else cell for cell in row)
            if not any(can_match_at_once(wider, other) for other in kept):
                kept.append(wider)
        return kept

    def layer(self):
        before = {feature.name for feature in self.features}
        heads = [self.attention(before) for _ in range(self.draw(st.integers(0, 3)))]
        sums = {op.out for op in heads if isinstance(op, CausalSum)}
        ready = {feature.name for feature in self.features} - sums
        linear, others = (self.affine, self.number), (self.sign, self.product, self.table)
        mlp = []
        for _ in range(self.draw(st.integers(0, 3))):
            kind = self.draw(st.sampled_from([*linear, *others, self.table]))
            known = {feature.name for feature in self.features}
            mlp.append(kind(known if kind in linear else ready))
        return Layer(tuple(heads), tuple(mlp))

    def loop(self, embedded, layers):
        """Draw pairs whose second keeps to its values and its bound."""
        made = {n for x in layers for op in (*x.attention, *x.feed_forward) for n in writes(op)}
        pairs = []
        for into in self.draw(st.permutations(embedded)):
            found = [f.name for f in self.features if f.name in made and self.holds(into, f)]
            if found and (not pairs or self.draw(st.booleans())):
                pairs.append((self.draw(st.sampled_from(found)), into.name))
        return tuple(pairs)

    def holds(self, into, feature):
        if type(into) is not type(feature):
            return False
        if isinstance(into, Categorical):
            return into.values == feature.values
        return is_flag(feature) or (not is_flag(into) and self.bound[feature.name] <= 3)

    def unembed(self, tokens):
        names = {feature.name for feature in self.features}
        shares = [f for f in self.features if isinstance(f, Distribution)]
        if shares and self.draw(st.booleans()):
            return self.unembed_shares(tokens, self.draw(st.sampled_from(shares)))
        read = [self.some("word", names) for _ in range(self.draw(st.integers(0, 2)))]
        cases = list(product(*(feature.values for feature in read)))
        default, *rest = self.draw(st.permutations([token.name for token in tokens[1:]]))
        rows = self.several(st.sampled_from(cases), 0, min(len(cases), len(rest)))
        named = dict(zip(rest, self.widened(rows), strict=False))
        return Unembed(tuple(feature.name for feature in read), named, default)

    def unembed_shares(self, tokens, feature):
        """Draw tokens for some of a distribution's words."""
        default, *rest = self.draw(st.permutations([token.name for token in tokens[1:]]))
        most = min(len(feature.values), len(rest))
        words = self.several(st.sampled_from(feature.values), 0, most)
        rows = {name: (word,) for name, word in zip(rest, words, strict=False)}
        return Unembed((feature.name,), rows, default)


@st.composite
def programs(draw, names=NAMES, roles=ROLES, looped=False):
    """Return random programs of 1 to 3 layers, of every operation, with names drawn from `names`.

    Tokens embed two words, two flags and two integers within -3..3. On sequences of up to
    `LENGTH` tokens no integer exceeds `LARGEST`, and no key or query `LARGEST_KEY`. In a looped
    program, what is carried to the next pass keeps to the bound that it has when it is embedded.
    """
    draft = Draft(draw, names, looped)
    for _ in range(2):
        draft.categorical()
        draft.integer(1, flag=True)
        draft.integer(3)
    embedded = tuple(draft.features[1:])
    tokens = draft.tokens(embedded, roles)
    layers = [draft.layer() for _ in range(draw(st.integers(1, 3)))]
    if looped:  # one more, so that there is something to carry
        flag = draft.some("flag", {feature.name for feature in draft.features})
        layers.append(Layer((), (Product(draft.integer(1, flag=True), flag, flag),)))
    loop = draft.loop(embedded, layers) if looped else ()
    unembed = draft.unembed(tokens)
    features = tuple(draw(st.permutations(draft.features)))
    return Program(draw(names), features, tuple(tokens), tuple(layers), unembed, loop)


def sequences(program):
    """Return sequences of token names for a program, of up to `LENGTH` tokens."""
    begin, *others = [token.name for token in program.tokens]
    following = st.sampled_from(others)
    return st.integers(0, LENGTH - 1).flatmap(
        lambda more: st.lists(following, min_size=more, max_size=more).map(lambda t: [begin, *t])
    )
