"""Fine-tuning on the tape as results: one JSON value, tables of weights and answers, a figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tm2tf.learning.figures import COLOURS, FINE_TUNED, IN_CONTEXT, new_figure, save_figure
from tm2tf.learning.results import save_csv, save_json
from tm2tf.learning.sft import Agreement, Control, Experiment

NAME = "sft-on-tape"


def as_json(done: Experiment) -> dict[str, Any]:
    """Return everything that an experiment found, as values that JSON can hold."""
    run, data, learner = done.main, done.data, done.learner
    machine, weights = done.model.machine, done.model.weights
    majority = 1 if data.labels.sum() > 0 else -1
    return {
        "learner": learner.name,
        "features": data.features.shape[1],
        "examples": len(data.labels),
        "epochs": learner.epochs if learner.trains else None,
        "queries": len(data.truth),
        "margin": learner.margin if learner.trains else None,
        "largest": data.largest,
        "machine": {
            "name": machine.name,
            "tapes": machine.tapes,
            "symbols": len(machine.symbols),
            "states": len(machine.states),
            "rules": len(machine.transitions),
        },
        "model": {
            "construction": weights.construction,
            "layers": len(weights.layers),
            "heads": weights.heads,
            "d_model": weights.d_model,
            "d_mlp": weights.d_mlp,
            "vocab": weights.d_vocab,
            "parameters": weights.parameters,
            "nonzeros": weights.nonzeros,
        },
        "weights_sha256": done.model.weights_sha256,
        "trits": run.width,
        "input_cells": run.cells,
        "names": [*data.names, "bias"] if learner.trains else list(data.names),
        **_agreement(run),
        "final_weights": list(run.final) if learner.trains else None,
        "updates_per_epoch": list(run.updates_per_epoch) if learner.trains else None,
        "mistakes_per_epoch": list(run.trained.mistakes) if run.trained is not None else None,
        "accuracy": _share(run.answers, data.truth.tolist()),
        "majority_accuracy": _share([majority] * len(data.truth), data.truth.tolist()),
        "negative_control": _controls(done),
        "agrees": done.holds,
        "seconds": round(done.seconds, 3),
    }


def _agreement(run: Agreement) -> dict[str, Any]:
    """Return what was compared in one run, and where it first differed."""
    check = run.check
    divergence = check.divergence
    return {
        "outcome": check.outcome,
        "steps": check.steps,
        "steps_verified": check.steps,
        "steps_interpreted": check.interpreted,
        "divergence": None
        if divergence is None
        else {
            name: getattr(divergence, name)
            for name in ("step", "layer", "feature", "expected", "got")
        },
        "updates": None if run.trained is None else len(run.weights),
        "weights_equal": None if run.trained is None else run.first_difference is None,
        "first_difference": run.first_difference,
        "sums": len(run.sums) or None,
        "sums_equal": run.first_sum is None if run.sums else None,
        "answers_equal": run.answers_equal,
    }


def _controls(done: Experiment) -> dict[str, Any] | None:
    if done.starts is None or done.orders is None:
        return None
    return {
        "starts": _control(done.starts),
        "orders": _control(done.orders),
    }


def _control(control: Control) -> dict[str, Any]:
    queries, pairs = len(control.runs[0].expected), control.disagreements
    asked = queries * len(pairs)
    return {
        "runs": len(control.runs),
        "pairs": len(pairs),
        "pairs_that_differ": sum(count > 0 for count in pairs),
        "answers_that_differ": sum(pairs) / asked if asked else None,
        "updates": sum(len(run.weights) for run in control.runs),
        "steps_verified": sum(run.check.steps for run in control.runs),
        "reproduced": sum(run.holds for run in control.runs),
    }


def _share(labels: tuple[int, ...] | list[int], truth: list[int]) -> float | None:
    """Return the share of labels that are the true ones; None where there are none."""
    if not truth:
        return None
    return sum(a == b for a, b in zip(labels, truth, strict=True)) / len(truth)


def save(done: Experiment, folder: Path) -> list[Path]:
    """Write JSON, tables and, for learners that train, a figure to a folder; return the paths.

    Raises:
        InputError: a file cannot be written.
        ExtraError: matplotlib is not installed.
    """
    paths = [
        save_json(folder, NAME, as_json(done)),
        save_csv(folder, "answers", _answers(done)),
    ]
    if done.main.trained is not None:
        paths.append(save_csv(folder, "weights", _weights(done)))
        paths += _figure(done, folder)
    return paths


def _weights(done: Experiment) -> Iterator[dict[str, object]]:
    """Yield the weights after every update, as the transformer's tokens left them."""
    names = (*done.data.names, "bias")
    trained = done.main.trained
    where = () if trained is None else trained.updates
    rows = zip(where, done.main.weights, strict=False)
    for number, (update, weights) in enumerate(rows, start=1):
        yield {
            "update": number,
            "epoch": update.epoch + 1,
            "example": update.example + 1,
            **dict(zip(names, weights, strict=False)),
        }


def _answers(done: Experiment) -> Iterator[dict[str, object]]:
    run = done.main
    rows = zip(run.answers, run.expected, done.data.truth.tolist(), strict=True)
    for number, (answer, expected, truth) in enumerate(rows, start=1):
        yield {"query": number, "machine": answer, "reference": expected, "truth": truth}


def _figure(done: Experiment, folder: Path) -> list[Path]:
    """Draw the machine's weights over updates, torch's as points, and mistakes over epochs."""
    figure, (left, right) = new_figure(columns=2)
    from matplotlib.ticker import MaxNLocator

    run = done.main
    if run.trained is None:
        return []
    theta = [0] * run.trained.weights.shape[1]
    for number, curve in enumerate(zip(theta, *run.weights, strict=False)):
        colour = COLOURS[number % len(COLOURS)]
        left.step(range(len(curve)), curve, where="post", color=colour, linewidth=1)
        points = run.trained.weights[:, number]
        left.plot(range(1, len(points) + 1), points, ".", color=colour, markersize=4)
    left.plot([], [], color=COLOURS[-1], linewidth=1, label="in context: the machine's")
    left.plot([], [], ".", color=COLOURS[-1], label="fine-tuned: torch's")
    left.set(xlabel="update", ylabel="weight")
    left.legend()
    for counts, style, colour, label in (
        (run.updates_per_epoch, "o-", IN_CONTEXT, "updates, in context"),
        (run.trained.mistakes, "x--", FINE_TUNED, "mistakes, fine-tuned"),
    ):
        right.plot(range(1, len(counts) + 1), counts, style, color=colour, label=label)
    right.set(xlabel="epoch", ylabel="examples", ylim=(0, None))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend()
    return save_figure(figure, folder, NAME)
