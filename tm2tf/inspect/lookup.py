"""What is asked for by name: messages that say what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tm2tf.errors import NotFoundError, did_you_mean


def missing(what: str, word: object, known: Iterable[str], listing: str) -> NotFoundError:
    """Return the error for something unknown: the nearest known name, and what there is."""
    hint = did_you_mean(str(word), known)
    return NotFoundError(
        f"no {what} {word!r}{f'{hint} There are' if hint else '; there are'} {listing}"
    )


def numbered(labels: Sequence[str], which: Sequence[int] | None = None, most: int = 40) -> str:
    """Return numbers and labels in a line, as messages have them."""
    chosen = list(range(len(labels))) if which is None else list(which)
    more = f", ... ({len(chosen)} in all)" if len(chosen) > most else ""
    return (", ".join(f"{i} {labels[i]!r}" for i in chosen[:most]) or "none") + more
