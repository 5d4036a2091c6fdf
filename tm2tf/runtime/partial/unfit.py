"""Why weights do not run on a kernel."""

from __future__ import annotations


class Unfit(Exception):  # noqa: N818 - no error: the next general kernel takes over
    """Weights, or a run of them, lack what a kernel needs; the message says what."""
