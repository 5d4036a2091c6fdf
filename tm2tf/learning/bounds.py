"""How many examples suffice: the sizes of four claims, with every constant.

The claims are those of A. Sharma, "Eliciting Fine-Tuned Transformer Capabilities via
Inference-Time Techniques" (arXiv 2506.08060), whose text gives orders of growth. The constants
here come from the theorems that each function names. Throughout, ln is the natural logarithm, the
total variation TV(p, q) is half the sum of |p - q|, eps is the error allowed, delta the
probability with which it may be exceeded, and "examples" are independent draws.

    A   text: the distribution of the next word in each of m contexts, V words
    B   text of a fixed length l: the distribution over V^l sequences
    C   halfspaces in d dimensions, labels without noise
    D   a predictor that is fixed before the examples are seen

`paper_*` are the paper's forms with natural logarithms. Orders of growth have no constant. Those of
B, C and D get the constant 1, for want of another. `paper_text` gets 1/2, and the 2m that it has
for m adds V ln 2: so it is `weissman` with each term at least as large, and suffices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import InputError

LARGEST = 10**15
"""Sizes beyond this are refused: float64 tells whole numbers apart up to 9 * 10^15."""


def weissman(eps: float, delta: float, contexts: int, words: int) -> int:
    """Return n with P(TV > eps in any context) <= delta, given n examples of each context.

    n = ceil((V ln 2 + ln(1 - 2^(1-V)) + ln(m/delta)) / (2 eps^2)).

    TV is the greatest p(A) - p'(A) over the 2^V - 2 events A that are neither empty nor
    everything; each exceeds eps with probability exp(-2 n eps^2) at most (Hoeffding). The sum over
    events and contexts is (2^V - 2) m exp(-2 n eps^2).

    Source: Weissman et al. (2003), Theorem 2.1; Bretagnolle and Huber (1979); also van der Vaart
    and Wellner (1996), A.6.6.
    """
    events = words * math.log(2) + math.log1p(-(2.0 ** (1 - words)))
    return _whole((events + math.log(contexts / delta)) / (2 * eps**2))


def mcdiarmid(eps: float, delta: float, contexts: int, words: int) -> int:
    """Return n with P(TV > eps in any context) <= delta, given n examples of each context.

    n = ceil((sqrt(V-1) + sqrt(2 ln(m/delta)))^2 / (4 eps^2)).

    The mean of TV is at most half the sum of sqrt(p(1-p)/n), so at most sqrt((V-1)/n)/2 by
    Cauchy and Schwarz. One example changes TV by 1/n at most, so it exceeds its mean by t with
    probability exp(-2 n t^2) at most. Both together are eps at this n.

    Source: McDiarmid (1989), Lemma 1.2.
    """
    root = math.sqrt(words - 1) + math.sqrt(2 * math.log(contexts / delta))
    return _whole(root**2 / (4 * eps**2))


def per_context(eps: float, delta: float, contexts: int, words: int) -> int:
    """Return the smaller of `weissman` and `mcdiarmid`."""
    return min(size(eps, delta, contexts, words) for size in (weissman, mcdiarmid))


def drawn_contexts(
    eps: float, delta: float, contexts: int, words: int, least: float | None = None
) -> int:
    """Return N with P(TV > eps in any context) <= delta, where contexts too are drawn at random.

    `least` is the smallest probability of a context (1/m if not given). With n' the size per
    context at delta/2, N = ceil(max(2 n'/least, 8 ln(2m/delta)/least)): each context then has
    N least/2 >= n' examples but with probability exp(-N least/8) <= delta/(2m).

    Source: Chernoff's bound (Mitzenmacher and Upfal, Theorem 4.5) and `per_context`.
    """
    pi = 1 / contexts if least is None else least
    each = per_context(eps, delta / 2, contexts, words)
    return _whole(max(2 * each, 8 * math.log(2 * contexts / delta)) / pi)


def paper_text(eps: float, delta: float, contexts: int, words: int) -> int:
    """Return n per context such that m n is the paper's O(m V/eps^2 log(m/delta)).

    n = ceil(V ln(2m/delta) / (2 eps^2)). It suffices, since it is at least `weissman`:
    V ln 2 + ln(m/delta) <= V (ln 2 + ln(m/delta)).
    """
    return _whole(words * math.log(2 * contexts / delta) / (2 * eps**2))


def sup_norm(eps: float, delta: float, words: int, length: int) -> int:
    """Return n with P(|p(s) - p'(s)| > eps for any sequence s) <= delta.

    n = ceil((l ln V + ln(2/delta)) / (2 eps^2)): Hoeffding for each of V^l sequences, both ways.
    It says the same of any V^l events named beforehand; it says nothing of TV.

    Source: Hoeffding (1963), Theorem 2.
    """
    return _whole((length * math.log(words) + math.log(2 / delta)) / (2 * eps**2))


def sup_norm_any(eps: float, delta: float) -> int:
    """Return n with P(|p(s) - p'(s)| > eps for any sequence s) <= delta, for every V and l.

    n = ceil(2 ln(2/delta) / eps^2). Number the sequences: p(s) is a difference of two values of
    the distribution function, which is nowhere off by more than eps/2.

    Source: Dvoretzky, Kiefer and Wolfowitz, with the constant of Massart (1990).
    """
    return _whole(2 * math.log(2 / delta) / eps**2)


def whole_outputs(eps: float, delta: float, words: int, length: int) -> int:
    """Return n with P(TV over all V^l sequences > eps) <= delta: claim A's, for V^l words."""
    if length * math.log10(words) > math.log10(LARGEST):
        raise _too_large()
    return per_context(eps, delta, 1, words**length)


def paper_outputs(eps: float, delta: float, words: int, length: int) -> int:
    """Return the paper's O(l log V/eps^2 log(1/delta)) with the constant 1."""
    return _whole(length * math.log(words) * math.log(1 / delta) / eps**2)


def halfspace_mean(eps: float, dimensions: int) -> int:
    """Return n such that the max-margin separator of n examples errs by eps at most, in the mean.

    n = ceil(k/eps) - 1 with k = d + 1. Of n + 1 examples, leaving one out changes the separator
    only if it is one of k at most that fix it; so the mean error from n is k/(n+1) at most.

    Source: Vapnik and Chervonenkis (1974); Vapnik (1998), Theorem 10.5.
    """
    return _whole((dimensions + 1) / eps) - 1


def halfspace_compression(eps: float, delta: float, dimensions: int) -> int:
    """Return n with P(error of the max-margin separator > eps) <= delta, by compression.

    The least n with ln C(n, k) + (n - k) ln(1 - eps) <= ln delta and k = d + 1: the separator is
    that of some k of its examples, C(n, k) choices, and one that errs by more than eps is right
    on the n - k others with probability (1 - eps)^(n-k) at most. The left side is 0 at n = k,
    rises as long as n < k/eps, and falls from there on.

    Source: Littlestone and Warmuth (1986), Theorem 2.1; Floyd and Warmuth (1995), Theorem 6.
    """
    k = dimensions + 1

    def enough(n: int) -> bool:
        choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return choices + (n - k) * math.log1p(-eps) + _rounding(n) <= math.log(delta)

    return _least(enough, _whole(k / eps))


def halfspace_scenario(eps: float, delta: float, dimensions: int) -> int:
    """Return n with P(error of the max-margin separator > eps) <= delta, by convex programming.

    The least n with P(Binomial(n, eps) < k) <= delta and k = d + 1. The separator solves a convex
    program in k unknowns with one constraint an example, and the chance that its solution breaks
    a constraint drawn anew exceeds eps with that probability at most. An error breaks its own
    constraint, y (w x + b) >= 1. Taken where both labels occur, so that b is unique.

    Source: Campi and Garatti (2008), Theorem 1 (SIAM J. Optim. 19, 1211-1230).
    """
    k = dimensions + 1

    def enough(n: int) -> bool:
        return binomial_below(k, n, eps) * (1 + _rounding(n)) <= delta

    return _least(enough, k)


def _rounding(n: int) -> float:
    """Return how far a sum of logarithms of factorials up to n! may be off, relative to 1.

    Sixteen units in the last place (2^-52) of the largest one: three of them and two products are
    summed, each off by a unit or two. What is guaranteed then holds in exact arithmetic, too.
    """
    return 2.0**-48 * (1 + math.lgamma(n + 1))


def binomial_below(k: int, n: int, p: float) -> float:
    """Return P(Binomial(n, p) < k) for k up to n + 1 and 0 < p < 1: each term by its logarithm."""
    terms = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k)
    )  # fmt: skip
    return math.fsum(map(math.exp, terms))


def paper_halfspace(eps: float, dimensions: int) -> int:
    """Return the paper's O(d/eps) with the constant 1."""
    return _whole(dimensions / eps)


def fixed_predictor(eps: float, delta: float) -> int:
    """Return n with P(|share of errors among n examples - error| > eps) <= delta.

    n = ceil(ln(2/delta) / (2 eps^2)), for a predictor chosen without looking at the examples.

    Source: Hoeffding (1963), Theorem 2.
    """
    return _whole(math.log(2 / delta) / (2 * eps**2))


def paper_predictor(eps: float, delta: float) -> int:
    """Return the paper's O(1/eps^2 log 1/delta) with the constant 1.

    For delta <= 1/2 it is at least `fixed_predictor`, of the same order with Hoeffding's constant.
    """
    return _whole(math.log(1 / delta) / eps**2)


@dataclass(frozen=True, slots=True)
class Bound:
    """A size: what it is for, and what is guaranteed.

    Attributes:
        claim: "A", "B", "C" or "D".
        name: the function of this module that gives it.
        examples: how many, in all.
        each: how many of each context; None where contexts are drawn, or there are none.
        formula: as text.
        guarantee: what holds with so many; "" for a paper's form that guarantees nothing.
        source: the theorem.
    """

    claim: str
    name: str
    examples: int
    each: int | None
    formula: str
    guarantee: str
    source: str


PAPER = {
    "A": "O(m V/eps^2 log(m/delta))",
    "B": "O(l log V/eps^2 log(1/delta))",
    "C": "O(d/eps)",
    "D": "O(1/eps^2 log(1/delta))",
}
"""What the paper states for each claim."""


def table(
    eps: float, delta: float, contexts: int, words: int, length: int, dimensions: int
) -> list[Bound]:
    """Return all sizes, claim by claim.

    Raises:
        InputError: a number is out of range, or a size is too large to be told exactly.
    """
    check(eps, delta, contexts, words, length, dimensions)
    m, paper = contexts, "arXiv 2506.08060, constant 1"
    text = (eps, delta, contexts, words)
    mean, likely = "mean error <= eps", "error <= eps with probability 1 - delta"
    every = "TV <= eps in every context with probability 1 - delta"
    sup = "no sequence off by more than eps with probability 1 - delta"

    def entry(
        claim: str, name: str, n: int, formula: str, guarantee: str, source: str, *, each: bool
    ) -> Bound:
        total = m * n if each else n
        return Bound(claim, name, total, n if each else None, formula, guarantee, source)

    return [
        entry("A", "weissman", weissman(*text),
              "m (V ln 2 + ln(1 - 2^(1-V)) + ln(m/delta)) / (2 eps^2)", every,
              "Weissman et al. 2003; Bretagnolle and Huber 1979", each=True),
        entry("A", "mcdiarmid", mcdiarmid(*text),
              "m (sqrt(V-1) + sqrt(2 ln(m/delta)))^2 / (4 eps^2)", every,
              "McDiarmid 1989", each=True),
        entry("A", "drawn_contexts", drawn_contexts(*text),
              "max(2 n'/pi, 8 ln(2m/delta)/pi), n' at delta/2, pi = 1/m", every,
              "Chernoff, and the smaller of both above", each=False),
        entry("A", "paper_text", paper_text(*text),
              "m V ln(2m/delta) / (2 eps^2)", every, "the above: it is at least weissman",
              each=True),
        entry("B", "sup_norm", sup_norm(eps, delta, words, length),
              "(l ln V + ln(2/delta)) / (2 eps^2)", sup, "Hoeffding 1963", each=False),
        entry("B", "sup_norm_any", sup_norm_any(eps, delta),
              "2 ln(2/delta) / eps^2", sup, "Massart 1990", each=False),
        entry("B", "whole_outputs", whole_outputs(eps, delta, words, length),
              "A with m = 1 and V^l words", "TV <= eps with probability 1 - delta",
              "as for A", each=False),
        entry("B", "paper_outputs", paper_outputs(eps, delta, words, length),
              "l ln V ln(1/delta) / eps^2", "", paper, each=False),
        entry("C", "halfspace_mean", halfspace_mean(eps, dimensions),
              "(d+1)/eps - 1", mean, "Vapnik and Chervonenkis 1974", each=False),
        entry("C", "halfspace_scenario", halfspace_scenario(eps, delta, dimensions),
              "least n: P(Binomial(n, eps) <= d) <= delta", likely, "Campi and Garatti 2008",
              each=False),
        entry("C", "halfspace_compression", halfspace_compression(eps, delta, dimensions),
              "least n: C(n, d+1) (1-eps)^(n-d-1) <= delta", likely,
              "Littlestone and Warmuth 1986", each=False),
        entry("C", "paper_halfspace", paper_halfspace(eps, dimensions),
              "d/eps", "", paper, each=False),
        entry("D", "fixed_predictor", fixed_predictor(eps, delta),
              "ln(2/delta) / (2 eps^2)", "|share of errors - error| <= eps with probability "
              "1 - delta", "Hoeffding 1963", each=False),
        entry("D", "paper_predictor", paper_predictor(eps, delta),
              "ln(1/delta) / eps^2", "", paper, each=False),
    ]  # fmt: skip


def check(
    eps: float, delta: float, contexts: int, words: int, length: int, dimensions: int
) -> None:
    """Refuse numbers for which the formulas mean nothing.

    Raises:
        InputError: eps or delta is not between 0 and 1, or something is counted below its least.
    """
    for name, value in (("eps", eps), ("delta", delta)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; take a number between 0 and 1, such as 0.1")
    counted = (
        ("contexts", contexts, 1),
        ("vocabulary", words, 2),
        ("length", length, 1),
        ("dimensions", dimensions, 1),
    )
    for name, count, least in counted:
        if count < least:
            raise InputError(f"{name} is {count}; take {least} or more")


def _whole(size: float) -> int:
    """Return the ceiling of a size; one that is a whole number but for rounding stays.

    Sums and quotients of a few float64 are right to 10 * 2^-53 of their value; 2^-45 is more.
    """
    if size > LARGEST:
        raise _too_large()
    return math.ceil(size * (1 - 2.0**-45))


def _too_large() -> InputError:
    return InputError(
        f"a size exceeds {LARGEST:,} examples; take a larger eps, a smaller vocabulary, or a "
        "shorter length"
    )


def _least(enough: Callable[[int], bool], start: int) -> int:
    """Return the least n >= `start` that is enough, where all beyond an enough n are."""
    if enough(start):
        return start
    low, high = start, 2 * start
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
