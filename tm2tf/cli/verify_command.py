"""`tm2tf verify`: every step of the weights against the machine. Exit code 1 if they part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tm2tf.cli.block import Blocks, block_options, made_of, opened
from tm2tf.cli.common import (
    Asked,
    How,
    compile_options,
    input_options,
    json_option,
    model_of,
    print_json,
    progress,
    runtime_options,
    starts,
    steps_option,
)
from tm2tf.cli.verify_report import MANY, Job, Skipped, report_of, show

if TYPE_CHECKING:
    from tm2tf.api import Model
    from tm2tf.blocked.model import BlockModel
    from tm2tf.machine.spec import Machine
    from tm2tf.verify.cases import Case
    from tm2tf.verify.lockstep import Check


@click.command(name="verify")
@click.argument("machines", nargs=-1, metavar="MACHINE...")
@input_options
@click.option(
    "--random",
    "count",
    type=click.IntRange(min=0),
    default=0,
    help="Also verify so many random machines of 1-3 tapes on random tapes.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of --random.")
@click.option(
    "--corpus",
    type=click.Path(dir_okay=False),
    metavar="FILE.tsv",
    help="Also verify the machines of a file: code, steps, nonblank, with tabs; or code and a "
    "word, for those that never halt.",
)
@compile_options
@runtime_options
@block_options("run")
@steps_option
@click.option(
    "--jobs",
    "processes",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Processes that share the runs; each takes one or two seconds to start.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    machines: tuple[str, ...],
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    count: int,
    seed: int,
    corpus: str | None,
    asked: Asked,
    how: How,
    blocks: Blocks | None,
    max_steps: int | None,
    processes: int,
    as_json: bool,
) -> None:
    """Check every step of the weights of each MACHINE against the machine.

    State, symbols read and written, move, head and tape are compared at every step with the
    machine's rules as a compiled table; for the first 3,000 steps (fewer where a step takes many
    tokens) the reference simulator and the interpreter of the program take part too. Each machine
    runs on the examples in its file, or on --input. A difference is shown with its step, layer and
    feature, and exits with 1. --construction all takes each construction in turn that can take the
    machine.

    With --block every macro step of the weights is checked against the machine in blocks, and then
    unfolded: against as many steps of the machine itself, with state, head and tape after each.

    \b
    Examples:
      tm2tf verify bb4 binary-increment
      tm2tf verify bb5 --block 24
    """  # noqa: D301
    if not machines and not count and corpus is None:
        raise click.UsageError("name a MACHINE, or give --random N or --corpus FILE.tsv")
    start = (inputs, origins, heads)
    if any(start) and len(machines) != 1:
        raise click.UsageError("--input goes with one MACHINE")
    if blocks is not None and asked.construction == "all":
        raise click.UsageError("--block goes with one construction at a time")
    skipped: list[Skipped] = []
    jobs = [
        *_named(machines, start, max_steps, asked, blocks, skipped),
        *_unnamed(count, seed, corpus, max_steps, asked, blocks, skipped),
    ]
    began = time.perf_counter()
    done = list(_run(jobs, how, skipped, processes))
    report = report_of(done, skipped, time.perf_counter() - began)
    if as_json:
        print_json(report)
    else:
        show(done, report)
    ctx.exit(1 if report["diverged"] else 0)


def _constructions(asked: Asked) -> list[Asked]:
    """Return what is asked for; `all`: each construction, with those options that it has."""
    from tm2tf.constructions import CONSTRUCTIONS

    if asked.construction != "all":
        return [asked]
    return [
        Asked(
            known.name,
            asked.target,
            {o.name: asked.options[o.name] for o in known.options if o.name in asked.options},
        )
        for known in CONSTRUCTIONS
    ]


def _jobs(
    case: Case,
    asked: Asked,
    blocks: Blocks | None,
    skipped: list[Skipped],
    made: Model | BlockModel | None = None,
) -> Iterator[Job]:
    """Yield the jobs of a case: one, or with `all` one for each construction that takes it."""
    from tm2tf import constructions

    if made is not None:
        make = partial(_as_opened, made)
        yield Job(case, make, case.command, may_skip=False, several=False)
        return
    if blocks is not None:
        again = case.command + asked.words() + blocks.words()
        start = (case.tapes, case.max_steps)
        make_blocks = partial(made_of, case.machine, blocks, asked, *start, given=True)
        yield Job(case, make_blocks, again, may_skip=False, several=False)
        return
    for each in _constructions(asked):
        construction = constructions.by_name(each.construction)
        options = construction.resolve(each.options)
        reason = construction.refusal(case.machine, options)
        if reason is not None and asked.construction == "all":
            skipped.append(Skipped(case.machine.name, construction.name, reason))
            continue
        several = asked.construction == "all"
        words = case.command + each.words()
        compiled = partial(_compiled, case.machine, each)
        yield Job(case, compiled, words, several and not each.options, several)


def _as_opened(made: Model | BlockModel) -> Model | BlockModel:
    return made


def _compiled(machine: Machine, asked: Asked) -> Model:
    from tm2tf import api

    return api.compile(machine, asked.construction, asked.target, **asked.options)


def _named(
    machines: tuple[str, ...],
    start: tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]],
    max_steps: int | None,
    asked: Asked,
    blocks: Blocks | None,
    skipped: list[Skipped],
) -> Iterator[Job]:
    """Yield a job for each machine named, an artifact folder with its own weights."""
    from tm2tf import api
    from tm2tf.verify.cases import of_machine

    for what in machines:
        made: Model | BlockModel | None = None
        if api.is_folder(what):
            own = replace(asked, construction="trace")
            made = opened(what, blocks, own) or model_of(what, own)
        machine = api.load(what) if made is None else _base(made)
        tapes = starts(machine, *start)
        for case in of_machine(what, machine, tapes, max_steps, any(start)):
            yield from _jobs(case, asked, blocks, skipped, made)


def _base(made: Model | BlockModel) -> Machine:
    """Return the machine of a model, of one in blocks the machine whose cells they are."""
    from tm2tf.blocked.model import BlockModel

    return made.base if isinstance(made, BlockModel) else made.machine


def _unnamed(
    count: int,
    seed: int,
    corpus: str | None,
    max_steps: int | None,
    asked: Asked,
    blocks: Blocks | None,
    skipped: list[Skipped],
) -> Iterator[Job]:
    """Yield jobs for random machines, those that the construction takes, and for a corpus."""
    from tm2tf import constructions
    from tm2tf.verify.cases import of_corpus, sampled

    def takes(machine: Machine) -> bool:
        if asked.construction == "all":
            return True
        if blocks is not None:
            return machine.tapes == 1
        construction = constructions.by_name(asked.construction)
        return construction.refusal(machine, construction.resolve(asked.options)) is None

    cases = list(sampled(count, seed, max_steps, takes))
    cases += [] if corpus is None else of_corpus(Path(corpus), max_steps)
    for case in cases:
        yield from _jobs(case, asked, blocks, skipped)


def _run(
    jobs: list[Job], how: How, skipped: list[Skipped], processes: int
) -> Iterator[tuple[Job, Check]]:
    """Yield each job with its check; a bar counts jobs if they are many, else a job's steps."""
    if len(jobs) > MANY:
        with progress("verify", len(jobs), "runs") as update:
            for number, found in enumerate(_checks(jobs, how, processes)):
                yield from _checked(jobs[number], how, skipped, found)
                if update is not None:
                    update(number + 1)
        return
    for job in jobs:
        total = job.case.expected.steps or job.case.max_steps
        with progress(job.case.machine.name, total) as update:
            found = _check(job, how, update)
        yield from _checked(job, how, skipped, found)


def _checks(jobs: list[Job], how: How, processes: int) -> Iterator[Check | Skipped]:
    """Yield the check of each job; artifacts that are open are not sent to other processes."""
    opened = any(isinstance(job.make, partial) and job.make.func is _as_opened for job in jobs)
    if processes == 1 or opened:
        for job in jobs:
            yield _check(job, how)
        return
    from tm2tf.cli.processes import by_processes

    for job, found in zip(jobs, by_processes(partial(_quiet, how), jobs, processes), strict=True):
        yield _check(job, how) if found is None else found


def _quiet(how: How, job: Job) -> Check | Skipped | None:
    """Return the check of a job in another process; None if the first one is to see the error."""
    from tm2tf.errors import Tm2tfError

    try:
        return _check(job, how)
    except Tm2tfError:
        return None


def _checked(
    job: Job, how: How, skipped: list[Skipped], found: Check | Skipped
) -> Iterator[tuple[Job, Check]]:
    """Yield a job with its check; nothing if it was skipped."""
    if isinstance(found, Skipped):
        skipped.append(found)
    else:
        yield replace(job, again=job.again + how.words()), found


def _check(job: Job, how: How, update: Callable[[int], None] | None = None) -> Check | Skipped:
    """Return the check of a job, or that it has to be skipped, and may be."""
    from tm2tf.errors import BoundError, ConfigurationError, ExtraError, TargetError

    case = job.case
    name = job.again.partition("--construction ")[2].partition(" ")[0] or "trace"
    try:
        model = job.make()
        looped = model.weights.W_loop is not None
        chosen = how if looped or not job.several else replace(how, grow=True)
        return model.verify(
            *case.tapes,
            expected=case.expected,
            max_steps=case.max_steps,
            on_progress=update,
            **chosen.keywords(),
        )
    except (BoundError, ConfigurationError, ExtraError, TargetError) as error:
        if not job.may_skip and isinstance(error, BoundError):
            message = f"{error} (by: {job.again}{how.words()})"
            raise BoundError(message, bound=error.bound) from None
        if not job.may_skip:
            raise
        return Skipped(case.machine.name, name, str(error))
