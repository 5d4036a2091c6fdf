"""How long a context stays exact in a dtype, and the constants that make it so: all derived here.

Every entry of the residual stream is +1 or -1 (`wiring`), exactly: what attention and feed-forward
layers add is 0 or 2 but for an error below 2^-25, and in no dtype of at most 24 bits is there a
number that near to +-1 besides it. So nothing adds up from layer to layer, and what has to be
shown is that each softmax puts all but 2^-26 of its weight on one position, that is: that the
score of that position is ahead of all others.

Let u = 2^-bits be the unit roundoff of the dtype, n the pairs a position has to agree in, P the
longest context. A score is the sum of C for each pair that agrees, and of a recency, which grows
by at least r nats from a position to the next. The begin token agrees with every query. With C
greater than all of the recency, the latest position that agrees in all pairs wins.

GPT-2 (original). wpe holds the bits of the position t, K of them, 2^K >= P; the query weighs bit b
with r 2^b, so recency is r t; and C = r 2^K. All terms of a score are multiples of r, and their
sum is less than (n + 1) 2^K r: it is the same in every order of summation, and exact if the sum
is accumulated in float32, whatever the dtype of the factors, as long as

    (n + 1) 2^K <= 2^24.                                                              (G)

The factors are powers of two, so they are exact in each dtype. C sqrt(d_head) is split evenly
between query and key, which matters in float16: its greatest power of two is 2^15, and padding has
twice the key. d_head = 256, as sqrt(d_head) = 16 and its own root 4, by which some kernels scale q
and k, are powers of two.

Llama (original). Rotary positions are relative. On a pair of dimensions that turns by w = phi / P
a position, a query (0, A) and a key (1, 0) give the score -A sin(w (t - j)), for a key j at the
query t: it falls by at least A w cos(phi) a position, so A = r / w. Keys that must agree lie on
the first halves of the slowest pairs, and lose at most `loss` = (w_c P)^2 / 2 of their weight, w_c
the fastest of them. The begin token is found if nothing agrees: C (1 - n loss) >= A sin(phi) + m.

Scores are compared at one query, so only the errors of keys matter (those of the query turn all of
them alike: below u r). A key's weight is a power of two, so u enters by its cosine and sine alone:

    two keys:        2 (tau_c + tau_s) A sin(phi)   tau: error of cos, of sin relative to sin(phi)
    their angles:    2 (i + 2) 2^-24 A phi          roundings of t w in float32, see below
    products:        4 A sin(phi) 2^-24 + 2 n C 2^-24
    sums:            2 (n + 2) (n C + 2 A sin(phi)) 2^-24
    kernels that scale q and k by d_head^(-1/4), before:  2 (n C + 2 A sin(phi)) 2^-24

An angle is a product, of two roundings (transformers), or comes from the position by i repeated
multiplications, i the recency's pair (llama.cpp); what is off in w alone is off everywhere alike.
In float32, libraries take sine and cosine to 4 units in the last place (the vectorised ones say
3.5 at most): tau_c = 2^-22, tau_s = 2^-21. Below it, rounding to the dtype is what counts: phi is
chosen so that sin(phi) is a little below 1/4, where tau_c = tau_s = u / 2, with the float32 error
besides. If the loss is below 2^-26 the cosines of contents are 1; else 2 tau_c n C is added. The
sum E(P) of it all has to leave `NATS` between a position and the next:

    r cos(phi) / (1, or 2 if a head asks how many positions there are) - E(P) >= 20.   (L)

E / r is proportional to P, so (L) has a greatest P. It supposes that scores are accumulated in
float32, that positions are turned into angles in float32, and that keys are kept in the dtype.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tm2tf.errors import BoundError, NotFoundError

NATS = 20.0
"""Least lead of a position over the one before: e^-20 = 2.1e-9, of which a geometric series is
left, is less than 2^-26 = 1.5e-8."""

UNIT = 2.0**-24
"""float32's unit roundoff: scores are accumulated in it."""

GPT2_R = 64.0
"""Nats a position; half of it where a head asks for a position: e^-32."""

GPT2_HEAD = 256
"""A power of 16, see above; and more than any lookup needs."""

LLAMA_R = 1024.0
"""Nats a position at least: (L) needs 20 of them, so nearly all of it is left for E(P)."""

PHI = 0.2526
"""Greatest angle of the recency, sin(PHI) = 0.24992, just below 2^-2."""

GREATEST_BASE = 1e37
"""Bases of rotary frequencies stay below it: float32 ends at 3.4e38, past which recency is gone."""

STILL = 2.0**-26
"""A loss at which cosines are 1 in float32: half of its distance from 1 to the number below."""

LOGIT = 64.0
"""Nats by which the right token leads: 1 - p < vocabulary * e^-64 = vocabulary * 1.6e-28."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """A floating-point format: bits of its significand, the exponent of its greatest power of 2."""

    name: str
    bits: int
    greatest: int


DTYPES = (Dtype("float32", 24, 127), Dtype("bfloat16", 8, 127), Dtype("float16", 11, 15))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a checkpoint is certified for.

    Attributes:
        architecture: "gpt2" or "llama".
        dtype: of weights, activations and cached keys.
        positions: the longest context it was made for.
        greatest: the longest for which one could be made in this dtype, by `formula`.
        agree: the n of the formula.
        lead: nats by which the right position leads in a score, at the least.
        logit: nats by which the right token leads.
        by_dtype: the longest context for which one could be made, for each dtype.
    """

    architecture: str
    dtype: str
    positions: int
    greatest: int
    agree: int
    lead: float
    logit: float
    formula: str
    by_dtype: dict[str, int]


def dtype_called(name: str) -> Dtype:
    """Return a dtype by name."""
    for dtype in DTYPES:
        if dtype.name == name:
            return dtype
    known = ", ".join(dtype.name for dtype in DTYPES)
    raise NotFoundError(f"unknown dtype {name!r}; known: {known}")


def gpt2_bits(positions: int) -> int:
    """Return K, the bits of a position below `positions`."""
    return max(1, (positions - 1).bit_length())


def gpt2_greatest(agree: int, dtype: Dtype) -> int:
    """Return the longest context that (G) and the range of the dtype allow."""
    bits = 24 - math.ceil(math.log2(agree + 1))
    scale = math.sqrt(GPT2_HEAD)
    while 2 * GPT2_R * 2.0**bits * scale > 4.0**dtype.greatest:  # twice: the key of padding
        bits -= 1
    return 1 << bits


def gpt2_limits(agree: int, positions: int, dtype: Dtype, asks: bool) -> Limits:
    """Return the limits of a GPT-2."""
    greatest = gpt2_greatest(agree, dtype)
    return Limits(
        "gpt2",
        dtype.name,
        positions,
        greatest,
        agree,
        GPT2_R / 2 if asks else GPT2_R,
        LOGIT,
        "(n + 1) 2^K <= 2^24 with 2^K >= positions",
        {other.name: gpt2_greatest(agree, other) for other in DTYPES},
    )


def split(product: float) -> tuple[float, float]:
    """Return two powers of two, as equal as can be, with a power of two as their product."""
    exponent = round(math.log2(product))
    first = 2.0 ** (exponent // 2)
    return first, product / first


@dataclass(frozen=True, slots=True)
class Rotary:
    """The constants of a Llama's heads.

    Attributes:
        d_head: dimensions of a head; `pair` the recency's pair among d_head / 2, from the fastest.
        theta: the base of the frequencies; w: what the recency's pair turns by a position.
        A, C: weights of recency and of a pair that agrees, in nats.
        lead: (L)'s left side.
    """

    d_head: int
    pair: int
    theta: float
    w: float
    A: float
    C: float
    lead: float


def rotary(agree: int, wide: int, positions: int, dtype: Dtype, asks: bool) -> Rotary:
    """Return the constants for contexts of `positions`; `wide`: the most pairs that a head has."""
    half = 32
    while True:
        # the least pair whose base is not too great leaves the contents slowest
        pair = max(1, math.ceil(half * math.log(positions / PHI) / math.log(GREATEST_BASE)))
        theta = (positions / PHI) ** (half / pair)
        loss = (theta ** (wide / half - 1) * positions) ** 2 / 2
        # in half precision cosines that are not 1 cost more than wider heads do
        if pair + wide < half and (dtype.bits == 24 or loss <= STILL):
            break
        half *= 4
    w = PHI / positions
    A = 2.0 ** math.ceil(math.log2(LLAMA_R / w))
    sine = math.sin(PHI)
    tau_c, tau_s = 4 * UNIT, 8 * UNIT
    if dtype.bits < 24:
        tau_c, tau_s = tau_c + 2.0**-dtype.bits / 2, tau_s + 2.0**-dtype.bits / 2
    leak = math.log(positions) + 26 * math.log(2)
    C, error = 0.0, 0.0
    for _ in range(8):  # C needs E and E needs C; each is nearly linear in the other
        C = (A * sine + leak + error) / (1 - agree * loss)
        C *= 1 + 2.0 ** (1 - dtype.bits)  # may be rounded up in the query
        error = 2 * (tau_c + tau_s) * A * sine + 2 * (pair + 2) * UNIT * A * PHI
        error += (4 * A * sine + 2 * agree * C) * UNIT
        error += 2 * (agree + 3) * (agree * C + 2 * A * sine) * UNIT
        if loss > STILL:
            error += 2 * tau_c * agree * C
    step = A * w * math.cos(PHI) / 2 if asks else A * w * math.cos(PHI)
    if asks:  # what is compared with the recency is rounded itself
        error += A * sine * 2.0**-dtype.bits
    return Rotary(2 * half, pair, theta, w, A, C, step - error)


def llama_greatest(agree: int, wide: int, dtype: Dtype, asks: bool) -> int:
    """Return the longest context that (L) allows."""
    low, high = 1, 2**24
    while low < high:
        middle = (low + high + 1) // 2
        fits = rotary(agree, wide, middle, dtype, asks).lead >= NATS
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def llama_limits(
    agree: int, wide: int, positions: int, dtype: Dtype, asks: bool
) -> tuple[Limits, Rotary]:
    """Return the limits and the constants of a Llama."""
    greatest = llama_greatest(agree, wide, dtype, asks)
    made = rotary(agree, wide, positions, dtype, asks)
    limits = Limits(
        "llama",
        dtype.name,
        positions,
        greatest,
        agree,
        made.lead,
        LOGIT,
        "r cos(phi) - E(P) >= 20",
        {other.name: llama_greatest(agree, wide, other, asks) for other in DTYPES},
    )
    return limits, made


class TooLongError(BoundError):
    """A checkpoint would not be exact in the context that is asked for; `limits` says in which."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        super().__init__(
            f"a {limits.architecture} in {limits.dtype} is exact in contexts of up to "
            f"{limits.greatest:,} tokens, by {limits.formula}; {limits.positions:,} are asked for",
            bound="position",
        )


def require_exact(limits: Limits) -> None:
    """Raise `TooLongError` where a context would be longer than the longest exact one."""
    if limits.positions > limits.greatest:
        raise TooLongError(limits)
