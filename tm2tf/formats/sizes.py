"""How large a text may be, and what it may come to: limits that the environment can raise.

A text is untrusted: it must not fill the memory or the day. `TM2TF_MAX_CHARACTERS` and
`TM2TF_MAX_RULES` allow more for somebody who knows what it is that is read.
"""

from __future__ import annotations

import os
import re

from tm2tf.errors import InputError


def _allowed(name: str, usual: int) -> int:
    """Return what the environment allows, or what is usual.

    Raises:
        InputError: it is no number.
    """
    given = os.environ.get(name, "").replace("_", "")
    if not given:
        return usual
    if not re.fullmatch("[0-9]{1,15}", given):
        raise InputError(f"{name} must be a whole number, got {os.environ[name]!r}")
    return int(given)


MAX_CHARACTERS = _allowed("TM2TF_MAX_CHARACTERS", 16_000_000)
"""Longest text accepted: 20,000 rules of 100 characters are 2 MB, so eight times that."""

MAX_BYTES = 4 * MAX_CHARACTERS
"""Largest file read: a character of UTF-8 has four bytes at most."""

MAX_RULES = _allowed("TM2TF_MAX_RULES", 2_000_000)
"""Most rules after wildcards are spelt out: 100 times the 20,000 that tm2tf is sized for."""

MORE_CHARACTERS = "(TM2TF_MAX_CHARACTERS in the environment raises it)"
MORE_RULES = "(TM2TF_MAX_RULES in the environment raises the limit)"
