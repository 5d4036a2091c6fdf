"""The known answers of one checkpoint, as `answers.json` has them.

A run is a prompt and the tokens that follow it; an item asks an engine for parts of runs. Both are
plain JSON, for readers that have never heard of tm2tf:

    {"vocabulary": ["<bos>", "0@0", ...],       the token of each id
     "begin": 0, "pad": 162, "stop": [...],     ids
     "positions": 72,                           tokens that a context may have
     "tapes": 1,
     "runs": [{"name": "1011",
               "prompt": [...], "prompt_text": "<bos> ...",
               "expected": [...], "expected_text": "...",
               "recalls": [[["cell", 0, 17, 45, "1"]], ...]}],
     "items": [{"name": "whole", "kind": "generate",
                "rows": [{"run": 0, "given": 6, "count": 8}]}]}

An item's row gives an engine the first `given` tokens of prompt + expected, and the next `count`
have to follow. `recalls` says for each expected token what it rests on: `cell`, `state`,
`transition` or `head`, the tape, the cell, the position in the context at which it was written (0:
never, so that the begin token is found), and the symbol.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tm2tf.errors import ArtifactError

FILE = "answers.json"

Kind = Literal["generate", "batch", "continue", "reuse", "score", "sample"]
"""generate: a prompt, greedily. batch: several prompts of different lengths in one batch, padded
on the left. continue: the prompt holds part of the run. reuse: prompts that begin alike, one after
the other in one session. score: prompt and run in one pass. sample: at temperature 1."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What a token rests on: written at `position`; 0 if never, so that `begin` is found."""

    what: str
    tape: int
    cell: int
    position: int
    symbol: str


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A prompt, what follows it, and what each token that follows rests on."""

    name: str
    prompt: tuple[int, ...]
    expected: tuple[int, ...]
    recalls: tuple[tuple[Recall, ...], ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """The whole context."""
        return self.prompt + self.expected


@dataclass(frozen=True, slots=True)
class Row:
    """The first `given` tokens of a run, after which its next `count` have to come."""

    run: int
    given: int
    count: int


@dataclass(frozen=True, slots=True)
class Item:
    """One question to an engine."""

    name: str
    kind: Kind
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """All that is known of one checkpoint."""

    vocabulary: tuple[str, ...]
    begin: int
    pad: int
    stop: tuple[int, ...]
    default: int
    positions: int
    tapes: int
    runs: tuple[KnownRun, ...]
    items: tuple[Item, ...]

    def text(self, ids: tuple[int, ...]) -> str:
        """Return tokens as words."""
        return " ".join(self.token(i) for i in ids)

    def token(self, number: int) -> str:
        """Return the word of an id, which may be none."""
        known = 0 <= number < len(self.vocabulary)
        return self.vocabulary[number] if known else f"<id {number}>"


def dump(answers: Answers) -> bytes:
    """Return the file."""
    value = asdict(answers)
    value["runs"] = [
        {
            "name": run.name,
            "prompt_text": answers.text(run.prompt),
            "expected_text": answers.text(run.expected),
            "prompt": run.prompt,
            "expected": run.expected,
            "recalls": [[astuple(recall) for recall in recalls] for recalls in run.recalls],
        }
        for run in answers.runs
    ]
    lines = [f"{json.dumps(key)}: {_laid_out(part)}" for key, part in value.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _laid_out(part: Any) -> str:
    """Return JSON with one line for each object of a list, and for anything else."""
    if isinstance(part, list | tuple) and part and isinstance(part[0], dict):
        return "[\n" + ",\n".join(_compact(entry) for entry in part) + "\n]"
    return _compact(part)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(folder: Path) -> Answers:
    """Return the answers of a folder.

    Raises:
        ArtifactError: there are none, or the file is damaged.
    """
    path = folder / FILE
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; {AGAIN}") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); {AGAIN}") from None


AGAIN = "make the suite again with: tm2tf kat make"


def _read(value: dict[str, Any]) -> Answers:
    runs = tuple(
        KnownRun(
            run["name"],
            tuple(run["prompt"]),
            tuple(run["expected"]),
            tuple(tuple(Recall(*recall) for recall in recalls) for recalls in run["recalls"]),
        )
        for run in value["runs"]
    )
    items = tuple(
        Item(item["name"], item["kind"], tuple(Row(**row) for row in item["rows"]))
        for item in value["items"]
    )
    plain = {key: value[key] for key in ("begin", "pad", "default", "positions", "tapes")}
    found = Answers(
        vocabulary=tuple(value["vocabulary"]),
        stop=tuple(value["stop"]),
        runs=runs,
        items=items,
        **plain,
    )
    _check_types(found)
    _check(found)
    return found


def _check_types(answers: Answers) -> None:
    """Raise ValueError for what is of another type, or no id of the vocabulary."""
    size = len(answers.vocabulary)
    if not all(isinstance(word, str) for word in answers.vocabulary):
        raise ValueError("the vocabulary has words that are no text")
    for name in ("positions", "tapes"):
        if not (is_number(value := getattr(answers, name)) and value > 0):
            raise ValueError(f"{name} is {value!r}, expected a number above 0")
    singles = {name: (getattr(answers, name),) for name in ("begin", "pad", "default")}
    lists = [(f"run {i}", run.tokens) for i, run in enumerate(answers.runs)]
    for name, ids in (*singles.items(), ("stop", answers.stop), *lists):
        for value in ids:
            if not (is_number(value) and 0 <= value < size):
                raise ValueError(f"{name} has {value!r}, expected an id below {size}")
    for run in answers.runs:
        for position in (recall.position for recalls in run.recalls for recall in recalls):
            if not (is_number(position) and 0 <= position < len(run.tokens)):
                raise ValueError(f"run {run.name!r} recalls position {position!r}")
    for item in answers.items:
        numbers = [n for row in item.rows for n in astuple(row)]
        if not item.rows or not all(is_number(n) and n >= 0 for n in numbers):
            raise ValueError(f"item {item.name!r} has a row of {numbers}, expected numbers")


def is_number(value: object) -> bool:
    """Return whether a JSON value is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _check(answers: Answers) -> None:
    """Raise ValueError where parts do not fit together."""
    for run in answers.runs:
        if not run.prompt or not run.expected or not all(run.recalls):
            raise ValueError(f"run {run.name!r} has nothing that is known")
        if len(run.recalls) != len(run.expected):
            raise ValueError(f"run {run.name!r} has not as many recalls as tokens")
    if not answers.items:
        raise ValueError("nothing is asked")
    for item in answers.items:
        if item.kind not in get_args(Kind):
            raise ValueError(f"unknown kind {item.kind!r}")
        for row in item.rows:
            run = answers.runs[row.run]
            end = row.given + row.count
            if not (len(run.prompt) <= row.given and row.count > 0 and end <= len(run.tokens)):
                raise ValueError(f"a row of item {item.name!r} leaves its run")
