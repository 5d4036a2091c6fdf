"""Rules in weights against rules in the prompt, for one machine.

The base model is the universal construction: its weights run any machine whose rules stand in the
prompt as examples. What a machine was seen to do on random inputs is the data. Then

- *fine-tuned*: the same weights with a fresh last feed-forward layer, trained on the data; the
  prompt holds no examples;
- *in-context*: the base weights untouched; the prompt holds the data.

Both run held-out inputs beside the machine, every step compared (`verify.lockstep`). An example is
drawn evenly, with replacement, from all steps of the training runs; so the probability that the
examples show all rules of a run is known (`coverage`), and predicts how often the prompt suffices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf import api
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions.construction import Options, Prompt
from tm2tf.constructions.tokens import step_token
from tm2tf.constructions.universal import prompt_of
from tm2tf.errors import InputError
from tm2tf.learning.coverage import predicted
from tm2tf.learning.curves import rows_by_size
from tm2tf.learning.fine_tuning import (
    MOST_STEPS,
    NEURONS,
    TOLERANCE,
    Examples,
    Trained,
    collect,
    directions_of,
    streams_of,
    train,
)
from tm2tf.learning.observations import Observed, Teacher, distinct_words, inputs_of
from tm2tf.learning.results import share_interval
from tm2tf.learning.trials import Outcome, Progress, Task
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.verify.lockstep import lockstep
from tm2tf.weights.folder import weights_sha256

FEATURES = ("state", "tape0.read")
"""What a compiled table of transitions reads, and so what trained neurons may."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What data there is, and how it is learned.

    Attributes:
        seed: of everything that is random.
        held_out: inputs tested on, none of them trained on.
        training_runs: inputs whose runs are the data.
        longest: symbols of a training input at the most; `test_longest`: of a held-out one.
        symbols: what inputs consist of; None: every symbol but the blank.
        max_steps: of a run.
        neurons, tolerance, most_steps, device: see `fine_tuning.train`.
        room: options of the universal construction, such as {"states": 16}.
    """

    seed: int = 0
    held_out: int = 50
    training_runs: int = 200
    longest: int = 8
    test_longest: int = 16
    symbols: str | None = None
    max_steps: int = 10_000
    neurons: int = NEURONS
    tolerance: float = TOLERANCE
    most_steps: int = MOST_STEPS
    device: str = "cpu"
    room: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All steps of the training runs, and what is needed to learn from them.

    `rules[i]` is the example of step i, and `number[i]` says which of `different` it is.
    """

    base: Compiled
    teacher: Teacher
    runs: tuple[Observed, ...]
    held_out: tuple[Observed, ...]
    rules: tuple[str, ...]
    different: Examples
    number: Int64[np.ndarray, " steps"]

    def counts(self, drawn: Int64[np.ndarray, " examples"]) -> Float64[np.ndarray, " different"]:
        """Return how often each different example stands among drawn steps."""
        return np.bincount(self.number[drawn], minlength=len(self.different.targets)).astype(float)


@dataclass(frozen=True, slots=True)
class Followed:
    """A model on all held-out inputs: runs that were right to the end, tokens that agreed.

    `first` is the first difference of the first run that has one. `agreed`: tokens, by run;
    `whole`: whether a run was right to the end.
    """

    runs: int
    right: int
    tokens: int
    tokens_agreed: int
    first: Mapping[str, object] | None
    agreed: tuple[int, ...]
    whole: tuple[bool, ...]


def make_pool(machine: Machine, settings: Settings) -> Pool:
    """Return the training runs, the held-out ones, and the residual streams of the former.

    Raises:
        ConstructionError: the machine does not fit the universal construction.
        InputError: no held-out inputs are left; the machine takes no step.
    """
    base = compile_machine(machine, "universal", None, dict(settings.room))
    teacher = Teacher(machine, base.weights.options)
    inputs = inputs_of(machine, settings.symbols, settings.longest, settings.max_steps)
    random = np.random.default_rng([settings.seed, 0])
    words = [inputs.draw(machine, random) for _ in range(settings.training_runs)]
    longer = replace(inputs, longest=settings.test_longest)
    tested = distinct_words(machine, longer, settings.held_out, random, frozenset(words))
    runs = tuple(teacher.run(word, settings.max_steps) for word in words)
    steps = tuple(rule for run in runs for rule in run.rules)
    if not steps:
        raise InputError(f"machine {machine.name!r} takes no step on any of the training inputs")
    streams, targets = _streams(with_examples(base, ()), teacher, runs)
    directions = directions_of(base.weights, FEATURES)
    different, number = collect(streams, targets, directions)
    held_out = tuple(teacher.run(word, settings.max_steps) for word in tested)
    return Pool(base, teacher, runs, held_out, steps, different, number)


def _streams(
    base: Compiled, teacher: Teacher, runs: Sequence[Observed]
) -> tuple[Float64[np.ndarray, "steps d_model"], Int64[np.ndarray, " steps"]]:
    """Return the stream from which each step of the runs is to be told, and the token for it."""
    ids = base.weights.ids()
    emitted = {
        teacher.example[state, reads[0]]: ids[step_token(teacher.known, to)]
        for (state, reads), to in teacher.known.transitions.items()
    }
    sequences, targets, first = [], [], []
    for run in runs:
        prompt = base.prompt(base.machine.initial([run.word]))
        # a rule that is missing ends the run by the token that its example ends in
        following = [
            emitted[rule] if rule in emitted else ids[rule.split()[-1]] for rule in run.rules
        ]
        sequences.append([*prompt, *following[:-1]])
        targets += following
        first.append(len(prompt) - 1)
    found = streams_of(base.weights, sequences)
    parts = [x[begin:] for x, begin, run in zip(found, first, runs, strict=True) if run.rules]
    return np.concatenate(parts), np.array(targets, dtype=np.int64)


def with_examples(base: Compiled, listed: Sequence[str]) -> Compiled:
    """Return the base model with these examples, and no others, in its prompts."""
    return replace(base, prompter=partial(_prompt, tuple(rule.split() for rule in listed)))


def _prompt(
    listed: Sequence[Sequence[str]],
    machine: Machine,
    configuration: Configuration,
    options: Options,
) -> Prompt:
    return prompt_of(listed, configuration, machine)


def fine_tune(
    pool: Pool,
    drawn: Sequence[Int64[np.ndarray, " examples"]],
    settings: Settings,
    on_progress: Progress | None = None,
) -> list[Trained]:
    """Return the fine-tuned weights, one for each drawing of examples."""
    return train(
        pool.base.weights,
        pool.different,
        np.stack([pool.counts(each) for each in drawn]),
        FEATURES,
        seeds=[settings.seed] * len(drawn),
        neurons=settings.neurons,
        tolerance=settings.tolerance,
        most_steps=settings.most_steps,
        device=settings.device,
        on_progress=on_progress,
    )


def follow_all(model: Compiled, held_out: Sequence[Observed], max_steps: int) -> Followed:
    """Return how far a model agrees with the machine on each held-out input."""
    agreed: list[int] = []
    whole: list[bool] = []
    first: Mapping[str, object] | None = None
    for run in held_out:
        start = model.machine.initial([run.word])
        check = lockstep(model, start, max_steps=max_steps, reference=False)
        found = check.divergence
        whole.append(found is None)
        agreed.append(len(run.rules) if found is None else check.steps)
        if found is not None and first is None:
            first = {
                "input": run.word,
                "step": found.step,
                "feature": found.feature,
                "expected": found.expected,
                "got": found.got,
            }
    tokens = sum(len(run.rules) for run in held_out)
    return Followed(
        len(held_out), sum(whole), tokens, sum(agreed), first, tuple(agreed), tuple(whole)
    )


def both(
    pool: Pool, drawn: Int64[np.ndarray, " examples"], tuned: Trained, settings: Settings
) -> tuple[Followed, Followed]:
    """Return how the fine-tuned weights, and the base with the same examples, do when held out."""
    without = with_examples(replace(pool.base, weights=tuned.weights), ())
    within = with_examples(pool.base, [pool.rules[i] for i in drawn])
    return (
        follow_all(without, pool.held_out, settings.max_steps),
        follow_all(within, pool.held_out, settings.max_steps),
    )


def covered_runs(pool: Pool, drawn: Int64[np.ndarray, " examples"]) -> list[bool]:
    """Return for each held-out run whether all the rules it needs are among the examples."""
    shown = {pool.rules[i] for i in drawn}
    return [shown.issuperset(run.rules) for run in pool.held_out]


def unexpected(covered: Sequence[bool], within: Followed) -> int:
    """Return how many runs are right in context though not covered, or wrong though they are."""
    return sum(one != other for one, other in zip(covered, within.whole, strict=True))


def draw(steps: int, count: int, seed: int) -> Int64[np.ndarray, " examples"]:
    """Return some of the training runs' steps, drawn evenly and with replacement.

    With the same seed a shorter drawing is the beginning of a longer one.
    """
    return np.random.default_rng([seed, 1]).integers(steps, size=count)


def compare(
    machine: Machine, examples: int, settings: Settings, on_progress: Progress | None = None
) -> tuple[dict[str, Any], Trained]:
    """Return one comparison, as the JSON of `tm2tf learn transitions` has it, and what was trained.

    `covered` counts the held-out runs whose rules all stand among the examples: in context, just
    these have to be right; `unexpected` counts the others that are, and these that are not.
    `same_tokens` counts those that both models follow equally far.
    """
    pool = make_pool(machine, settings)
    drawn = draw(len(pool.rules), examples, settings.seed)
    (tuned,) = fine_tune(pool, [drawn], settings, on_progress)
    without, within = both(pool, drawn, tuned, settings)
    shown = Counter(pool.rules[i] for i in drawn)
    needed = {rule for run in pool.held_out for rule in run.rules}
    covered = covered_runs(pool, drawn)
    low, high = predicted(Counter(pool.rules), [run.rules for run in pool.held_out], examples)
    prompt = with_examples(pool.base, [pool.rules[i] for i in drawn])
    longest = max(pool.held_out, key=lambda run: len(run.word))
    length = len(prompt.prompt(machine.initial([longest.word])))
    report = {
        "machine": machine.name,
        "examples": examples,
        "distinct_examples": len(shown),
        "rules_needed": len(needed),
        "rules_missing": sorted(needed - shown.keys()),
        "training_runs": len(pool.runs),
        "training_steps": len(pool.rules),
        "held_out": len(pool.held_out),
        "base_sha256": weights_sha256(pool.base.weights),
        "fine_tuned": {
            **_followed(without),
            "weights_sha256": weights_sha256(tuned.weights),
            "neurons": settings.neurons,
            "loss": tuned.loss,
            "excess": tuned.excess,
            "training_steps": tuned.steps,
            "fitted": tuned.fitted,
        },
        "in_context": {
            **_followed(within),
            "weights_sha256": weights_sha256(prompt.weights),
            "prompt_tokens": length,
        },
        "same_tokens": sum(a == b for a, b in zip(without.agreed, within.agreed, strict=True)),
        "covered": sum(covered),
        "unexpected": unexpected(covered, within),
        "predicted_covered": [low, high],
        "agree": without.right == within.right == len(pool.held_out),
        "seed": settings.seed,
    }
    return report, tuned


def _followed(found: Followed) -> dict[str, Any]:
    return {
        "runs": found.runs,
        "right": found.right,
        "tokens": found.tokens,
        "tokens_agreed": found.tokens_agreed,
        "first_divergence": None if found.first is None else dict(found.first),
    }


def sizes_up_to(examples: int) -> list[int]:
    """Return 1, 2, 4, ... and last `examples`."""
    return [*(2**i for i in range(examples.bit_length()) if 2**i < examples), examples]


def trial(task: Task) -> Outcome:
    """Return what each number of examples comes to, for one seed. See `curve`."""
    machine = api.load(task["machine"])
    settings = Settings(**task["settings"])
    pool = make_pool(machine, settings)
    drawn = [draw(len(pool.rules), count, settings.seed) for count in task["sizes"]]
    needed = [run.rules for run in pool.held_out]
    rows = []
    for tuned, chosen in zip(fine_tune(pool, drawn, settings), drawn, strict=True):
        without, within = both(pool, chosen, tuned, settings)
        low, high = predicted(Counter(pool.rules), needed, len(chosen))
        covered = covered_runs(pool, chosen)
        rows.append(
            {
                "examples": len(chosen),
                "fine_tuned": without.right / without.runs,
                "in_context": within.right / within.runs,
                "shown": sum(covered) / len(covered),
                "unexpected": unexpected(covered, within),
                "predicted_low": low,
                "predicted_high": high,
                "fitted": tuned.fitted,
            }
        )
    return {"rows": rows}


def curve(
    machine: Machine,
    sizes: Sequence[int],
    seeds: int,
    settings: Settings,
    *,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> list[dict[str, float | int]]:
    """Return, for each number of examples, the mean share of held-out runs that are right.

    Means and their intervals are over seeds: each has its own training runs, held-out inputs,
    examples and fresh neurons. `shown` is the share of runs whose rules all stood among the
    examples, `predicted_...` its expectation by the formula of `coverage`; `unexpected` counts runs
    as `compare` does, all seeds together.
    """
    each_seed = [asdict(replace(settings, seed=settings.seed + n)) for n in range(seeds)]
    found = rows_by_size(
        trial, machine, sizes, each_seed,
        folder=folder, workers=workers, on_progress=on_progress,
    )  # fmt: skip
    rows: list[dict[str, float | int]] = []
    for size, each in found:
        row: dict[str, float | int] = {"examples": size, "seeds": seeds}
        for name in ("fine_tuned", "in_context"):
            mean, low, high = share_interval([one[name] for one in each])
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        for name in ("shown", "predicted_low", "predicted_high"):
            row[name] = math.fsum(one[name] for one in each) / seeds
        for name in ("unexpected", "fitted"):
            row[name] = sum(one[name] for one in each)
        rows.append(row)
    return rows
