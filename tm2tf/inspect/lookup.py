"""What is asked for by name: messages that say what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tm2tf.errors import NotFoundError, did_you_mean


def missing(problem: str, word: str, known: Iterable[str], listing: str) -> NotFoundError:
    """Return the error for an unknown word: the problem, the nearest known one, what there is."""
    return NotFoundError(f"{problem}{did_you_mean(word, known)}\nthere are: {listing}")


def numbered(labels: Sequence[str], which: Sequence[int] | None = None, most: int = 60) -> str:
    """Return numbers and labels in a line, as messages have them."""
    chosen = list(range(len(labels))) if which is None else list(which)
    more = f", ... ({len(chosen)} in all; --json lists them)" if len(chosen) > most else ""
    return (", ".join(f"{i} {labels[i]!r}" for i in chosen[:most]) or "none") + more
