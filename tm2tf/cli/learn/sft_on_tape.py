"""`tm2tf learn sft-on-tape`: fine-tuning as a Turing machine, beside torch.optim.SGD."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tm2tf.cli.common import json_option, page, print_json, progress
from tm2tf.cli.learn.common import Share, output_option, seed_option

if TYPE_CHECKING:
    from tm2tf.learning.labelled import Labelled

F = TypeVar("F", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)

DEFAULTS = {"examples": (40, 120), "queries": (50, 50), "largest": (3, 1)}
"""What is taken where nothing is said: for random features, and for reviews."""

MOST = 1_000
"""Greatest feature and margin: each trit more makes every run longer, the margin the machine."""


def _either(name: str, text: str, least: int = 1, most: int | None = None) -> Callable[[F], F]:
    """Return an option whose default depends on `--text`."""
    plain, reviews = DEFAULTS[name]
    default = f"[default: {plain}; {reviews} with --text]" if plain != reviews else ""
    default = default or f"[default: {plain}]"
    return click.option(
        f"--{name}", type=click.IntRange(min=least, max=most), help=f"{text}  {default}"
    )


@click.command(name="sft-on-tape")
@click.option(
    "--learner",
    type=click.Choice(["perceptron", "averaged", "margin", "nearest", "majority"]),
    default="perceptron",
    show_default=True,
    help="The machine that learns.",
)
@click.option("--features", type=COUNT, help="Features of an example.  [default: 8]")
@_either("examples", "Examples to learn from.")
@click.option("--epochs", type=COUNT, default=3, show_default=True, help="Passes over them.")
@_either("queries", "Queries to label.", least=0)
@_either("largest", "Greatest absolute value of a feature.", most=MOST)
@click.option(
    "--margin",
    type=click.IntRange(min=0, max=MOST),
    help="Update where label * score is not beyond it; for --learner margin.  [default: 5]",
)
@click.option(
    "--flip",
    type=Share(0, 1),
    default=0.0,
    show_default=True,
    help="Turn each example's label round with this probability.",
)
@click.option("--text", is_flag=True, help="Learn from reviews, as bags of words.")
@click.option("--words", type=COUNT, help="Words to count, with --text.  [default: 16]")
@click.option(
    "--controls",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Other theta_0, and other orders, in the negative control; 0 leaves it out.",
)
@seed_option
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    learner: str,
    epochs: int,
    margin: int | None,
    controls: int,
    seed: int,
    folder: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Fine-tune on the tape of a Turing machine whose steps a transformer emits.

    The machine holds theta_0 = 0 and a training program. It reads examples and queries from its
    input tape, which is the prompt of the weights that it is compiled to. torch.optim.SGD trains on
    the same examples. Weights are compared after every update, byte by byte, and so are the answers
    to all queries; each step is verified against the machine. Exits with 1 if anything differs.

    \b
    Example:
      tm2tf learn sft-on-tape --features 3 --examples 12 --queries 6 --controls 0
    """  # noqa: D301
    if margin is not None and learner != "margin":
        raise click.UsageError("--margin goes with --learner margin")
    if margin is None:
        margin = 5 if learner == "margin" else 0
    data = _data(seed=seed, **asked)
    if folder is not None:
        from tm2tf.learning.figures import require_matplotlib

        require_matplotlib()
    from tm2tf.learning.sft import Learner, experiment
    from tm2tf.learning.sft_report import as_json as report_of
    from tm2tf.learning.sft_report import save

    with progress("sft-on-tape", None) as update:
        done = experiment(
            data, Learner(learner, epochs, margin), seed=seed, controls=controls, on_progress=update
        )
    report = {"seed": seed, "data": "reviews" if asked["text"] else "random"} | report_of(done)
    if folder is not None:
        save(done, folder)
    if as_json:
        print_json(report)
    else:
        _show(report)
    ctx.exit(0 if done.holds else 1)


def _data(
    *,
    features: int | None,
    text: bool,
    words: int | None,
    flip: float,
    seed: int,
    **sizes: int | None,
) -> Labelled:
    """Return the data that the options ask for."""
    if text and features is not None:
        raise click.UsageError("--text has --words for features: leave out --features")
    if words is not None and not text:
        raise click.UsageError("--words goes with --text")
    from tm2tf.learning.labelled import random_data
    from tm2tf.learning.reviews import review_data

    number = {
        name: given if given is not None else DEFAULTS[name][text] for name, given in sizes.items()
    }
    largest = number.pop("largest")
    if text:
        return review_data(**number, words=words or 16, largest=largest, flip=flip, seed=seed)
    return random_data(features or 8, **number, largest=largest, flip=flip, seed=seed)


def _show(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in _rows(report):
        table.add_row(*row)
    with page() as out:
        out.print(table)


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    machine, model = report["machine"], report["model"]
    rows = [
        (
            "machine",
            f"{machine['name']}, {machine['states']} states, {machine['rules']:,} rules, "
            f"{machine['tapes']} tapes",
        ),
        (
            "transformer",
            f"{model['construction']}, {model['layers']} layers, {model['heads']} heads, "
            f"d model {model['d_model']}, {model['nonzeros']:,} nonzeros",
        ),
        ("weights", f"sha256 {report['weights_sha256']}"),
        (
            "data",
            f"{report['examples']} examples, {report['features']} features, "
            f"{report['queries']} queries; numbers of {report['trits']} trits",
        ),
        ("run", f"{report['outcome']} after {report['steps']:,} steps, every one verified"),
    ]
    if report["divergence"] is not None:
        rows[-1] = ("run", "DIVERGED at step {step}: {feature} is {got}, not {expected}".format(
            **report["divergence"]
        ))  # fmt: skip
    if report["updates"] is not None:
        equal = f"equal to torch's after every one of {report['updates']} updates"
        differ = f"DIFFER from torch's, first after update {report['first_difference']}"
        rows.append(("weights on tape", equal if report["weights_equal"] else differ))
        rows.append(("mistakes an epoch", ", ".join(map(str, report["mistakes_per_epoch"]))))
    if report["sums_equal"] is not None:
        equal = f"equal to torch's after every one of {report['sums']} examples"
        rows.append(("sums on tape", equal if report["sums_equal"] else "DIFFER from torch's"))
    rows.append(("answers", f"{report['answers_equal']} of {report['queries']} equal"))
    if report["accuracy"] is not None:
        rows.append(
            (
                "accuracy",
                f"{report['accuracy']:.2f}, by majority label {report['majority_accuracy']:.2f}",
            )
        )
    for kind, control in (report["negative_control"] or {}).items():
        differ = control["answers_that_differ"]
        share = "" if differ is None else f"{differ:.1%} of answers differ between two runs, "
        rows.append(
            (
                f"other {kind}",
                f"{share}{control['pairs_that_differ']} of {control['pairs']} pairs of runs; the "
                f"machine does the same as torch in {control['reproduced']} of {control['runs']}",
            )
        )
    return [*rows, ("seconds", f"{report['seconds']:.1f}")]
