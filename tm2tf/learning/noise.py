"""Transitions with noise: fine-tuned and in-context models compared as distributions.

A noisy machine takes, with a small probability, any other transition than its rule says. What it
was seen to do is the data again; but now models are asked for probabilities. The base model is the
`empirical` construction, whose head brings the distribution of the examples for the present state
and symbol.

- *in-context*: the base weights untouched; their logits are the probabilities.
- *fine-tuned*: the same weights with a trained last feed-forward layer, no examples in the prompt;
  the probabilities are softmax(logits), as cross-entropy trains them.

Both are compared with the truth, and with each other, in total variation, at every position of
held-out runs of the noisy machine. How far the examples' distribution is from the truth on average
is known (`noisy_machine.expected_distance`), and stands beside.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from tm2tf import api
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions.canonical import canonical_start
from tm2tf.errors import InputError
from tm2tf.learning.curves import rows_by_size
from tm2tf.learning.fine_tuning import Examples, Trained, collect, directions_of, streams_of, train
from tm2tf.learning.noisy_machine import NoisyMachine, Step, expected_distance
from tm2tf.learning.observations import Teacher, distinct_words, inputs_of
from tm2tf.learning.results import mean_interval
from tm2tf.learning.transitions import FEATURES, Settings, with_examples
from tm2tf.learning.trials import Outcome, Progress, Task
from tm2tf.machine.spec import Machine
from tm2tf.runtime.model import Transformer
from tm2tf.runtime.threads import few_threads
from tm2tf.weights.folder import weights_sha256
from tm2tf.weights.model import Weights

TOLERANCE = 1e-4
"""KL(data || model) in nats at which training stops: then the total variation between the model and
the data is at most sqrt(TOLERANCE / 2) = 0.7 %, by Pinsker's inequality."""

BOUND = math.sqrt(TOLERANCE / 2)

MOST_STEPS = 20_000

BLOCK = 256
"""Tokens fed at once: a head then has 256 scores for each position before, not n^2."""

DISTANCES = ("fine_tuned", "in_context", "between")
"""Total variation from fine-tuned to truth, from in-context to truth, between the two."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the noisy machine: the tokens of its prompt without examples, and its steps."""

    prompt: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NoisyPool:
    """The training runs' steps, `steps`, and the held-out runs; `number[i]` as in `Pool`."""

    base: Compiled
    machine: NoisyMachine
    held_out: tuple[Run, ...]
    steps: tuple[Step, ...]
    different: Examples
    number: Int64[np.ndarray, " steps"]


def room_for(machine: Machine) -> dict[str, int]:
    """Return the options of the smallest weights that have room for a machine."""
    running = sum(machine.outcome_of(state) is None for state in machine.states)
    halting = max(1, *(len(kind) for kind in (machine.accept, machine.reject, machine.halt)))
    return {"states": running, "symbols": len(machine.symbols), "halting": halting}


def make_pool(machine: Machine, noise: float, settings: Settings) -> NoisyPool:
    """Return runs of the noisy machine to train and to test on.

    Without `settings.room`, the weights have room for just this machine: every possible step has a
    token.

    Raises:
        ConstructionError: the machine does not fit the construction.
        InputError: no held-out inputs are left; the machine takes no step.
    """
    room = dict(settings.room) or room_for(machine)
    base = with_examples(compile_machine(machine, "empirical", None, room), ())
    noisy = NoisyMachine(Teacher(machine, base.weights.options), noise)
    inputs = inputs_of(machine, settings.symbols, settings.longest, settings.max_steps)
    random = np.random.default_rng([settings.seed, 0])

    words = [inputs.draw(machine, random) for _ in range(settings.training_runs)]
    longer = replace(inputs, longest=settings.test_longest)
    tested = distinct_words(machine, longer, settings.held_out, random, frozenset(words))

    def runs(words: Sequence[str], kind: int) -> list[Run]:
        found = []
        for i, word in enumerate(words):
            start = machine.initial([word])
            (tape,) = canonical_start(machine, start).tapes
            cells = {tape.origin + at: symbol for at, symbol in enumerate(tape.contents)}
            seed = [settings.seed, kind, i]
            steps = noisy.run(cells, tape.head, settings.max_steps, seed)
            found.append(Run(tuple(base.prompt(start)), tuple(steps)))
        return found

    training, held_out = runs(words, 2), runs(tested, 3)
    if not all(any(run.steps for run in kind) for kind in (training, held_out)):
        raise InputError(f"machine {machine.name!r} takes no step on the inputs it is given")
    ids = base.weights.ids()
    followed = [[ids[step.token] for step in run.steps] for run in training]
    streams = streams_of(
        base.weights,
        [[*run.prompt, *said[:-1]] for run, said in zip(training, followed, strict=True)],
    )
    last = np.concatenate(
        [x[len(run.prompt) - 1 :] for x, run in zip(streams, training, strict=True) if run.steps]
    )
    targets = np.array([token for said in followed for token in said], dtype=np.int64)
    different, number = collect(last, targets, directions_of(base.weights, FEATURES))
    steps = tuple(step for run in training for step in run.steps)
    return NoisyPool(base, noisy, tuple(held_out), steps, different, number)


def draw(pool: NoisyPool, count: int, seed: int) -> Int64[np.ndarray, " examples"]:
    """Return some of the training runs' steps, none of them twice: each is a draw from the truth.

    With the same seed a shorter drawing is the beginning of a longer one.

    Raises:
        InputError: there are too few.
    """
    if count > len(pool.steps):
        raise InputError(
            f"{count:,} examples are asked for, and the training runs have {len(pool.steps):,} "
            "steps; let there be more --training-runs"
        )
    return np.random.default_rng([seed, 1]).permutation(len(pool.steps))[:count]


def fine_tune(
    pool: NoisyPool,
    drawn: Sequence[Int64[np.ndarray, " examples"]],
    settings: Settings,
    on_progress: Progress | None = None,
) -> list[Trained]:
    """Return the fine-tuned weights, one for each drawing of examples."""
    width = len(pool.different.targets)
    return train(
        pool.base.weights,
        pool.different,
        np.stack([np.bincount(pool.number[each], minlength=width) for each in drawn]).astype(float),
        FEATURES,
        seeds=[settings.seed] * len(drawn),
        neurons=settings.neurons,
        tolerance=TOLERANCE,
        most_steps=MOST_STEPS,
        device=settings.device,
        on_progress=on_progress,
    )


def in_context(
    weights: Weights, examples: Sequence[int], runs: Sequence[Run]
) -> list[Float64[np.ndarray, "steps d_vocab"]]:
    """Return the probabilities of the next token at each step of runs, examples before them.

    The logits are shares of a distribution; `<unknown>` has what they leave.
    """
    unknown = next(i for i, token in enumerate(weights.tokens) if token.outcome == "unknown")
    shares = _logits(weights, examples, runs)
    for each in shares:
        each[:, unknown] = 0
        each[:, unknown] = 1 - each.sum(axis=1)
    return shares


def fine_tuned(weights: Weights, runs: Sequence[Run]) -> list[Float64[np.ndarray, "steps d_vocab"]]:
    """Return the probabilities of the next token at each step of runs: softmax(logits)."""
    return [softmax(each) for each in _logits(weights, (), runs)]


def softmax(logits: Float64[np.ndarray, "rows d_vocab"]) -> Float64[np.ndarray, "rows d_vocab"]:
    """Return exp(logits), each row divided by its sum."""
    powers: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logits(
    weights: Weights, examples: Sequence[int], runs: Sequence[Run]
) -> list[Float64[np.ndarray, "steps d_vocab"]]:
    ids = weights.ids()
    model = Transformer(weights)
    found = []
    with few_threads(weights.parameters):
        for begin in range(0, len(examples), BLOCK):
            model(torch.tensor([list(examples[begin : begin + BLOCK])]))
        for run in runs:
            after = copy.deepcopy(model)  # the examples are read once, and kept in the caches
            rest = [*run.prompt[1 if examples else 0 :], *(ids[s.token] for s in run.steps[:-1])]
            logits = after(torch.tensor([rest]))[0, len(rest) - len(run.steps) :]
            found.append(logits.numpy().copy())
    return found


def distances(
    pool: NoisyPool, drawn: Int64[np.ndarray, " examples"], tuned: Trained
) -> dict[str, Float64[np.ndarray, " steps"]]:
    """Return the total variation distances `DISTANCES` at every step of the held-out runs.

    `between_shown` is the last of them in contexts that an example shows, and 0 in others.
    """
    ids = pool.base.weights.ids()
    columns = [ids[token] for token in pool.machine.tokens]
    words = [word for i in drawn for word in pool.steps[i].example]
    examples = [pool.held_out[0].prompt[0], *(ids[word] for word in words)]
    truth = np.zeros((sum(len(run.steps) for run in pool.held_out), len(ids)))
    contexts = [step.context for run in pool.held_out for step in run.steps]
    truth[:, columns] = [pool.machine.truth(context) for context in contexts]
    without = np.concatenate(fine_tuned(tuned.weights, pool.held_out))
    within = np.concatenate(in_context(pool.base.weights, examples, pool.held_out))
    pairs = ((without, truth), (within, truth), (without, within))
    found = {
        name: np.abs(one - other).sum(axis=1) / 2
        for name, (one, other) in zip(DISTANCES, pairs, strict=True)
    }
    shown = {pool.steps[i].context for i in drawn}
    known = np.array([context in shown for context in contexts])
    return found | {"between_shown": np.where(known, found["between"], 0.0)}


def expected(pool: NoisyPool, examples: int) -> float:
    """Return the expected distance of the examples' shares from the truth, over held-out steps."""
    times = Counter(step.context for step in pool.steps)
    visits = Counter(step.context for run in pool.held_out for step in run.steps)
    total = sum(
        count
        * expected_distance(pool.machine.truth(context), times[context], len(pool.steps), examples)
        for context, count in visits.items()
    )
    return total / visits.total()


def compare(
    machine: Machine,
    examples: int,
    settings: Settings,
    *,
    noise: float,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Any], Trained]:
    """Return one comparison, as the JSON of `tm2tf learn transitions --noise` has it.

    `agree`: training came to its end, and in contexts that the examples show the two models are
    within `BOUND` of each other at every held-out step.
    """
    pool = make_pool(machine, noise, settings)
    drawn = draw(pool, examples, settings.seed)
    (tuned,) = fine_tune(pool, [drawn], settings, on_progress)
    found = distances(pool, drawn, tuned)
    report = {
        "machine": machine.name,
        "noise": noise,
        "examples": examples,
        "training_runs": settings.training_runs,
        "training_steps": len(pool.steps),
        "held_out": len(pool.held_out),
        "held_out_steps": len(found["between"]),
        "base_sha256": weights_sha256(pool.base.weights),
        "fine_tuned": {
            "weights_sha256": weights_sha256(tuned.weights),
            "neurons": settings.neurons,
            "loss": tuned.loss,
            "excess": tuned.excess,
            "training_steps": tuned.steps,
            "fitted": tuned.fitted,
        },
        "total_variation": {
            name: {"mean": float(each.mean()), "most": float(each.max())}
            for name, each in found.items()
        },
        "expected_in_context": expected(pool, examples),
        "bound": BOUND,
        "agree": tuned.fitted and float(found["between_shown"].max()) <= BOUND,
        "seed": settings.seed,
    }
    return report, tuned


def trial(task: Task) -> Outcome:
    """Return what each number of examples comes to, for one seed. See `curve`."""
    settings = Settings(**task["settings"])
    pool = make_pool(api.load(task["machine"]), task["noise"], settings)
    drawn = [draw(pool, count, settings.seed) for count in task["sizes"]]
    rows = []
    for tuned, chosen in zip(fine_tune(pool, drawn, settings), drawn, strict=True):
        found = distances(pool, chosen, tuned)
        row: dict[str, float | bool] = {name: float(found[name].mean()) for name in DISTANCES}
        row["most_shown"] = float(found["between_shown"].max())
        rows.append(row | {"expected": expected(pool, len(chosen)), "fitted": tuned.fitted})
    return {"rows": rows}


def curve(
    machine: Machine,
    sizes: Sequence[int],
    seeds: int,
    settings: Settings,
    *,
    noise: float,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> list[dict[str, float | int]]:
    """Return the mean distances `DISTANCES` for each number of examples, over seeds.

    `most_shown` is the greatest distance between the two models in a context that was shown.
    """
    each_seed = [asdict(replace(settings, seed=settings.seed + n)) for n in range(seeds)]
    found = rows_by_size(
        trial, machine, sizes, each_seed, asked={"noise": noise},
        folder=folder, workers=workers, on_progress=on_progress,
    )  # fmt: skip
    rows: list[dict[str, float | int]] = []
    for size, each in found:
        row: dict[str, float | int] = {"examples": size, "seeds": seeds}
        for name in DISTANCES:
            mean, low, high = mean_interval([one[name] for one in each])
            row |= {name: mean, f"{name}_low": max(0.0, low), f"{name}_high": min(1.0, high)}
        row["expected"] = sum(one["expected"] for one in each) / seeds
        row["most_shown"] = max(one["most_shown"] for one in each)
        row["fitted"] = sum(one["fitted"] for one in each)
        rows.append(row)
    return rows
