"""A machine with noise, and how far the shares of so many examples are from the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64

from tm2tf.constructions.tokens import step_token
from tm2tf.constructions.universal import ARROW, MOVE_WORDS
from tm2tf.learning.observations import Teacher
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Transition


@dataclass(frozen=True, slots=True)
class Step:
    """What was seen in one step: the context, a state and the symbol read, and the next token.

    `example` is the same in the words of a prompt.
    """

    context: tuple[str, str]
    token: str
    example: tuple[str, ...]


class NoisyMachine:
    """A machine that takes another transition than its rule says with probability `noise`.

    All transitions that its states, symbols and moves allow are equally likely then. Where it has
    no rule it stops, always.

    Attributes:
        teacher: the machine under canonical names.
        tokens: the step tokens of all those transitions, and last the one that ends runs.
    """

    def __init__(self, teacher: Teacher, noise: float) -> None:
        known = teacher.known
        self.teacher = teacher
        self._transitions = [
            Transition(state, (symbol,), (move,))
            for state, symbol, move in product(known.states, known.symbols, OFFSET)
        ]
        self._stuck = f"<stuck:{UNDEFINED_OUTCOME[known.undefined]}>"
        self.tokens = (*(step_token(known, to) for to in self._transitions), self._stuck)
        number = {to: i for i, to in enumerate(self._transitions)}
        others = len(number) - 1
        self._truth = {}
        for state, read in product(known.states, known.symbols):
            to = known.transitions.get((state, (read,)))
            share = np.zeros(len(self.tokens))
            if to is None:
                share[-1] = 1
            else:
                share[:-1] = noise / others if others else 0
                share[number[to]] = 1 - noise if others else 1
            self._truth[state, read] = share

    def truth(self, context: tuple[str, str]) -> Float64[np.ndarray, " tokens"]:
        """Return the probability of each token after a context."""
        return self._truth[context]

    def run(
        self, start: Mapping[int, str], head: int, max_steps: int, seed: list[int]
    ) -> list[Step]:
        """Return a random run from the start state, with these cells under and around the head."""
        known, random = self.teacher.known, np.random.default_rng(seed)
        state, cells = known.start, dict(start)
        steps: list[Step] = []
        while known.outcome_of(state) is None and len(steps) < max_steps:
            context = (state, cells.get(head, known.blank))
            drawn = int(random.choice(len(self.tokens), p=self._truth[context]))
            if drawn == len(self._transitions):
                steps.append(Step(context, self._stuck, (*context, ARROW, self._stuck)))
                break
            to = self._transitions[drawn]
            says = (to.state, *to.writes, MOVE_WORDS[to.moves[0]])
            steps.append(Step(context, self.tokens[drawn], (*context, ARROW, *says)))
            cells[head] = to.writes[0]
            state, head = to.state, head + OFFSET[to.moves[0]]
        return steps


def expected_distance(
    truth: Float64[np.ndarray, " tokens"], marked: int, steps: int, draws: int
) -> float:
    """Return the expected total variation between a truth and the examples' distribution.

    The examples are `draws` of `steps` steps, none twice; `marked` of the steps are of the context
    in question, and each of these shows a token drawn from `truth`. Given m of them, token v has
    X ~ Binomial(m, p_v), and by de Moivre's formula (Diaconis & Zabell 1991, Statistical Science 6,
    284-302)
        E|X - m p| = 2 k C(m, k) p^k (1-p)^(m-k+1),   k = floor(m p) + 1;
    the distance is the sum of E|X/m - p_v| over v, halved, and 1 for m = 0: nothing is known then.
    The mean is taken over m, which is hypergeometric:
        P(m) = C(marked, m) C(steps - marked, draws - m) / C(steps, draws).
    """
    values, times = np.unique(truth[(truth > 0) & (truth < 1)], return_counts=True)
    total = 0.0
    every = _log_choose(steps, draws)
    for m in range(max(0, draws - steps + marked), min(draws, marked) + 1):
        ways = _log_choose(marked, m) + _log_choose(steps - marked, draws - m)
        weight = math.exp(ways - every)
        if weight < 1e-12:  # together less than 1e-12 * draws of a number up to 1
            continue
        if m == 0:
            total += weight
            continue
        each = sum(t * _mean_deviation(m, float(p)) for p, t in zip(values, times, strict=True))
        total += weight * each / (2 * m)
    return total


def _mean_deviation(m: int, p: float) -> float:
    k = math.floor(m * p) + 1
    return 0.0 if k > m else 2 * k * math.exp(_log_binomial(m, k, p)) * (1 - p)


def _log_binomial(n: int, k: int, p: float) -> float:
    """Return ln(C(n, k) p^k (1-p)^(n-k))."""
    if p in (0, 1):
        return 0.0 if k == n * p else -math.inf
    return _log_choose(n, k) + k * math.log(p) + (n - k) * math.log1p(-p)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
