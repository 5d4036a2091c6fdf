"""Halfspaces: examples without noise, two learners that separate them, and their exact errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from tm2tf.errors import ExtraError
from tm2tf.jit import cached_njit
from tm2tf.learning.claims.laws import sums_of
from tm2tf.learning.monte_carlo import generator
from tm2tf.learning.trials import Outcome, Task

Examples = Float64[np.ndarray, "trials n d"]
Labels = Float64[np.ndarray, "trials n"]
Vector = Float64[np.ndarray, " d"]

MARGIN = 0.99
"""How much of the margin 1 an example may lack: the solver stops within 0.001 of its optimum, and
what the greatest penalty still lets through comes on top."""

PENALTY = 1e9
"""Penalty C of the soft margin. The margin is hard as long as no multiplier reaches C, and then no
example lacks more than the solver's tolerance."""

ROUNDS = 300_000
"""Iterations after which that solver gives up, each of a few multiplications an example: where it
converges it mostly takes thousands, where it does not it would never end."""

FAR = 1e3
"""How much less a bias costs than a weight in `_least_distance`: its square counts 1e-6 times."""

RESCALED = 8
"""Times that `_least_distance` finds a better unit; from any start it takes two or three."""

UPDATES = 300_000
"""Mistakes after which the perceptron gives up. It makes (longest / margin)^2 at most, which has no
bound: two examples may lie as near the border as they like. Such trials are counted."""


def draw_examples(task: Task, n: int) -> tuple[Examples, Labels, Vector]:
    """Return Gaussian inputs, their labels, and the weights of the halfspace that gives these.

    Inputs have independent coordinates of variance 1, so no direction differs from another: the
    halfspace is that of the first coordinate, with no threshold.
    """
    x = generator(task).standard_normal((task["trials"], n, task["dimensions"]))
    target = np.zeros(task["dimensions"])
    target[0] = 1.0
    return x, np.where(x[..., 0] > 0, 1.0, -1.0), target


def errors(
    w: Float64[np.ndarray, "trials d"], b: Float64[np.ndarray, " trials"], target: Vector
) -> Float64[np.ndarray, " trials"]:
    """Return the chance that sign(w x + b) differs from sign(target x), for a Gaussian x.

    Let u and v be w x and target x over their lengths: normal, with correlation r. With h = -b/|w|
    the error is P(u < h, v > 0) + P(u > h, v < 0) = Phi(h) + 1/2 - 2 P(u < h, v < 0). Since
    P(u < h, v < 0) = Phi(h)/2 + T(h, r / sqrt(1 - r^2)), where T is Owen's function, this is
    1/2 - 2 T(h, r / sqrt(1 - r^2)); without bias, the angle over pi. Exact but for rounding. Where
    w = 0, one label is given to all, which errs half of the time.

    Source: Owen (1956), Ann. Math. Stat. 27, equation 3.1.

    Raises:
        ExtraError: scipy is not installed.
    """
    try:
        from scipy.special import owens_t
    except ImportError:
        raise ExtraError("the error of a halfspace", "scipy", "learn") from None
    length = np.linalg.norm(w, axis=1)
    safe = np.where(length > 0, length, 1.0)
    cosine = np.clip(w @ target / (safe * np.linalg.norm(target)), -1.0, 1.0)
    sine = np.sqrt((1 - cosine) * (1 + cosine))
    ratio = np.divide(cosine, sine, out=np.copysign(np.inf, cosine), where=sine > 0)
    wrong = np.clip(0.5 - 2 * owens_t(-b / safe, ratio), 0.0, 1.0)
    return np.where(length > 0, wrong, 0.5)


def max_margin(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"]) -> tuple[Vector, float]:
    """Return weights and bias of the max-margin separator; 0 and the label if there is but one.

    By scikit-learn's SVC with a linear kernel, checked: every example has margin `MARGIN` at least.
    Where the solver does not get there (its kernel values are float32, and small margins are lost
    to it), by `_least_distance`. Where that fails too, weights and bias are 0: their error is 1/2,
    and the trial counts as unfitted.

    Raises:
        ExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import SVC
    except ImportError:
        raise ExtraError("a max-margin separator", "scikit-learn", "learn") from None
    if (y == y[0]).all():
        return np.zeros(x.shape[1]), float(y[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solved = SVC(kernel="linear", C=PENALTY, max_iter=ROUNDS).fit(x, y)
    found = [(solved.coef_[0], float(solved.intercept_[0]))]
    if not _separates(x, y, *found[0]):
        found = _least_distance(x, y)
    return next((each for each in found if _separates(x, y, *each)), (np.zeros(x.shape[1]), 0.0))


def _separates(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"], w: Vector, b: float
) -> bool:
    return bool((y * (x @ w + b)).min() >= MARGIN)


def _least_distance(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"]
) -> list[tuple[Vector, float]]:
    """Return separators of the least |w|^2 + (b / `FAR`)^2 in float64, each by a better unit.

    Least distance programming: u of the least norm with G u >= h, here u = (w, b / FAR) in a unit
    in which |u| is about 1. With the r = E a - f that is least in a >= 0, for E = (G^T; h^T) and
    f = (0, ..., 0, 1), u is -r but for its last number, divided by that. Source: Lawson & Hanson,
    Solving Least Squares Problems (1974), chapter 23; nonnegative least squares by scipy.
    """
    from scipy.optimize import nnls

    n, d = x.shape
    rows = y[:, None] * np.hstack([x, np.full((n, 1), FAR)])
    aim = np.zeros(d + 2)
    aim[-1] = 1
    found: list[tuple[Vector, float]] = []
    unit = 1.0
    for _ in range(RESCALED):
        system = np.vstack([rows.T, np.full((1, n), unit)])
        try:
            multipliers, _ = nnls(system, aim)
        except RuntimeError:  # too many iterations
            break
        left = system @ multipliers - aim
        if left[-1] == 0:  # no separator, or none that this unit can tell
            break
        u = -left[:-1] / left[-1]
        found.insert(0, (u[:d] / unit, FAR * float(u[d]) / unit))
        unit /= max(float(np.linalg.norm(u)), np.finfo(np.float64).tiny)
    return found


@cached_njit()
def _perceptron(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"], most: int
) -> tuple[Vector, float]:
    """Go round the examples until none errs, or so many mistakes were made."""
    n, d = x.shape
    w, b, mistakes, right, i = np.zeros(d), 0.0, 0, 0, 0
    while right < n and mistakes < most:
        score = b
        for j in range(d):
            score += w[j] * x[i, j]
        if score * y[i] > 0:
            right += 1
        else:
            for j in range(d):
                w[j] += y[i] * x[i, j]
            b += y[i]
            mistakes, right = mistakes + 1, 0
        i = (i + 1) % n
    return w, b


def perceptron(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, " n"]) -> tuple[Vector, float]:
    """Return weights and bias with which the perceptron errs on no example.

    From 0, rate 1, through the examples in order, again and again, until it errs on none of them
    or has made `UPDATES` mistakes.

    Source: Rosenblatt (1958); Novikoff (1962) for (longest / margin)^2 mistakes at most.
    """
    w, b = _perceptron(x, y, UPDATES)
    return w, float(b)


def halfspaces(task: Task) -> Outcome:
    """Train learners on the first n examples, for each n; return their errors.

    `NAME_unfitted` counts the trials in which a learner errs on an example that it has seen.
    """
    sizes, learners = task["examples"], task["learners"]
    x, y, target = draw_examples(task, max(sizes))
    trials, d = task["trials"], task["dimensions"]
    outcome: Outcome = {}
    for name in learners:
        off, unfitted = np.zeros((trials, len(sizes))), 0
        for place, n in enumerate(sizes):
            w, b = np.zeros((trials, d)), np.zeros(trials)
            for t in range(trials):
                w[t], b[t] = LEARNERS[name](x[t, :n], y[t, :n])
                unfitted += int((y[t, :n] * (x[t, :n] @ w[t] + b[t]) <= 0).any())
            off[:, place] = errors(w, b, target)
        outcome |= sums_of(name, off, task["eps"]) | {f"{name}_unfitted": unfitted}
    return outcome


def rare(task: Task) -> Outcome:
    """Train on a line where -1 is rare and labelled -1, and +1 is common and labelled +1.

    The rare input's probability is just above eps, so that missing it is a failure.
    """
    eps, sizes = task["eps"], task["examples"]
    mass = eps + min(eps, 1 - eps) / 1024
    x = np.where(generator(task).random((task["trials"], max(sizes))) < mass, -1.0, 1.0)
    off = np.zeros((task["trials"], len(sizes)))
    for t, place in np.ndindex(*off.shape):
        seen = x[t, : sizes[place]]
        w, b = max_margin(seen[:, None], seen)
        off[t, place] = mass * (b - w[0] >= 0) + (1 - mass) * (b + w[0] <= 0)
    return sums_of("max_margin", off, eps)


LEARNERS: Mapping[str, Callable[..., tuple[Vector, float]]] = {
    "max_margin": max_margin,
    "perceptron": perceptron,
}
"""What separates examples, by name."""
