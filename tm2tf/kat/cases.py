"""The table of the suite: machines, architectures and dtypes, and what each of them stresses.

Every family is there for a fault that engines have. Distances are in tokens, from where a cell was
written to where it is read:

- `recency`: a cell is rewritten where the head stays, so that the right answer is one token old and
  a wrong one two; cuts between prompt and run fall on these places.
- `padding`: words of different lengths, so that a batch has padding, and rows that end early.
- `recall`: a head walks over a word and back, so that distances grow by 2 up to 602.
- `counting`: a binary counter, whose digit k is read every 2^(k+2) tokens, the first of the prompt
  after 2,046, as is the begin token, for the blank before it; the context is used to its last
  position.
- `far`: the same with a longer number: the prompt holds most of a run of 8,000 tokens, and what
  follows reads what is 2,046, 4,094, 8,190 and 8,192 tokens old: wider windows are found out here.
- `copying`: exact copies, also in half precision, in contexts as long as that stays exact.
- `heads`: several tapes, so several heads, two layers, and k + 1 tokens a step.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from tm2tf.errors import choose
from tm2tf.kat.answers import Kind
from tm2tf.machine.spec import Tape

DWELL = """
name: dwell
description: Rewrites each cell of a row twice before it goes on, for ever.
source: ours
start: one
rules:
  one:
    c: a S two
    "#": L back
  two:
    a: b S three
  three:
    b: c R one
  back:
    c: L
    "#": R one
"""
"""`_` and b have no rule in `one`: such a run is over before its first step."""

SWEEP = """
name: sweep
description: Goes left over a word, in other letters, and back, in the first ones.
source: ours
start: out
halt: done
rules:
  out:
    a: x L out
    b: y L out
    _: R back
  back:
    x: a R back
    y: b R back
    _: S done
"""
"""What was written last elsewhere is never what is read next: there is no rule for it."""

MACHINES = {"dwell": DWELL, "sweep": SWEEP}
"""Machines of the suite's own; others are bundled ones."""

FULL = 10**6
"""More tokens than any context has: as many as fit, or until the run is over."""


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a run: a word or `Tape` a tape, and how many tokens of its run are known."""

    name: str
    inputs: tuple[str | Tape, ...]
    count: int = FULL


@dataclass(frozen=True, slots=True)
class Ask:
    """An item.

    `rows`: for each the number of a start, how many tokens of its run the prompt has, and how many
    have to follow (None: all that are known).
    """

    name: str
    kind: Kind
    rows: tuple[tuple[int, int, int | None], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Cases that differ in architecture and dtype alone.

    Attributes:
        stresses: what goes wrong here first, in words.
        machine: a key of `MACHINES`, or the name of a bundled machine.
        tape, steps, origin: as `export.bundle.bundle` has them.
        variants: architecture and dtype of each case.
    """

    name: str
    stresses: str
    machine: str
    tape: int
    steps: int
    origin: int
    starts: tuple[Start, ...]
    asks: tuple[Ask, ...]
    variants: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One checkpoint of the suite."""

    family: Family
    architecture: str
    dtype: str

    @property
    def name(self) -> str:
        """The folder it is in."""
        return f"{self.family.name}-{self.architecture}-{self.dtype}"


def _word(length: int) -> str:
    """Return a word over a and b that is the same every time."""
    return "".join(random.Random(length).choices("ab", k=length))


def _whole(name: str, *starts: int, kind: Kind = "generate") -> Ask:
    """Return an item that runs starts from their beginnings."""
    return Ask(name, kind, tuple((start, 0, None) for start in starts))


def _cuts(*cuts: int, start: int = 0, count: int = 16) -> tuple[Ask, ...]:
    """Return items whose prompts hold the first tokens of a run."""
    return tuple(Ask(f"from {cut}", "continue", ((start, cut, count),)) for cut in cuts)


RECENCY = Family(
    name="recency",
    stresses="recency: cells rewritten one token ago; prompts that end in mid-run; cache reuse",
    machine="dwell",
    tape=8,
    steps=54,
    origin=2,
    starts=(
        Start("#cc#", (Tape(tuple("#cc#"), -1, 0),)),
        Start("#bc#, no rule", (Tape(tuple("#bc#"), -1, 0),)),
        Start("#ccc#", (Tape(tuple("#ccc#"), -1, 0),)),
    ),
    asks=(
        _whole("whole", 0),
        _whole("over at once", 1),
        *_cuts(1, 2, 3, 4, 5, 6, 13, 14),
        Ask("beginning alike", "reuse", ((0, 30, 8), (2, 0, 16), (0, 14, 8), (2, 9, 8), (0, 1, 8))),
        _whole("all in one pass", 0, kind="score"),
        _whole("drawn", 0, kind="sample"),
    ),
    variants=(("gpt2", "float32"), ("llama", "float32"), ("llama", "bfloat16")),
)

PADDING = Family(
    name="padding",
    stresses="left padding: words of different lengths in a batch; rows that end early",
    machine="binary-increment",
    tape=16,
    steps=40,
    origin=3,
    starts=(
        Start("1011", ("1011",)),
        Start("blank", ("",)),
        Start("0111111", ("0111111",)),
        Start("1111111111", ("1111111111",)),
        Start("0", ("0",)),
    ),
    asks=(
        *(_whole(f"alone {i}", i) for i in range(5)),
        _whole("two rows", 0, 4, kind="batch"),
        _whole("five rows", 0, 1, 2, 3, 4, kind="batch"),
        Ask("rows in mid-run", "batch", ((3, 7, None), (0, 2, None), (4, 0, None))),
        _whole("all in one pass", 3, kind="score"),
        _whole("drawn", 3, kind="sample"),
    ),
    variants=(
        ("gpt2", "float32"),
        ("gpt2", "float16"),
        ("llama", "float32"),
        ("llama", "float16"),
    ),
)

RECALL = Family(
    name="recall",
    stresses="long-range recall: distances grow by 2 up to 602; a long prompt",
    machine="sweep",
    tape=304,
    steps=606,
    origin=1,
    starts=(Start("a word of 302", (Tape(tuple(_word(302)), 0, 301),)),),
    asks=(
        _whole("whole", 0),
        *_cuts(120, 400, count=60),
        _whole("all in one pass", 0, kind="score"),
    ),
    variants=(
        ("gpt2", "float32"),
        ("gpt2", "float16"),
        ("gpt2", "bfloat16"),
        ("llama", "float32"),
        ("llama", "float16"),
    ),
)

COUNTING = Family(
    name="counting",
    stresses="long-range recall past 2,000 tokens, of cells and of the begin token; a full context",
    machine="counter",
    tape=16,
    steps=2120,
    origin=13,
    starts=(Start("512", (Tape(tuple("1000000000"), -9, 0),)),),
    asks=(_whole("until the context is full", 0), _whole("all in one pass", 0, kind="score")),
    variants=(("gpt2", "float32"), ("llama", "float32")),
)

FAR = Family(
    name="far",
    stresses="long-range recall past 8,000 tokens, of cells and of the begin token; long prompts",
    machine="counter",
    tape=16,
    steps=8180,
    origin=13,
    starts=(Start("2048", (Tape(tuple("100000000000"), -11, 0),)),),
    asks=(
        *_cuts(2034, 4080, 8174, count=8),  # carries, up to the digits that are oldest
        _whole("all in one pass", 0, kind="score"),
    ),
    variants=(("gpt2", "float32"), ("llama", "float32")),
)

COPYING = Family(
    name="copying",
    stresses="exact copying, also in half precision; batches; cache reuse",
    machine="copy",
    tape=16,
    steps=100,
    origin=3,
    starts=(
        Start("abaab", ("abaab",)),
        Start("abab", ("abab",)),
        Start("b", ("b",)),
        Start("blank", ("",)),
    ),
    asks=(
        _whole("whole", 0),
        _whole("four rows", 0, 1, 2, 3, kind="batch"),
        *_cuts(20, 50),
        Ask("beginning alike", "reuse", ((0, 40, 12), (1, 0, 12), (0, 0, 12), (1, 30, 12))),
        _whole("all in one pass", 0, kind="score"),
        _whole("drawn", 1, kind="sample"),
    ),
    variants=(("gpt2", "float16"), ("llama", "float32"), ("llama", "bfloat16")),
)

HEADS = Family(
    name="heads",
    stresses="many heads and two layers: three tapes, four tokens a step",
    machine="binary-multiplication-3tape",
    tape=12,
    steps=60,
    origin=3,
    starts=(
        Start("101 times 11", ("101", "11")),
        Start("11 times 1", ("11", "1")),
    ),
    asks=(
        _whole("whole", 0),
        _whole("two rows", 0, 1, kind="batch"),
        *_cuts(1, 2, 3, 40, 61),
        _whole("all in one pass", 0, kind="score"),
    ),
    variants=(("llama", "float32"),),
)

TWO_TAPES = Family(
    name="two-tapes",
    stresses="many heads and two layers of a GPT-2: two tapes, three tokens a step",
    machine="matching",
    tape=12,
    steps=40,
    origin=1,
    starts=(Start("0110#0110", ("0110#0110",)), Start("01#00", ("01#00",))),
    asks=(
        _whole("whole", 0),
        _whole("two rows", 0, 1, kind="batch"),
        *_cuts(1, 2, 3, 17),
        _whole("all in one pass", 0, kind="score"),
    ),
    variants=(("gpt2", "bfloat16"),),
)

FAMILIES = (RECENCY, PADDING, RECALL, COUNTING, FAR, COPYING, HEADS, TWO_TAPES)
CASES = tuple(
    Case(family, architecture, dtype)
    for family in FAMILIES
    for architecture, dtype in family.variants
)


def named(names: Collection[str]) -> tuple[Case, ...]:
    """Return the cases whose names begin with any of the given ones; all if none is given.

    Raises:
        NotFoundError: a name fits no case.
    """
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            choose("case", name, CASES)  # says which there are
    return tuple(c for c in CASES if not names or c.name.startswith(tuple(names)))
