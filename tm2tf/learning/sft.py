"""Fine-tuning on the tape: a learner as a Turing machine, as a transformer, beside torch.

The data becomes an input tape, the tape a prompt. The weights that were compiled from the learner
(they are the same for all data) emit the training run token by token; `lockstep` verifies every
step of it against the machine. From the same tokens the machine's weights are read after every
update, and compared with what torch.optim.SGD holds then: as float64, byte by byte.

The negative control: the examples alone do not determine what fine-tuning ends in. From other
theta_0, or in another order, SGD answers some queries differently; given that theta_0 (on tape 1)
or that order, the same machine does just the same as each of those runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.api import Model
from tm2tf.api import compile as compile_model
from tm2tf.errors import InputError
from tm2tf.learning.gradient import Trained, fine_tune, predict
from tm2tf.learning.labelled import Labelled
from tm2tf.learning.references import majority_labels, nearest_labels
from tm2tf.learning.replay import Replay
from tm2tf.learning.tape import layout, majority, nearest, perceptron
from tm2tf.machine.spec import Machine, Tape
from tm2tf.verify.lockstep import Check, lockstep

Progress = Callable[[int], None]

LEARNERS: Mapping[str, str] = MappingProxyType(
    {
        "perceptron": "SGD on relu(1/2 - label * score)",
        "margin": "SGD on relu(margin + 1/2 - label * score)",
        "averaged": "the perceptron; answers by the sum of its weights after every example",
        "nearest": "the label of the nearest example",
        "majority": "the label of most examples",
    }
)

TRAINED = ("perceptron", "margin", "averaged")
"""Learners that train weights."""

CONTROLS = 3
"""Other theta_0, and other orders, in the negative control: three pairs of each."""


@dataclass(frozen=True, slots=True)
class Learner:
    """Which learner, and what it is told: margin and epochs count for those that train."""

    name: str
    epochs: int = 1
    margin: int = 0

    @property
    def trains(self) -> bool:
        """Whether it has weights to train."""
        return self.name in TRAINED

    @property
    def averaged(self) -> bool:
        """Whether it answers by sums of weights."""
        return self.name == "averaged"

    def machine(self) -> Machine:
        """Return its Turing machine, which does not depend on the data.

        Raises:
            InputError: there is no such learner.
        """
        if self.trains:
            return perceptron.build(self.margin, self.averaged)
        if self.name not in LEARNERS:
            raise InputError(f"unknown learner {self.name!r}; known: {', '.join(LEARNERS)}")
        return nearest.build() if self.name == "nearest" else majority.build()


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """A verified run of the machine beside its reference.

    Attributes:
        check: how far weights and machine agreed, step by step.
        width: trits in a field; `cells`: cells of the input tape.
        weights: the machine's weights after every update, `sums` after every example (averaged).
        updates_per_epoch: counted in the run.
        first_difference: the first update (from 1) whose weights differ from torch's; None: none.
        first_sum: the same for the sums, by example seen.
        answers: the machine's labels for the queries, `expected` the reference's.
        trained: what torch did, for learners that train.
        final: the numbers the machine answers by; `final_equal`: whether they are the reference's.
    """

    check: Check
    width: int
    cells: int
    weights: tuple[tuple[int, ...], ...]
    sums: tuple[tuple[int, ...], ...]
    updates_per_epoch: tuple[int, ...]
    first_difference: int | None
    first_sum: int | None
    answers: tuple[int, ...]
    expected: tuple[int, ...]
    trained: Trained | None
    final: tuple[int, ...]
    final_equal: bool

    @property
    def answers_equal(self) -> int:
        """How many queries got the reference's label."""
        return sum(a == b for a, b in zip(self.answers, self.expected, strict=True))

    @property
    def holds(self) -> bool:
        """Whether steps, updates, sums, final weights and answers all agree."""
        return (
            self.check.divergence is None
            and self.check.outcome == "accepted"
            and self.first_difference is None
            and self.first_sum is None
            and self.final_equal
            and self.answers == self.expected
        )


def first_difference(
    got: Sequence[tuple[int, ...]], expected: Float64[np.ndarray, "rows fields"]
) -> int | None:
    """Return the first row, from 1, whose numbers are not the bytes of the expected ones.

    One row too many, or too few, is a difference there.
    """
    for number, (numbers, row) in enumerate(zip(got, expected, strict=False), start=1):
        if np.array(numbers, dtype=np.float64).tobytes() != row.tobytes():
            return number
    return None if len(got) == len(expected) else min(len(got), len(expected)) + 1


def tapes(
    data: Labelled, learner: Learner, theta: Int64[np.ndarray, " fields"] | None = None
) -> tuple[list[Tape], int]:
    """Return the learner's tapes at the start, and the width of their fields in trits."""
    examples, queries, epochs = data.features, data.queries, 0
    if not learner.trains:
        width = layout.nearest_width(examples.shape[1], data.largest)
    else:
        examples, queries = layout.with_bias(examples), layout.with_bias(queries)
        epochs = learner.epochs
        width = layout.perceptron_width(
            fields=examples.shape[1],
            largest=max(1, data.largest),
            steps=epochs * len(examples),
            theta=0 if theta is None else int(np.abs(theta).max()),
            averaged=learner.averaged,
        )
    given = [] if theta is None else [theta[None]]
    if learner.averaged:
        examples, queries, *given = (layout.with_room(x) for x in (examples, queries, *given))
    tape = layout.input_tape(examples, data.labels, queries, width=width, epochs=epochs)
    return [tape, *(layout.fields_tape(x[0], width) for x in given)], width


def run_beside(
    model: Model,
    data: Labelled,
    learner: Learner,
    theta: Int64[np.ndarray, " fields"] | None = None,
    on_progress: Progress | None = None,
) -> Agreement:
    """Run a learner's weights on data, verify every step, and compare with the reference.

    Raises:
        InputError: there are no examples.
        BoundError: the run leaves the range in which the weights are exact.
        ExtraError: scikit-learn is not installed (for learners that do not train).
    """
    if len(data.features) == 0:
        raise InputError("there are no examples to learn from: give at least one")
    machine = model.machine
    given, width = tapes(data, learner, theta)
    start = model.start(*given)
    events = (perceptron.UPDATED, perceptron.SUMMED)
    replay = Replay(machine, start, [state for state in events if state in machine.states])
    check = lockstep(model.compiled, start, on_progress=on_progress, on_told=replay)
    each = 2 if learner.averaged else 1
    weights = tuple(w[::each] for w in replay.noted.get(perceptron.UPDATED, []))
    sums = tuple(w[1::2] for w in replay.noted.get(perceptron.SUMMED, []))
    final = replay.fields()[::each] if learner.trains else ()
    trained, different, different_sum, final_equal = None, None, None, True
    if learner.trains:
        trained = fine_tune(
            data.features, data.labels, epochs=learner.epochs, margin=learner.margin, theta=theta
        )
        answers_by = trained.sums[-1] if learner.averaged else trained.final
        expected = predict(answers_by, data.queries)
        final_equal = first_difference([final], answers_by[None]) is None
        different = first_difference(weights, trained.weights)
        if learner.averaged:
            different_sum = first_difference(sums, trained.sums)
    elif learner.name == "nearest":
        expected = nearest_labels(data.features, data.labels, data.queries)
    else:
        expected = majority_labels(data.features, data.labels, data.queries)
    marks = [entry.get(perceptron.UPDATED, 0) for entry in replay.epochs]
    return Agreement(
        check=check,
        width=width,
        cells=len(given[0].contents),
        weights=weights,
        sums=sums,
        updates_per_epoch=tuple(np.diff([*marks, len(weights)]).tolist()) if marks else (),
        first_difference=different,
        first_sum=different_sum,
        answers=layout.read_answers(replay.cells(0), len(data.queries)),
        expected=expected,
        trained=trained,
        final=final,
        final_equal=final_equal,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """Runs on the same examples that differ in one thing: theta_0, or the examples' order."""

    runs: tuple[Agreement, ...]

    @property
    def disagreements(self) -> tuple[int, ...]:
        """For each pair of runs, the number of queries that torch's two answer differently."""
        return tuple(
            sum(x != y for x, y in zip(a.expected, b.expected, strict=True))
            for a, b in combinations(self.runs, 2)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """A learner on data: the run, and for learners that train the two negative controls."""

    data: Labelled
    learner: Learner
    model: Model
    main: Agreement
    starts: Control | None
    orders: Control | None
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every run agrees with its reference."""
        controls = [c for c in (self.starts, self.orders) if c is not None]
        return self.main.holds and all(run.holds for c in controls for run in c.runs)


def experiment(
    data: Labelled,
    learner: Learner,
    *,
    seed: int = 0,
    controls: int = CONTROLS,
    on_progress: Progress | None = None,
) -> Experiment:
    """Return how a learner's weights and its reference do on data, negative controls included.

    `on_progress` is given the steps verified so far, in all runs. For what is raised see
    `run_beside`.
    """
    began, done = time.perf_counter(), 0

    def report(steps: int) -> None:
        if on_progress is not None:
            on_progress(done + steps)

    model = compile_model(learner.machine())
    main = run_beside(model, data, learner, on_progress=report)
    done += main.check.steps
    starts, orders = None, None
    if main.trained is not None and controls:
        reach = int(np.abs(main.trained.final).max())
        thetas, others = _variants(data, reach, controls, seed)
        runs = []
        for case, theta in [*((data, theta) for theta in thetas), *((o, None) for o in others)]:
            runs.append(run_beside(model, case, learner, theta, report))
            done += runs[-1].check.steps
        starts, orders = Control(tuple(runs[:controls])), Control(tuple(runs[controls:]))
    seconds = time.perf_counter() - began
    return Experiment(data, learner, model, main, starts, orders, seconds)


def _variants(
    data: Labelled, reach: int, count: int, seed: int
) -> tuple[list[Int64[np.ndarray, " fields"]], list[Labelled]]:
    """Return other theta_0, evenly from -reach to reach, and the data in other orders.

    With `reach` the greatest weight that training came to, theta_0 is neither lost in what is
    learned nor all that counts.
    """
    rng = np.random.default_rng([seed, 1])
    fields = data.features.shape[1] + 1
    thetas = [rng.integers(-reach, reach + 1, fields) for _ in range(count)]
    orders = [rng.permutation(len(data.labels)) for _ in range(count)]
    return thetas, [
        replace(data, features=data.features[order], labels=data.labels[order]) for order in orders
    ]
