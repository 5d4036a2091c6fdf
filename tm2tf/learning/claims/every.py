"""All four claims: their experiments planned, run together, and reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tm2tf.errors import InputError, choose
from tm2tf.learning import bounds
from tm2tf.learning.claims import next_word, outputs, predictor, separators
from tm2tf.learning.claims.laws import MOST_WORDS
from tm2tf.learning.monte_carlo import Experiment, Rate, Report, Results, Size, blocks
from tm2tf.learning.trials import Outcome, Progress, Task, Work, run_trials


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim by its letter: which experiments it takes, and what they say."""

    name: str
    plan: Callable[[Size], Iterator[tuple[Experiment, int]]]
    report: Callable[[Size, Results], Report]


CLAIMS = (
    Claim("A", next_word.plan, next_word.report),
    Claim("B", outputs.plan, outputs.report),
    Claim("C", separators.plan, separators.report),
    Claim("D", predictor.plan, predictor.report),
)


MOST_EXAMPLES = {"halfspaces": 2_000, "in_context": 20_000}
"""Examples of a trial at most, by the kind of its experiment. Among more of them there are margins
too small for the solver; and a prompt of more is read for minutes, since attention takes the square
of its length."""

MOST_READ = 2**23
"""Names of contexts and words, times names and examples, of a prompt at most: a prompt has some
numbers for each name and example, and weights for each pair of names. Both runtimes took some
seconds for a prompt that has nearly so many."""

DONE_WITH = {"halfspaces": "separate", "in_context": "put into a prompt"}
"""What such an experiment does with its examples."""


def block(task: Task) -> Outcome:
    """Carry out one block of trials, by the kind of its experiment."""
    # imported here, so that whoever only counts loads neither torch nor scikit-learn
    from tm2tf.learning.claims import gradient, halfspaces, in_context, laws, on_tape, rounded

    kinds: Mapping[str, Work] = {
        "text": laws.text,
        "drawn_text": laws.drawn_text,
        "fixed": laws.fixed,
        "tables": gradient.tables,
        "logistic": gradient.logistic,
        "halfspaces": halfspaces.halfspaces,
        "rare": halfspaces.rare,
        "in_context": in_context.in_context,
        "rounded": rounded.rounded,
        "on_tape": on_tape.on_tape,
    }
    return kinds[task["kind"]](task)


@dataclass(frozen=True, slots=True)
class Found:
    """The reports of some claims.

    Attributes:
        reports: one a claim, in the order of `CLAIMS`.
        trials_through_weights: whose examples stood in a prompt.
        tokens_through_weights: of all prompts.
        distributions_through_weights: read from the two runtimes.
        unequal_distributions: of these, those that were not the shares of the examples to the last
            bit.
        runs_on_tape: training runs, of as many trials.
        updates_on_tape: of these runs, each compared with torch's and numpy's.
        steps_on_tape: of these runs, each verified.
        unequal_runs: runs in which a step, an update or an answer differs.
    """

    reports: tuple[Report, ...]
    trials_through_weights: int
    tokens_through_weights: int
    distributions_through_weights: int
    unequal_distributions: int
    runs_on_tape: int
    updates_on_tape: int
    steps_on_tape: int
    unequal_runs: int

    @property
    def unequal(self) -> int:
        """Distributions and training runs in which the weights did anything wrong."""
        return self.unequal_distributions + self.unequal_runs

    @property
    def exceeded(self) -> list[Rate]:
        """What contradicts a theorem."""
        return [row for report in self.reports for row in report.rates if row.exceeded]

    @property
    def good(self) -> bool:
        """Whether no theorem is contradicted, and the weights counted and trained right."""
        return not self.exceeded and self.unequal == 0


def tasks_of(size: Size, claims: Sequence[Claim]) -> list[Task]:
    """Return the blocks of all experiments, each experiment once.

    Raises:
        InputError: a number is out of range, or there are too many words to count or examples to
            learn from.
    """
    check(size, claims)
    planned: dict[str, tuple[Experiment, int]] = {}
    for claim in claims:
        for experiment, trials in claim.plan(size):
            _check_examples(claim, experiment)
            planned.setdefault(repr(sorted(experiment.items())), (experiment, trials))
    return [task for experiment, trials in planned.values()
            for task in blocks(experiment, trials, size.seed)]  # fmt: skip


def check(size: Size, claims: Sequence[Claim]) -> None:
    """Refuse sizes whose Monte Carlo makes no sense, or more words than are counted.

    Raises:
        InputError: so it is; the message says what to change.
    """
    text = (size.contexts, size.vocabulary, size.length, size.dimensions)
    bounds.check(size.eps, size.delta, *text)
    for name in ("trials", "through_weights"):
        if getattr(size, name) < 1:
            raise InputError(f"{name} is {getattr(size, name)}; take 1 or more")
    named = {claim.name for claim in claims}
    words = {
        "A": max(
            size.contexts * max(size.vocabulary, *size.vocabularies),
            max(size.context_counts) * size.vocabulary,
        ),
        "B": size.vocabulary**size.length,
    }
    for name, count in words.items():
        if name in named and count > MOST_WORDS:
            raise InputError(
                f"claim {name} would count {count:,} words in each trial, and takes {MOST_WORDS:,} "
                "at most; take fewer contexts, a smaller vocabulary or a shorter length, or leave "
                "the claim out with --claim"
            )


def _check_examples(claim: Claim, experiment: Experiment) -> None:
    """Refuse an experiment with more examples than its kind takes.

    Raises:
        InputError: so it is; the message says what to change.
    """
    kind = experiment["kind"]
    count = experiment.get("contexts", 1) * int(np.max(experiment["examples"]))
    if kind == "in_context":
        names = experiment["contexts"] + experiment["words"]
        if names * (names + count) > MOST_READ:
            raise InputError(
                f"claim {claim.name} would put {count:,} examples of {names:,} contexts and words "
                f"into a prompt, and takes {max(0, MOST_READ // names - names):,} at most for so "
                "many names; take a larger eps, a smaller vocabulary or a shorter length, or leave "
                "the claim out with --claim"
            )
    if count > MOST_EXAMPLES.get(kind, count):
        raise InputError(
            f"claim {claim.name} would {DONE_WITH[kind]} {count:,} examples in each trial, and "
            f"takes {MOST_EXAMPLES[kind]:,} at most; take a larger eps or delta, or leave the "
            "claim out with --claim"
        )


def by_names(names: Sequence[str]) -> tuple[Claim, ...]:
    """Return the claims called so, in the order of `CLAIMS`; all of them where none is named.

    Raises:
        NotFoundError: there is no such claim.
    """
    chosen = {choose("claim", name, CLAIMS).name for name in names}
    return tuple(claim for claim in CLAIMS if not names or claim.name in chosen)


def run(
    size: Size,
    claims: Sequence[Claim] = CLAIMS,
    *,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> Found:
    """Return what the Monte Carlo of some claims says.

    Args:
        size: how large it is.
        claims: which.
        folder: keeps finished blocks of trials, which are not done again.
        workers: processes.
        on_progress: takes the number of blocks done; `tasks_of` says how many there are.

    Raises:
        InputError: a number is out of range, or the folder cannot be read or written.
        ExtraError: scikit-learn or scipy is not installed, and claim C or D asks for it.
    """
    tasks = tasks_of(size, claims)
    done = run_trials(block, tasks, folder=folder, workers=workers, on_progress=on_progress)
    results = Results(tasks, done)
    outcomes = list(zip(tasks, done, strict=True))

    def total(name: str, *kinds: str) -> int:
        return sum(
            int({**outcome, "trials": task["trials"]}[name])
            for task, outcome in outcomes
            if task["kind"] in kinds
        )

    return Found(
        reports=tuple(claim.report(size, results) for claim in claims),
        trials_through_weights=total("trials", "in_context", "on_tape"),
        tokens_through_weights=total("tokens", "in_context", "on_tape"),
        distributions_through_weights=total("read", "in_context"),
        unequal_distributions=total("unequal", "in_context"),
        runs_on_tape=total("trials", "on_tape"),
        updates_on_tape=total("updates", "on_tape"),
        steps_on_tape=total("steps", "on_tape"),
        unequal_runs=total("unequal", "on_tape"),
    )


def as_json(found: Found) -> dict[str, Any]:
    """Return everything found, as JSON has it."""
    return {
        "claims": [{**asdict(report), "verdict": report.verdict} for report in found.reports],
        "through_weights": {
            "trials": found.trials_through_weights,
            "tokens": found.tokens_through_weights,
            "distributions": found.distributions_through_weights,
            "unequal_distributions": found.unequal_distributions,
            "runs_on_tape": found.runs_on_tape,
            "updates_on_tape": found.updates_on_tape,
            "steps_on_tape": found.steps_on_tape,
            "unequal_runs": found.unequal_runs,
            "unequal": found.unequal,
        },
        "exceeded": [asdict(row) for row in found.exceeded],
        "good": found.good,
    }
