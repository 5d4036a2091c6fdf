"""Hypothesis strategies: random machines and start configurations for them."""

import random
import string
from itertools import product

from hypothesis import strategies as st

from tm2tf.machine.spec import Configuration, Machine, Tape, Transition

PLAIN = st.sampled_from("_01ab")
ODD = st.one_of(
    st.sampled_from([" ", "|", "||", "*", "#", '"', "'", "\\", "a b", "a|b", "ab", "0", "_", "-"]),
    st.sampled_from(
        ["é", "∀", "語", "🙂", ":", "?", "[", "{}", "null", "---", "&a", "%", "`", "L"]
    ),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=4),
)


@st.composite
def machines(
    draw,
    tapes=(1, 3),
    states=(2, 6),
    symbols=(2, 4),
    *,
    words=PLAIN,
    moves="LSR",
    halting=("accept", "reject", "halt"),
    undefined=("halt", "accept", "reject"),
):
    """Return random machines; `tapes`, `states` and `symbols` are ranges, both ends included.

    Some (state, reads) have no transition, and some states are halting ones, of the kinds in
    `halting`. Symbols are drawn from `words`; so are the states, unless `words` is PLAIN. Only
    sizes and names are drawn one by one: the transitions come from one seed, which keeps large
    machines cheap.
    """
    alphabet = draw(unique(words, *symbols))
    if words is PLAIN:
        names = list(string.ascii_uppercase[: draw(st.integers(*states))])
    else:
        names = draw(unique(words, *states))
    kinds = draw(st.lists(st.sampled_from(halting), max_size=len(names) - 1))
    running, ends = names[: len(names) - len(kinds)], names[len(names) - len(kinds) :]
    width = draw(st.integers(*tapes))
    rng = random.Random(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.5, 0.9, 1.0]))
    transitions = {
        (state, reads): Transition(
            rng.choice(names),
            tuple(rng.choices(alphabet, k=width)),
            tuple(rng.choices(moves, k=width)),
        )
        for state in running
        for reads in product(alphabet, repeat=width)
        if rng.random() < density
    }
    return Machine(
        name=draw(st.sampled_from(["random", "odd: #1", "0"])),
        symbols=tuple(alphabet),
        blank=draw(st.sampled_from(alphabet)),
        states=tuple(draw(st.permutations(names))),
        start=draw(st.sampled_from([*running * 5, *ends])),
        transitions=transitions,
        tapes=width,
        undefined=draw(st.sampled_from(undefined)),
        **{
            kind: tuple(s for s, k in zip(ends, kinds, strict=True) if k == kind)
            for kind in ("accept", "reject", "halt")
        },
    )


def unique(words, least, most):
    """Return lists of distinct words."""
    return st.lists(words, min_size=least, max_size=most, unique=True)


@st.composite
def tapes(draw, symbols, cells=8, reach=6):
    """Return tapes of up to `cells` symbols, with origin and head anywhere near 0."""
    contents = draw(st.lists(st.sampled_from(symbols), max_size=cells))
    near = st.integers(-reach, reach)
    return Tape(tuple(contents), draw(near), draw(near))


@st.composite
def configurations(draw, machine, cells=8, reach=6) -> Configuration:
    """Return start configurations of a machine."""
    given = [draw(tapes(machine.symbols, cells, reach)) for _ in range(machine.tapes)]
    return machine.initial(given)
