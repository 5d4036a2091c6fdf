"""The sections of the report: each redoes one experiment, and says what became of its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tm2tf import api
from tm2tf.learning import bounds, noise, sft, transitions
from tm2tf.learning.claims import every as claims
from tm2tf.learning.claims import pictures as claim_pictures
from tm2tf.learning.labelled import random_data
from tm2tf.learning.monte_carlo import Size
from tm2tf.learning.results import save_csv, save_json
from tm2tf.learning.retrieval import every as retrieval
from tm2tf.learning.retrieval import pictures as retrieval_pictures
from tm2tf.learning.reviews import review_data
from tm2tf.learning.sft_report import as_json as sft_json
from tm2tf.learning.sft_report import save as save_sft
from tm2tf.learning.transitions_figure import draw_curve, draw_distances
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY, Reading

MACHINE = "binary-increment"
EXAMPLES = 400
NOISE = 0.1

ALIKE = 0.05
"""Means that differ by no more than this, or by this part of the greater one, are called alike."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the report is: seeds and trials of its experiments.

    Attributes:
        seeds: of the curve of `transitions`; `noisy_seeds` of that with noise.
        controls: other starts, and other orders, of fine-tuning on the tape.
        trials: of the bounds; `retrievals` of retrieval.
    """

    seeds: int
    noisy_seeds: int
    controls: int
    trials: int
    retrievals: int


SMALL = Scale(seeds=12, noisy_seeds=3, controls=2, trials=100, retrievals=4)
"""Under 5 minutes on two cores."""

FULL = Scale(seeds=100, noisy_seeds=30, controls=5, trials=2_000, retrievals=50)
"""Intervals about a fifth as wide."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a section is made with: the scale, the seed, a folder of its own, and workers."""

    scale: Scale
    seed: int
    folder: Path
    workers: int


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A section of the report.

    Attributes:
        title: the claim, as the paper has it or as we put it.
        command: what redoes this experiment by itself.
        readings: the senses in which the claim was tried.
        facts: numbers to be read beside them, by what they are.
        figures: SVG files.
        good: whether all that must agree does; a claim that is false is no fault.
        result: everything found, as JSON has it.
    """

    title: str
    command: str
    readings: Sequence[Reading]
    facts: Sequence[tuple[str, str]]
    figures: Sequence[Path]
    good: bool
    result: Mapping[str, Any]


def _svg(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.suffix == ".svg"]


def rules(ask: Ask) -> list[Section]:
    """Return what becomes of rules in weights and in the prompt."""
    machine = api.load(MACHINE)
    settings = transitions.Settings(seed=ask.seed)
    report, _ = transitions.compare(machine, EXAMPLES, settings)
    rows = transitions.curve(
        machine,
        transitions.sizes_up_to(EXAMPLES),
        ask.scale.seeds,
        settings,
        folder=ask.folder,
        workers=ask.workers,
    )
    report["curve"] = rows
    save_json(ask.folder, "transitions", report)
    save_csv(ask.folder, "transitions", rows)
    tuned, within = report["fine_tuned"], report["in_context"]
    exact = not report["unexpected"] and not any(row["unexpected"] for row in rows)
    apart = max(abs(row["fine_tuned"] - row["in_context"]) for row in rows)
    told_apart = any(
        row["fine_tuned_low"] > row["in_context_high"]
        or row["in_context_low"] > row["fine_tuned_high"]
        for row in rows
    )
    off = max(abs(row["shown"] - row["predicted_low"]) for row in rows)
    readings = (
        Reading(
            "with the data in its prompt, the base model emits token by token what the fine-tuned "
            "model does, and both what the machine does",
            HOLDS if report["agree"] else FALSE,
            f"{within['right']} of {within['runs']} held-out runs right in context, "
            f"{tuned['right']} fine-tuned; {within['tokens_agreed']:,} and "
            f"{tuned['tokens_agreed']:,} of {tuned['tokens']:,} tokens",
        ),
        Reading(
            "it does so for any number of examples",
            HOLDS if apart == 0 else FALSE if told_apart else LOOSELY,
            f"shares of right runs differ by {apart:.3f} at the most; where a rule was not shown "
            "the prompt says <unknown>, and the fine-tuned model guesses",
        ),
        Reading(
            "in context, a run is right just when all the rules it needs are among the examples",
            HOLDS if exact else FALSE,
            f"for each of {len(rows)} sizes and {ask.scale.seeds} seeds; the share of such runs is "
            f"within {off:.3f} of the one predicted",
        ),
    )
    facts = (
        ("examples", f"{EXAMPLES}, {report['distinct_examples']} of them different"),
        ("prompt", f"{within['prompt_tokens']:,} tokens"),
        ("training", f"{tuned['training_steps']} steps of AdamW, loss {tuned['loss']:.2g}"),
        ("base weights", f"sha256 {report['base_sha256']}"),
        ("fine-tuned weights", f"sha256 {tuned['weights_sha256']}"),
    )
    return [
        Section(
            title="Rules in the weights, or in the prompt: the same tokens",
            command=f"tm2tf learn transitions {MACHINE} --examples {EXAMPLES}",
            readings=readings,
            facts=facts,
            figures=_svg(draw_curve(rows, machine.name, ask.folder)),
            good=exact,
            result=report,
        )
    ]


def noisy_rules(ask: Ask) -> list[Section]:
    """Return what becomes of distributions."""
    machine = api.load(MACHINE)
    settings = transitions.Settings(seed=ask.seed)
    report, _ = noise.compare(machine, EXAMPLES, settings, noise=NOISE)
    rows = noise.curve(
        machine,
        transitions.sizes_up_to(EXAMPLES),
        ask.scale.noisy_seeds,
        settings,
        noise=NOISE,
        folder=ask.folder,
        workers=ask.workers,
    )
    report["curve"] = rows
    save_json(ask.folder, "noise", report)
    save_csv(ask.folder, "noise", rows)
    found, last = report["total_variation"], rows[-1]
    shown = max(found["between_shown"]["most"], *(row["most_shown"] for row in rows))
    close = report["agree"] and shown <= noise.BOUND
    first, apart = rows[0], max(row["between"] for row in rows)
    near = last["in_context_low"] <= last["expected"] <= last["in_context_high"]
    off = abs(last["in_context"] - last["expected"])
    readings = (
        Reading(
            "in context and fine-tuned, the probabilities of the next token are the same wherever "
            "the examples show the context",
            HOLDS if close else FALSE,
            f"total variation {shown:.4f} at the most, over all sizes and seeds; training stops "
            f"where it is at most {noise.BOUND:.4f} on the data (Pinsker)",
        ),
        Reading(
            "they are the same for any number of examples",
            HOLDS if apart <= noise.BOUND else FALSE,
            f"mean total variation {first['between']:.3f} with {first['examples']} example, "
            f"{last['between']:.4f} with {last['examples']}: in a context that was not shown the "
            "prompt says <unknown>, and the fine-tuned model guesses",
        ),
        Reading(
            "both are as near to the truth as the examples' frequencies are expected to be",
            HOLDS if near else LOOSELY if off <= ALIKE * last["expected"] else FALSE,
            f"{last['in_context']:.4f} on average, expected {last['expected']:.4f} "
            f"({'inside' if near else 'outside'} the interval [{last['in_context_low']:.4f}, "
            f"{last['in_context_high']:.4f}])",
        ),
    )
    return [
        Section(
            title="With noise: the same distributions",
            command=f"tm2tf learn transitions {MACHINE} --examples {EXAMPLES} --noise {NOISE}",
            readings=readings,
            facts=(("base weights", f"sha256 {report['base_sha256']}"),),
            figures=_svg(draw_distances(rows, machine.name, ask.folder)),
            good=close,
            result=report,
        )
    ]


def tape(ask: Ask) -> list[Section]:
    """Return what becomes of fine-tuning on the tape, on random features and on reviews."""
    random = random_data(8, examples=40, queries=50, largest=3, flip=0.0, seed=ask.seed)
    reviews = review_data(examples=120, queries=50, words=16, largest=1, flip=0.0, seed=ask.seed)
    learner = sft.Learner("perceptron", epochs=3)
    words = "tm2tf learn sft-on-tape"
    first = sft.experiment(random, learner, seed=ask.seed, controls=ask.scale.controls)
    second = sft.experiment(reviews, learner, seed=ask.seed, controls=0)
    small = random_data(4, examples=12, queries=10, largest=3, flip=0.0, seed=ask.seed)
    others = [
        sft.experiment(small, sft.Learner(name, 3, 5 * (name == "margin")), controls=0)
        for name in ("averaged", "margin", "nearest", "majority")
    ]
    return [
        _on_tape(first, "Fine-tuning on the tape", words, ask.folder / "random"),
        _on_tape(
            second, "Fine-tuning on the tape: reviews", f"{words} --text", ask.folder / "text"
        ),
        *(
            _on_tape(
                done,
                f"Another learner on the tape: {done.learner.name}",
                f"{words} --learner {done.learner.name} --features 4 --examples 12 --queries 10",
                ask.folder / done.learner.name,
            )
            for done in others
        ),
    ]


def _on_tape(done: sft.Experiment, title: str, command: str, folder: Path) -> Section:
    report = sft_json(done)
    paths = save_sft(done, folder)
    updates = report["updates"]
    equal = (
        "" if updates is None else f"weights equal byte by byte after each of {updates} updates, "
    )
    readings = [
        Reading(
            "a transformer whose weights do not depend on the data, given them in its prompt, "
            "answers as the fine-tuned model does: it fine-tunes on its tape",
            HOLDS if done.main.holds else FALSE,
            f"{equal}{report['answers_equal']} of {report['queries']} "
            f"answers equal, {report['steps_verified']:,} steps verified",
        )
    ]
    control = report["negative_control"]
    if control is not None:
        starts, orders = control["starts"], control["orders"]
        differ = starts["pairs_that_differ"] + orders["pairs_that_differ"]
        readings.append(
            Reading(
                "the examples alone determine the fine-tuned model",
                FALSE if differ else HOLDS,
                f"two theta_0 answer {starts['answers_that_differ']:.1%} of the queries "
                f"differently, two orders {orders['answers_that_differ']:.1%}; given theta_0 or "
                f"the order, the tape reproduces {starts['reproduced'] + orders['reproduced']} of "
                f"{starts['runs'] + orders['runs']} such runs",
            )
        )
    machine = report["machine"]
    facts = (
        (
            "machine",
            f"{machine['tapes']} tapes, {machine['states']} states, {machine['rules']:,} rules",
        ),
        ("accuracy", f"{report['accuracy']:.2f}, by majority {report['majority_accuracy']:.2f}"),
        ("weights", f"sha256 {report['weights_sha256']}"),
    )
    return Section(title, command, readings, facts, _svg(paths), done.holds, report)


def sizes(ask: Ask) -> list[Section]:
    """Return what becomes of the four sizes."""
    size = Size(trials=ask.scale.trials, seed=ask.seed)
    found = claims.run(size, folder=ask.folder, workers=ask.workers)
    result = claims.as_json(found)
    save_json(ask.folder, "bounds", result | {"settings": asdict(size)})
    for name in ("rates", "growth"):
        rows = [asdict(row) for report in found.reports for row in getattr(report, name)]
        save_csv(ask.folder, f"bounds-{name}", rows)
    table = bounds.table(
        size.eps, size.delta, size.contexts, size.vocabulary, size.length, size.dimensions
    )
    sections = []
    for report, as_found in zip(found.reports, result["claims"], strict=True):
        figures = claim_pictures.draw([report], size.delta, ask.folder)
        named = [row for row in table if row.claim == report.claim]
        sections.append(
            Section(
                title=f"{report.claim}. {report.title}; the paper: {report.paper}",
                command=f"tm2tf learn bounds --claim {report.claim} --trials {size.trials}",
                readings=report.readings,
                facts=[(row.name, f"{row.examples:,} = {row.formula}") for row in named],
                figures=_svg(figures),
                good=not any(row.exceeded for row in report.rates) and found.unequal == 0,
                result=as_found,
            )
        )
    return sections


def retrieved(ask: Ask) -> list[Section]:
    """Return what becomes of a part of the data in the prompt."""
    asked = retrieval.sizes(trials=ask.scale.retrievals, seed=ask.seed)
    reports = retrieval.run(asked, folder=ask.folder, workers=ask.workers)
    retrieval.save(reports, ask.folder)
    sections = []
    for report in reports:
        result = retrieval.as_json([report])
        sections.append(
            Section(
                title=f"Retrieval: {report.title}",
                command=f"tm2tf learn retrieval --trials {ask.scale.retrievals}",
                readings=report.readings,
                facts=(),
                figures=_svg(retrieval_pictures.draw([report], ask.folder)),
                good=result["good"],
                result=result,
            )
        )
    return sections


CHAPTERS: Mapping[str, Callable[[Ask], list[Section]]] = {
    "transitions": rules,
    "noise": noisy_rules,
    "sft-on-tape": tape,
    "bounds": sizes,
    "retrieval": retrieved,
}
"""The chapters of the report, in its order; each keeps its files in a folder of that name."""
