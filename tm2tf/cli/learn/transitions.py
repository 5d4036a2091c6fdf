"""`tm2tf learn transitions`: rules in weights against rules in the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import OPTIONS, json_option, print_json, progress
from tm2tf.cli.learn import transitions_report
from tm2tf.cli.learn.common import Share, output_option, seed_option, workers_option

if TYPE_CHECKING:
    from tm2tf.learning.fine_tuning import Trained
    from tm2tf.learning.transitions import Settings
    from tm2tf.machine.spec import Machine

COUNT = click.IntRange(min=1)

SEEDS, NOISY_SEEDS = 20, 5
"""Seeds of a curve, with noise fewer: distributions take the plain torch model over whole prompts,
and a mean over all steps of the held-out runs spreads less than a share of right runs."""


@dataclass(frozen=True, slots=True)
class Trials:
    """How many examples; how many seeds of the curve, spread over how many workers, kept where."""

    examples: int
    seeds: int
    workers: int
    folder: Path | None


@click.command(name="transitions")
@click.argument("machine")
@click.option(
    "--examples", type=COUNT, default=400, show_default=True, help="Examples to learn from."
)
@click.option("--held-out", type=COUNT, default=50, show_default=True, help="Inputs to test on.")
@click.option(
    "--training-runs",
    type=COUNT,
    default=200,
    show_default=True,
    help="Random inputs whose runs the examples are drawn from.",
)
@click.option(
    "--longest",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Longest training input, in symbols; held-out ones are up to twice as long.",
)
@click.option(
    "--alphabet",
    metavar="SYMBOLS",
    help="What inputs consist of (default: every symbol but the blank).",
)
@click.option(
    "--max-steps",
    type=COUNT,
    default=1_000,
    show_default=True,
    help="Stop a run after so many steps.",
)
@click.option(
    "--noise",
    type=Share(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Take another transition, any, with this probability, and compare distributions.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=0),
    help="Seeds of the curve against the number of examples (default 20, with noise 5); 0 leaves "
    "it out.",
)
@click.option("--neurons", type=COUNT, default=64, show_default=True, help="Neurons to train.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train.",
)
@click.option("--states", type=COUNT, help=OPTIONS["states"])
@click.option("--symbols", type=COUNT, help=OPTIONS["symbols"])
@click.option("--halting", type=COUNT, help=OPTIONS["halting"])
@seed_option
@workers_option
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    machine: str,
    examples: int,
    noise: float,
    seeds: int | None,
    workers: int,
    folder: Path | None,
    as_json: bool,
    **others: Any,
) -> None:
    """Learn the transitions of MACHINE by gradient descent, and from the prompt.

    The data are transitions that MACHINE takes on random inputs. Fine-tuned: the universal weights
    with a fresh last feed-forward layer, trained on the data. In context: the universal weights as
    they are, the data in their prompt. Both run held-out inputs beside the machine, every step
    compared. Exits with 1 if in context a run is right although its rules were not all shown, or
    wrong although they were; with --noise, if the two differ where they were trained to agree.

    \b
    Example:
      tm2tf learn transitions binary-increment --examples 400 --seeds 0
    """  # noqa: D301
    from tm2tf import api

    found = api.load(machine)
    settings = _settings(**others)
    default = NOISY_SEEDS if noise else SEEDS
    how = Trials(examples, default if seeds is None else seeds, workers, folder)
    report = _report(found, noise, settings, how)
    if as_json:
        print_json(report)
    elif noise:
        transitions_report.show_noisy(report)
    else:
        transitions_report.show(report)
    ctx.exit(0 if _right(report) else 1)


def _right(report: Mapping[str, Any]) -> bool:
    """Return whether all that must agree does, in the comparison and in the curve."""
    if "total_variation" not in report:
        return not report["unexpected"] and not any(row["unexpected"] for row in report["curve"])
    apart = [row["most_shown"] for row in report["curve"] if row["fitted"] == row["seeds"]]
    agreed: bool = report["agree"] or not report["fine_tuned"]["fitted"]
    return agreed and all(most <= report["bound"] for most in apart)


def _settings(*, longest: int, alphabet: str | None, device: str, **others: Any) -> Settings:
    from tm2tf.learning.transitions import Settings
    from tm2tf.runtime.torch_runner import pick_device

    room = {name: others.pop(name) for name in ("states", "symbols", "halting")}
    return Settings(
        longest=longest,
        test_longest=2 * longest,
        symbols=alphabet,
        device=pick_device(device),
        room={name: value for name, value in room.items() if value is not None},
        **others,
    )


def _report(machine: Machine, noise: float, settings: Settings, how: Trials) -> dict[str, Any]:
    """Return the report of one comparison and of the curve, also written to the folder, if any."""
    from tm2tf.learning import noise as noisy
    from tm2tf.learning import transitions as exact

    of_noise: dict[str, Any] = {"noise": noise} if noise else {}
    experiment: Any = noisy if noise else exact
    with progress("train", experiment.MOST_STEPS) as update:
        report, tuned = experiment.compare(
            machine, how.examples, settings, on_progress=update, **of_noise
        )
    report["curve"] = []
    if how.seeds:
        with progress("curve", how.seeds, "seeds") as update:
            report["curve"] = experiment.curve(
                machine,
                exact.sizes_up_to(how.examples),
                how.seeds,
                settings,
                folder=how.folder,
                workers=how.workers,
                on_progress=update,
                **of_noise,
            )
    return _written(report, machine, tuned, how.folder, "noise" if noise else "transitions")


def _written(
    report: dict[str, Any], machine: Machine, tuned: Trained, folder: Path | None, name: str
) -> dict[str, Any]:
    """Return a report with the files it was written to: results, figure, the trained weights."""
    from tm2tf.learning.results import save_csv, save_json
    from tm2tf.weights import folder as artifact

    if folder is None:
        return report
    paths = [save_json(folder, name, report)]
    if report["curve"]:
        from tm2tf.learning.transitions_figure import draw_curve, draw_distances

        paths.append(save_csv(folder, name, report["curve"]))
        draw = draw_curve if name == "transitions" else draw_distances
        paths += draw(report["curve"], machine.name, folder)
    artifact.save(folder / f"fine-tuned-{name}", tuned.weights, machine)
    return report | {"files": [str(path) for path in (*paths, folder / f"fine-tuned-{name}")]}
