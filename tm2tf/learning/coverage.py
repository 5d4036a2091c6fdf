"""How likely it is that so many examples show every rule that a run needs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

EXACT = 16
"""Rules up to which the probability is exact: the sum has a term for each subset, 2^16."""


def covered(shares: Sequence[float], draws: int) -> tuple[float, float]:
    """Return bounds on the probability that `draws` examples show each of some rules.

    An example shows rule r with probability `shares[r]`, independently of the others. Both bounds
    are the probability itself for up to `EXACT` rules, by inclusion and exclusion:
        P = sum over subsets T of (-1)^|T| (1 - q_T)^n,   q_T = sum of q_r over T.
    For more, with m_r = (1 - q_r)^n the probability that rule r is missed, it lies between
    1 - sum of m_r (union bound) and the product of (1 - m_r): the events "r is shown" are
    negatively associated (Joag-Dev & Proschan 1983, Annals of Statistics 11, 286-295).
    """
    if draws < len(shares):
        return 0.0, 0.0
    if len(shares) <= EXACT:
        signs, sums = np.ones(1), np.zeros(1)
        for share in shares:
            signs, sums = np.concatenate([signs, -signs]), np.concatenate([sums, sums + share])
        total = math.fsum(signs * np.clip(1 - sums, 0, 1) ** draws)
        exact = min(1.0, max(0.0, total))
        return exact, exact
    missed = [max(0.0, 1 - share) ** draws for share in shares]
    return max(0.0, 1 - math.fsum(missed)), math.prod(1 - miss for miss in missed)


def predicted(
    counts: Mapping[str, int], needed: Sequence[Collection[str]], draws: int
) -> tuple[float, float]:
    """Return bounds on the mean share of runs whose rules are all shown.

    Args:
        counts: how often each rule stands in the data that examples are drawn from, with
            replacement; a rule that does not stand there is never shown.
        needed: the rules that each run needs.
        draws: the number of examples.
    """
    total = sum(counts.values())
    known: dict[frozenset[str], tuple[float, float]] = {}

    def each() -> Iterator[tuple[float, float]]:
        for rules in map(frozenset, needed):
            if rules not in known:
                shares = [counts.get(rule, 0) / total for rule in sorted(rules)]
                known[rules] = covered(shares, draws)
            yield known[rules]

    low, high = zip(*each(), strict=True)
    return math.fsum(low) / len(needed), math.fsum(high) / len(needed)
