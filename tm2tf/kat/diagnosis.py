"""Which fault would explain what failed: rules, tried in order, each over all items of a report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tm2tf.kat.checking import SURPLUS, Report, Result, Wrong

NEAR = 64
"""Tokens back that count as near: contexts that are short have no others."""

LUCKY = 0.02
"""Share of tokens that may be right though what they rest on is gone: symbols are few."""

BLOCK = 64
"""Positions that are lost together at the most, where a part of a cache is lost."""

SHORTEST = 8
"""Tokens that any cache window has: an engine that is wrong from the start has no window."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A suspected fault: a name, and why it is suspected."""

    name: str
    because: str


STOP_IGNORED = "stop tokens are ignored"
COUNT_IGNORED = "more tokens come than are asked for"
ROWS_SWAPPED = "rows of a batch are swapped"
PADDING_ATTENDED = "padding is attended to"
PADDING_COUNTED = "positions count the padding"
PADDING = "left padding changes the answer"
NO_CAUSAL_MASK = "the causal mask is missing"
STALE_CACHE = "a cache of an earlier prompt is used"
SAMPLING = "sampling is not from the model's distribution at temperature 1"
OFF_BY_ONE = "positions are off by one"
WINDOW = "the cache window is cut"
FIRST_KEY_LOST = "the first key is lost"
PART_LOST = "part of the cache is lost"
SCORES = "scores of attention are rounded"
UNKNOWN = "unknown"

Rule = Callable[[Sequence[Result], Sequence[Result]], Fault | None]


def suspected(report: Report) -> Fault | None:
    """Return the first fault that would explain all that failed; None if nothing did."""
    failed, passed = report.of("failed"), report.of("passed")
    if not failed:
        return None
    for rule in RULES:
        fault = rule(failed, passed)
        if fault is not None:
            return fault
    return Fault(UNKNOWN, f"{len(failed)} items failed, in no pattern that is known")


def _only(kind: str, failed: Sequence[Result], passed: Sequence[Result]) -> bool:
    """Return whether items of a kind fail, and others pass."""
    return all(r.kind == kind for r in failed) and any(r.kind != kind for r in passed)


def _wrongs(failed: Sequence[Result]) -> list[Wrong]:
    """Return the first wrong tokens; none if an item failed without any."""
    found = [result.wrong for result in failed]
    return [wrong for wrong in found if wrong] if all(found) else []


def _spare(failed: Sequence[Result], passed: Sequence[Result], kind: str) -> bool:
    """Return whether only GPT-2s fail, and some Llama passes an item of the kind."""
    return all(r.entry.architecture == "gpt2" for r in failed) and any(
        r.entry.architecture == "llama" and r.kind == kind for r in passed
    )


def _surplus(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    # what comes after a context that is full, or nearly so, may be an error of the engine's own
    wrongs = [result.wrong for result in failed if result.wrong]
    if not wrongs or not all(wrong.surplus for wrong in wrongs):
        return None
    if any(wrong.expected == SURPLUS[True] for wrong in wrongs):
        return Fault(
            STOP_IGNORED,
            "all that had to come is right, and the engine goes on after the token that ends a run",
        )
    return Fault(COUNT_IGNORED, "all that had to come is right, and the engine does not stop there")


def _swapped(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    if not all(result.swapped for result in failed):
        return None
    return Fault(
        ROWS_SWAPPED,
        "only batches fail, and every row that is wrong is right for another prompt of its batch",
    )


def _padding(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    if not _only("batch", failed, passed):
        return None
    only = "only batches of prompts of different lengths fail"
    wrongs = _wrongs(failed)
    if not wrongs or not all(result.padded for result in failed):
        return Fault(PADDING, only)
    if _spare(failed, passed, "batch"):
        return Fault(
            PADDING_COUNTED,
            f"{only}, in rows that have padding, and only of GPT-2s, whose begin token is what "
            "stands at position 0; Llamas, whose positions are relative, pass",
        )
    if any(wrong.index == 0 and wrong.got_default for wrong in wrongs):
        return Fault(
            PADDING_ATTENDED,
            f"{only}, in rows that have padding, which stop as if nothing were found: `<pad>` "
            "matches whatever is looked up, and says nothing",
        )
    return Fault(PADDING, f"{only}, in rows that have padding")


def _causal(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    if not any(result.kind == "score" for result in failed):
        return None
    said = (
        "contexts in one pass fail, while the same tokens generated one by one are right: "
        "positions see what comes after them"
    )
    if _only("score", failed, passed):
        return Fault(NO_CAUSAL_MASK, f"only {said}")
    rest = [result for result in failed if result.kind != "score"]
    if _only("batch", rest, passed) and all(result.padded for result in rest):
        return Fault(NO_CAUSAL_MASK, f"{said}; and rows with padding fail: there is no mask at all")
    return None


def _stale(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    kinds = {result.kind for result in failed}
    if "reuse" not in kinds or kinds - {"reuse", "continue"}:
        return None
    return Fault(
        STALE_CACHE,
        "only prompts that begin as an earlier one did fail, while whole runs are right",
    )


def _sampling(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    if not _only("sample", failed, passed):
        return None
    return Fault(SAMPLING, "only what is drawn at random fails; the right token leads by 64 nats")


def _past_the_end(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    raised = all(result.reason and result.full for result in failed)
    if not (raised and _spare(failed, passed, "generate")):
        return None
    return Fault(
        OFF_BY_ONE,
        "only GPT-2s whose context is used to its last position fail: the engine asks for a "
        "position past it",
    )


def _seam(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    wrongs = _wrongs(failed)
    if not wrongs or not all(wrong.at_seam and wrong.distance <= NEAR for wrong in wrongs):
        return None
    return Fault(
        OFF_BY_ONE,
        "what fails rests on the last token of the prompt or the first one after it: they seem "
        "to have the same position",
    )


def _window(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    wrongs = _wrongs(failed)
    nearest = min((wrong.distance for wrong in wrongs), default=0)
    # a cache matters where tokens are generated, and not where all are given at once
    kinds = {result.kind for result in failed}
    right = [d for r in (*failed, *passed) if r.kind in kinds for d in r.distances]
    nearer = [distance for distance in right if distance < nearest]
    if nearest <= SHORTEST or not nearer or len(right) - len(nearer) > LUCKY * len(right):
        return None
    cached = [r for r in passed if r.kind != "score"] if kinds != {"score"} else passed
    if _beyond(nearest, cached) > _beyond(nearest, failed):
        return None  # what is older is there
    return Fault(
        WINDOW,
        f"what is recalled from up to {max(nearer):,} tokens before is right, and what is wrong is "
        f"{nearest:,} or more old: older keys are gone, the window is between {max(nearer):,} and "
        f"{nearest:,} tokens",
    )


def _beyond(distance: int, results: Sequence[Result]) -> int:
    """Return how many items go back as far as a distance, rightly or not."""
    return sum(
        any(d >= distance for d in result.distances)
        or (result.wrong is not None and result.wrong.distance >= distance)
        for result in results
    )


def _first_key(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    wrongs = _wrongs(failed)
    if not (wrongs and all(wrong.from_begin for wrong in wrongs)):
        return None
    if len({result.entry.architecture for result in failed}) < 2:
        return None  # of GPT-2s alone, a matter of positions; of one checkpoint, one of rounding
    return Fault(
        FIRST_KEY_LOST,
        "what fails rests on the begin token, for a cell that was never written, and on nothing "
        "else: position 0 is not attended to, or its key is gone",
    )


def _part_lost(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    wrongs = _wrongs(failed)
    if max((wrong.distance for wrong in wrongs), default=0) <= NEAR:
        return None  # contexts that are short lie within one block
    if all(result.entry.dtype != "float32" for result in failed):
        return None  # which is a matter of rounding
    first, last = min(w.source for w in wrongs), max(w.source for w in wrongs)
    if last - first >= BLOCK:
        return None
    # what is older has to be found in each of the checkpoints: others need not have such scores
    far: dict[str, int] = {}
    for result in (*failed, *passed):
        reached = max(result.distances, default=0)
        far[result.entry.name] = max(reached, far.get(result.entry.name, 0))
    told = [(far[r.entry.name], r.wrong.distance) for r in failed if r.wrong]
    if any(reached <= lost for reached, lost in told):
        return None
    farthest = max(reached for reached, _ in told)
    where = f"position {first:,}" if first == last else f"positions {first:,} to {last:,}"
    return Fault(
        PART_LOST,
        f"what fails rests on {where}, and what is recalled from farther back, up to "
        f"{farthest:,} tokens, is right: these keys are gone, and older ones are not",
    )


def _begin_lost(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    wrongs = _wrongs([result for result in failed if not result.reason])
    if not (wrongs and all(wrong.from_begin for wrong in wrongs)):
        return None
    if not _spare(failed, passed, "generate"):
        return None
    return Fault(
        OFF_BY_ONE,
        "only GPT-2s fail, where the begin token has to be found, which is what stands at "
        "position 0: positions do not begin at 0. Llamas, whose positions are relative, pass",
    )


def _rounded(failed: Sequence[Result], passed: Sequence[Result]) -> Fault | None:
    low = all(result.entry.dtype != "float32" for result in failed)
    if low and any(result.entry.dtype == "float32" for result in passed):
        return Fault(
            SCORES,
            "only checkpoints in half precision fail: their scores need float32, and seem to be "
            "kept in the dtype of the weights",
        )
    bad = {result.entry.name: result.entry for result in failed}.values()
    good = {r.entry.name: r.entry for r in passed if r.entry.name not in {e.name for e in bad}}
    told = [result.wrong for result in failed if result.wrong]
    if not good or not any(wrong.distance <= NEAR for wrong in told):
        return None
    most, least = max(e.score_bits for e in good.values()), min(e.score_bits for e in bad)
    if least > most:
        return Fault(
            SCORES,
            f"checkpoints whose scores need {least:.1f} bits or more fail, even where what is "
            f"recalled is not old, and those that need {most:.1f} at most pass",
        )
    greatest = max(e.greatest_score for e in good.values())
    smallest = min(e.greatest_score for e in bad)
    if smallest > greatest:
        return Fault(
            SCORES,
            f"checkpoints whose scores may reach {smallest:,.0f} fail, even where what is recalled "
            f"is not old, and those with scores below {greatest:,.0f} pass (float16 ends at "
            "65,504)",
        )
    return None


RULES: Collection[Rule] = (
    _surplus,
    _swapped,
    _padding,
    _causal,
    _sampling,
    _past_the_end,
    _seam,
    _stale,
    _window,
    _begin_lost,
    _first_key,
    _part_lost,
    _rounded,
)
