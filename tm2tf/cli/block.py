"""`--block`: a machine in blocks of its cells, for the commands that take one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

import click

from tm2tf.cli.common import Asked, input_options, progress, starts
from tm2tf.errors import InputError

if TYPE_CHECKING:
    from tm2tf.api import Model
    from tm2tf.blocked.model import BlockModel, BlockResult
    from tm2tf.machine.blocks.lifted import Found
    from tm2tf.machine.spec import Configuration, Machine, Tape

F = TypeVar("F", bound=Callable[..., Any])
Start: TypeAlias = tuple[Sequence[str], Sequence[int], Sequence[int]]
NO_START: Start = ((), (), ())


def _size(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> int | Literal["auto"] | None:
    """Return what `--block` says: a number of cells, or the word auto."""
    if value is None:
        return None
    if value == "auto":
        return "auto"
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a number of cells nor 'auto'", ctx, param
        ) from None


@dataclass(frozen=True, slots=True)
class Blocks:
    """What is asked for: `--block`, `--table`, `--most-rules`, and where it says for what, input.

    `start`: `--input`, `--origin` and `--head-at`, where the command has them for blocks alone.
    """

    block: int | Literal["auto"]
    table: Found
    most_rules: int
    start: Start = NO_START

    def words(self) -> str:
        """Return the command line that asks for the same, with a blank before each word."""
        from tm2tf.machine.blocks.lifted import MOST_RULES

        most = "" if self.most_rules == MOST_RULES else f" --most-rules {self.most_rules}"
        return f" --block {self.block} --table {self.table}{most}"


def block_options(default: Found, inputs: bool = False) -> Callable[[F], F]:
    """Return what adds `--block`, `--table` and `--most-rules`, as one `blocks`: None without.

    `inputs`: also `--input`, `--origin` and `--head-at`, for the start that a table is for.
    """

    def add(command: F) -> F:
        @functools.wraps(command)
        def gathered(*args: Any, block: int | Literal["auto"] | None, **others: Any) -> Any:
            from tm2tf.machine.blocks.lifted import MOST_RULES

            own = {name: others.pop(name) for name in ("table", "most_rules")}
            start = tuple(others.pop(name) for name in INPUTS) if inputs else NO_START
            given = [name for name, value in own.items() if value is not None]
            given += ["input"] if any(start) else []
            if block is None and given:
                name = given[0].replace("_", "-")
                raise click.UsageError(f"--{name} goes with --block: blocks of how many cells?")
            blocks = None
            if block is not None:
                most = own["most_rules"] or MOST_RULES
                blocks = Blocks(block, own["table"] or default, most, cast(Start, start))
            return command(*args, blocks=blocks, **others)

        made: Any = input_options(gathered) if inputs else gathered
        for option in reversed(_options(default)):
            made = option(made)
        return cast(F, made)

    return add


INPUTS = ("inputs", "origins", "heads")
"""What `input_options` calls its values."""


def _options(default: Found) -> list[Callable[[F], F]]:
    return [
        click.option(
            "--block",
            metavar="CELLS|auto",
            callback=_size,
            help="Take the machine in blocks of so many cells, each one symbol; auto: of a size "
            "chosen by the beginning of the run.",
        ),
        click.option(
            "--table",
            type=click.Choice(["closure", "run"]),
            help="How the rules of blocks are found: all that can be needed, or those that a first "
            f"run meets (default: {default}).",
        ),
        click.option(
            "--most-rules",
            type=click.IntRange(min=1),
            help="Rules of blocks, at most (default: 4,096).",
        ),
    ]


def blocked_model(
    what: str,
    blocks: Blocks | None,
    asked: Asked,
    start: Start = NO_START,
    max_steps: int | None = None,
) -> tuple[BlockModel | None, list[Tape]]:
    """Return the model in blocks that is asked for, and its start tapes; None if none is.

    `start`: `--input`, `--origin` and `--head`, of the base machine. The folder of a machine that
    was compiled in blocks is one without `--block`, too.
    """
    from tm2tf import api

    if api.is_folder(what):
        model = opened(what, blocks, asked)
        return (None, []) if model is None else (model, starts(model.base, *start))
    if blocks is None:
        return None, []
    base, start = api.load(what), start if any(start) else blocks.start
    tapes = starts(base, *start)
    return made_of(base, blocks, asked, tapes, max_steps, any(start)), tapes


def made_of(
    base: Machine,
    blocks: Blocks,
    asked: Asked,
    tapes: Sequence[Tape],
    max_steps: int | None,
    given: bool,
) -> BlockModel:
    """Return a machine's model in blocks, for a start; `given`: it was asked for by name.

    A closure for no start in particular knows the blocks of the machine's examples.
    """
    from tm2tf.blocked import model

    with progress(f"first run of {base.name}", max_steps) as update:
        return model.compile(
            base,
            blocks.block,
            *tapes,
            table=blocks.table,
            also=() if given else _examples(base),
            most_rules=blocks.most_rules,
            max_steps=max_steps,
            construction=asked.construction,
            target=asked.target,
            on_progress=update,
            **asked.options,
        )


def _examples(base: Machine) -> list[Configuration]:
    return [base.initial(example.tapes) for example in base.examples]


def opened(what: str, blocks: Blocks | None, asked: Asked) -> BlockModel | None:
    """Return the model in blocks of an artifact folder, None if it has no blocks."""
    from tm2tf.blocked.artifact import open_blocks
    from tm2tf.cli.common import model_of

    model = open_blocks(Path(what))
    if blocks is None and model is None:
        return None
    model_of(what, asked)  # refuses what the folder was not compiled with
    if model is None:
        raise InputError(f"{what} was compiled without --block: compile its machine again for that")
    if blocks is not None and blocks.block != model.found.block:
        raise InputError(
            f"{what} was compiled with --block {model.found.block}, not {blocks.block}: "
            "compile its machine again for that"
        )
    return model


def block_facts(model: BlockModel) -> dict[str, object]:
    """Return what a block machine is and how it was found, as `--json` has it."""
    found, choice = model.found, model.choice
    chosen: dict[str, object] | None = None
    if choice is not None:
        chosen = {"probed_steps": choice.probed, "seconds": round(choice.seconds, 6)}
        chosen["sizes"] = [
            {"block": probe.block, "macro_steps": probe.macro_steps, "rules": probe.rules}
            for probe in choice.probes
        ]
    return {
        "block": found.block,
        "machine": found.machine.name,
        "table": found.found,
        "first_run": None if found.first_run is None else asdict(found.first_run),
        "chosen": chosen,
        "rules": len(found.steps),
        "blocks": len(found.blocks),
        "states": len(found.places),
    }


def table_text(model: BlockModel) -> str:
    """Return in a line what a block machine is and how it was found."""
    found, run = model.found, model.found.first_run
    size = f"of {found.block} cells" + (", chosen" if model.choice is not None else "")
    how = "by closure" if run is None else f"by a first run of {run.macro_steps:,} macro steps"
    return f"{size}; {len(found.steps):,} rules on {len(found.blocks):,} of them, found {how}"


def result_json(plain: dict[str, Any], result: BlockResult, model: BlockModel) -> dict[str, Any]:
    """Return what `tm2tf run --json` prints, given what it prints of the block machine's run."""
    from tm2tf.cli.common import tape_json

    running = result.macro.seconds
    return plain | {
        "machine": model.base.name,
        "outcome": result.outcome,
        "state": result.state,
        "steps": result.steps,
        "macro_steps": result.macro.steps,
        "steps_counted_by": result.counted,
        "nonblank": result.nonblank,
        "tapes": [tape_json(model.base, tape) for tape in result.tapes],
        "blocks": block_facts(model),
        "finding_seconds": round(model.finding, 6),
        "compiling_seconds": round(model.compiling, 6),
        "total_seconds": round(model.finding + model.compiling + running, 6),
    }


def result_rows(
    plain: Sequence[tuple[str, str]], result: BlockResult, model: BlockModel
) -> list[tuple[str, str]]:
    """Return the rows that `tm2tf run` prints, given those of the block machine's run."""
    from tm2tf.cli.common import tape_text

    base, macro = model.base, result.macro
    ended = "interrupted" if macro.interrupted else result.outcome
    own = {
        "outcome": f"{ended} in state {result.state}",
        "steps": f"{result.steps:,} of {base.name}, in {macro.steps:,} macro steps",
        "nonblank": f"{result.nonblank:,}",
        "tape 0": tape_text(base, result.tapes[0]),
    }
    rows = [(name, own.get(name, text)) for name, text in plain]
    parts = (("finding", model.finding), ("compiling", model.compiling), ("running", macro.seconds))
    times = ", ".join(f"{name} {1000 * seconds:,.1f} ms" for name, seconds in parts if seconds)
    at = next(number for number, (name, _) in enumerate(rows) if name == "steps") + 1
    return [*rows[:at], ("blocks", table_text(model)), *rows[at:], ("times", times)]


def inner_model(
    what: str, blocks: Blocks | None, asked: Asked, start: Start = NO_START
) -> tuple[Model, BlockModel | None]:
    """Return the model of a machine, or of its block machine, and then the model in blocks."""
    from tm2tf.cli.common import model_of

    blocked, _ = blocked_model(what, blocks, asked, start)
    return (model_of(what, asked), None) if blocked is None else (blocked.model, blocked)
