"""An engine's tokens against the known ones, and what the first wrong one should have recalled."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tm2tf.errors import ExtraError, InputError
from tm2tf.kat.answers import Answers, Item, KnownRun, Recall, Row
from tm2tf.kat.engine import (
    HIDDEN,
    Engine,
    SamplingSession,
    Session,
    SilentError,
    UnsupportedError,
)
from tm2tf.kat.suite import Entry, Suite, answers_in, chosen

SEED = 0
"""Of what is drawn."""

DOUBT = 1e-9
"""1 - p of a right token at temperature 1 stays below it: the token leads by 64 nats."""

NOTHING = -2
"""Stands for no token: an engine's row ended early."""

GENERATED = ("generate", "continue", "batch")
"""Kinds of which some item has to pass: an engine that generates nothing has not been tested."""

SURPLUS = {True: "nothing, the run is over", False: "nothing, no more tokens were asked for"}
"""What is expected after the last token, by whether it ends the run."""

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """The first wrong token of an item.

    Attributes:
        row: which row of the item it is in.
        position: where it stands in the context.
        index: how many tokens of the item's answer stand before it.
        given: how many tokens the prompt has.
        expected, got: tokens; `got_default`: whether what came says that nothing was found.
        recalls: what it rests on, in words.
        distance: how many tokens before it the farthest of that was written.
        from_begin: whether the begin token is among it, for a cell that was never written.
        at_seam: whether the last of the prompt or the first token after it is among it.
        surplus: whether all that was to come is right, and more came.
    """

    row: int
    position: int
    index: int
    given: int
    expected: str
    got: str
    got_default: bool
    recalls: str
    distance: int
    from_begin: bool
    at_seam: bool
    surplus: bool = False

    @property
    def source(self) -> int:
        """The position at which the farthest of what it rests on was written."""
        return self.position - self.distance


@dataclass(frozen=True, slots=True)
class Result:
    """One item, answered.

    Attributes:
        entry: the case.
        kind, item: its kind and name.
        full: whether it uses the context to its last position.
        tokens: how many tokens were right before the first wrong one.
        reason: why it was skipped, or what the engine raised.
        distances: over how many tokens each right token recalled what it rests on, the farthest.
        padded: whether the wrong row has padding.
        swapped: whether each row that is wrong is the answer to another row's prompt.
        silent: whether no answer came in time.
        doubt: the greatest 1 - p of a token that was drawn.
    """

    entry: Entry
    item: str
    kind: str
    full: bool
    status: Status
    tokens: int = 0
    reason: str = ""
    wrong: Wrong | None = None
    distances: tuple[int, ...] = ()
    padded: bool = False
    swapped: bool = False
    silent: bool = False
    doubt: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All items."""

    engine: str
    results: tuple[Result, ...]
    seconds: float

    def of(self, status: Status) -> tuple[Result, ...]:
        """Return the items with a status."""
        return tuple(result for result in self.results if result.status == status)

    @property
    def tokens(self) -> int:
        """How many tokens were checked and right."""
        return sum(result.tokens for result in self.results)

    @property
    def good(self) -> bool:
        """Whether tokens were generated and right, and nothing failed."""
        return self.generated and not self.of("failed")

    @property
    def generated(self) -> bool:
        """Whether an item passed for which tokens had to be generated."""
        return any(result.kind in GENERATED for result in self.of("passed"))

    @property
    def first_wrong(self) -> Result | None:
        """The first item that failed, one with a wrong token if there is such."""
        failed = self.of("failed")
        return next((result for result in failed if result.wrong), failed[0] if failed else None)

    @property
    def doubt(self) -> float | None:
        """The greatest 1 - p of a token drawn at temperature 1; None if no engine tells."""
        return max((r.doubt for r in self.results if r.doubt is not None), default=None)


def run(
    suite: Suite,
    engine: Engine,
    cases: Collection[str] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Return how an engine answers the cases whose names begin with given ones (none: all).

    Raises:
        ArtifactError: the suite has been changed.
        ExtraError: the engine's package is not installed.
        InputError: no case has such a name.
    """
    began = time.monotonic()
    results: list[Result] = []
    for number, entry in enumerate(chosen(suite, cases), 1):
        answers = answers_in(suite, entry)
        folder = suite.folder / entry.name
        try:
            session = engine.load(folder)
        except ExtraError:
            raise
        except InputError as error:  # such as no graph in the folder
            reason = str(error).replace(str(folder), "the case")
            blanks = [_blank(entry, item) for item in answers.items]
            results += [replace(blank, status="skipped", reason=reason) for blank in blanks]
        else:
            results += _all_of(entry, answers, session)
        if on_progress is not None:
            on_progress(number)
    return Report(engine.name, tuple(results), time.monotonic() - began)


def _all_of(entry: Entry, answers: Answers, session: Session) -> list[Result]:
    """Return how a session answers the items of a case, until it does not answer in time."""
    results: list[Result] = []
    for item in answers.items:
        if any(result.silent for result in results):
            reason = "the engine gave no answer in time to an earlier item of the case"
            results.append(replace(_blank(entry, item), status="skipped", reason=reason))
        else:
            results.append(answered(entry, answers, item, session))
    return results


def answered(entry: Entry, answers: Answers, item: Item, session: Session) -> Result:
    """Return how a session answers an item."""
    blank = _blank(entry, item)
    ask = {"score": _score, "sample": _sample, "batch": _batch}.get(item.kind, _one_by_one)
    try:
        return ask(answers, item, session, blank)
    except UnsupportedError as error:
        return replace(blank, status="skipped", reason=str(error))
    except ExtraError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is its answer
        said = str(error).strip().split("\n")[0][:300]
        reason = f"{type(error).__name__}: {said}"
        silent = isinstance(error, SilentError)
        return replace(blank, status="failed", reason=reason, silent=silent)


def _blank(entry: Entry, item: Item) -> Result:
    full = any(row.given + row.count > entry.positions for row in item.rows)
    return Result(entry, item.name, item.kind, full, "passed")


def _batch(answers: Answers, item: Item, session: Session, blank: Result) -> Result:
    prompts = [answers.runs[row.run].tokens[: row.given] for row in item.rows]
    got = session.generate(prompts, max(row.count for row in item.rows), answers.stop)
    longest = max(row.given for row in item.rows)
    padded = [row.given < longest for row in item.rows]
    return _compared(answers, item, got, blank, padded)


def _one_by_one(answers: Answers, item: Item, session: Session, blank: Result) -> Result:
    got = []
    for row in item.rows:
        prompt = answers.runs[row.run].tokens[: row.given]
        got += session.generate([prompt], row.count, answers.stop)
    return _compared(answers, item, got, blank)


def _score(answers: Answers, item: Item, session: Session, blank: Result) -> Result:
    got = []
    for row in item.rows:
        # the last token is known to follow, and does not fit where the context is full
        best = session.score(answers.runs[row.run].tokens[: row.given + row.count - 1])
        if best is None:
            return replace(blank, status="skipped", reason="the engine does not score prompts")
        got.append(best[row.given - 1 :])
    return _compared(answers, item, got, blank)


def _sample(answers: Answers, item: Item, session: Session, blank: Result) -> Result:
    if not isinstance(session, SamplingSession):
        return replace(blank, status="skipped", reason="the engine does not sample here")
    got, doubts = [], []
    for row in item.rows:
        prompt = answers.runs[row.run].tokens[: row.given]
        drawn = session.sample(prompt, row.count, answers.stop, SEED)
        got.append(drawn.tokens)
        if drawn.doubt is not None:
            doubts.append(drawn.doubt)
    doubt = max(doubts, default=None)
    result = replace(_compared(answers, item, got, blank), doubt=doubt)
    if doubt is None or doubt < DOUBT:
        return result
    reason = f"a token that was drawn has 1 - p = {doubt:.1e}; expected: below {DOUBT:g}"
    return replace(result, status="failed", reason=reason)


def _compared(
    answers: Answers,
    item: Item,
    got: Sequence[Sequence[int]],
    blank: Result,
    padded: Sequence[bool] | None = None,
) -> Result:
    """Return the result of an item by the rows that an engine gave."""
    if len(got) != len(item.rows):
        reason = f"{len(got)} rows came for {len(item.rows)} prompts"
        return replace(blank, status="failed", reason=reason)
    result = replace(blank, swapped=_swapped(answers, item, got))
    for number, (row, tokens) in enumerate(zip(item.rows, got, strict=True)):
        run = answers.runs[row.run]
        index, wrong = _first_wrong(answers, item, row, tokens)
        right = run.recalls[row.given - len(run.prompt) :][:index]
        reached = [
            row.given + i - min(recall.position for recall in recalls)
            for i, recalls in enumerate(right)
        ]
        result = replace(
            result,
            tokens=result.tokens + index,
            distances=(*result.distances, *reached),
        )
        if wrong is not None and result.wrong is None:
            here = _explained(answers, row, index, wrong)
            is_padded = bool(padded and padded[number])
            result = replace(
                result, status="failed", wrong=replace(here, row=number), padded=is_padded
            )
    return result


def _swapped(answers: Answers, item: Item, got: Sequence[Sequence[int]]) -> bool:
    """Return whether rows are wrong, and each of them is the answer to another row's prompt."""

    def fits(row: Row, tokens: Sequence[int]) -> bool:
        return _first_wrong(answers, item, row, tokens)[1] is None

    wrong = [tokens for row, tokens in zip(item.rows, got, strict=True) if not fits(row, tokens)]
    return bool(wrong) and all(any(fits(row, tokens) for row in item.rows) for tokens in wrong)


def _first_wrong(
    answers: Answers, item: Item, row: Row, tokens: Sequence[int]
) -> tuple[int, int | None]:
    """Return how many tokens are right, and the first wrong one: `NOTHING` if one is missing.

    The first token that is one too many is wrong as well. A batch is asked for as many as its
    longest row has, which others may have too unless their run is over.
    """
    run = answers.runs[row.run]
    expected = run.tokens[row.given : row.given + row.count]
    for index, token in enumerate(expected):
        if index >= len(tokens):
            return index, NOTHING
        if tokens[index] == HIDDEN and token in answers.stop:
            return index + 1, None
        if tokens[index] != token:
            return index, tokens[index]
    asked = max(other.count for other in item.rows) if item.kind == "batch" else row.count
    most = len(expected) if expected[-1] in answers.stop else asked
    surplus = tokens[most:]
    if not surplus or list(surplus) == [HIDDEN]:
        return len(expected), None
    return len(expected), surplus[0]


def _explained(answers: Answers, row: Row, index: int, got: int) -> Wrong:
    run = answers.runs[row.run]
    position = row.given + index
    shown = {NOTHING: "nothing", HIDDEN: "the end of the run"}.get(got) or answers.token(got)
    if index == row.count:
        return Wrong(
            row=0,
            position=position,
            index=index,
            given=row.given,
            expected=SURPLUS[run.tokens[position - 1] in answers.stop],
            got=shown,
            got_default=False,
            recalls="nothing: more tokens came than the answer has",
            distance=0,
            from_begin=False,
            at_seam=False,
            surplus=True,
        )
    recalls = run.recalls[position - len(run.prompt)]
    written = [recall.position for recall in recalls]
    return Wrong(
        row=0,
        position=position,
        index=index,
        given=row.given,
        expected=answers.token(run.tokens[position]),
        got=shown,
        got_default=got == answers.default,
        recalls="; ".join(described(answers, run, recall, position) for recall in recalls),
        distance=max(position - at for at in written),
        from_begin=0 in written,
        at_seam=index > 0 and any(at in (row.given - 1, row.given) for at in written),
    )


def described(answers: Answers, run: KnownRun, recall: Recall, position: int) -> str:
    """Return in words what a token at a position rests on."""
    ago = position - recall.position
    since = f"{ago:,} token{'s' if ago > 1 else ''} before, at position {recall.position:,}"
    by = f"by `{answers.token(run.tokens[recall.position])}`"
    if recall.what == "cell":
        what = f"what tape {recall.tape} has in cell {recall.cell}: `{recall.symbol}`"
        if recall.position == 0:
            return f"{what}, never written, so the blank that the begin token says, {since}"
        return f"{what}, written {since}, {by}"
    if recall.what == "state":
        return f"the state, {since}, {by}"
    if recall.what == "transition":
        return f"what the step does on tape {recall.tape}, {since}, {by}"
    return f"where the head of tape {recall.tape} is, {since}, {by}"
