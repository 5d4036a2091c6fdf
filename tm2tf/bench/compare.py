"""Constructions side by side: one machine, one input, every construction and target that applies.

Sizes are counted in the compiled tensors, and predicted beside that by each construction's own
formula (`Construction.sizes`). Speed is the median of a few runs of the weights alone, after a
lockstep check of the same run said whether they agree with the machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tm2tf import api
from tm2tf.constructions import CONSTRUCTIONS
from tm2tf.constructions.construction import Construction
from tm2tf.errors import BoundError, ConfigurationError, InputError
from tm2tf.machine.spec import Machine, Tape
from tm2tf.runtime.run import Result
from tm2tf.verify.lockstep import Check

MAX_STEPS = 10_000
"""Steps of a run unless more are asked for: enough to time, whatever the construction."""

RUNS, LONG_ENOUGH = 3, 0.3
"""Runs timed, at least so many and together at least so many seconds; the median counts."""

MOST_RUNS = 100
"""Runs timed at the most, however short they are."""

WIDEST = 2**16
"""The most cells that are tried for constructions with a bounded tape or window."""

SIZES = ("layers", "heads", "d_model", "d_mlp", "vocab")


@dataclass(frozen=True, slots=True)
class Row:
    """One construction on one target.

    Attributes:
        sizes: layers, heads, d_model, d_mlp, vocab as counted; `predicted`: as its formula has it.
        bits: significant bits that a floating-point format needs for it.
        tape: cells of its bounded tape, None if unbounded; `window`: the longest context, in
            tokens or, if looped, positions.
        passes_per_step: forward passes (decoders: tokens) a step, in this run.
        passes_per_second: forward passes a second, the median of a few runs.
        agreed: whether every step agreed with the machine's.
    """

    construction: str
    target: str
    sizes: Mapping[str, int]
    predicted: Mapping[str, int]
    parameters: int
    nonzeros: int
    bits: int
    tape: int | None
    window: int
    steps: int
    passes_per_step: float
    passes_per_second: float
    runtime: str
    agreed: bool
    source: str


@dataclass(frozen=True, slots=True)
class Left:
    """A construction and target that do not apply, and why."""

    construction: str
    target: str
    reason: str


def compare(
    machine: Machine,
    tapes: Sequence[Tape] = (),
    *,
    max_steps: int = MAX_STEPS,
    options: Mapping[str, int] | None = None,
    on_row: Callable[[str], None] | None = None,
) -> Iterator[Row | Left]:
    """Yield a row for every construction and target on one run of a machine, or why there is none.

    A bounded tape is widened until the run fits, unless `options` says how wide it is.

    Raises:
        ConstructionError: an option is too small or too large.
    """
    for construction in CONSTRUCTIONS:
        for target in construction.targets:
            if on_row is not None:
                on_row(f"{construction.name}/{target}")
            given = options or {}
            has = {option.name for option in construction.options}
            known = {name: value for name, value in given.items() if name in has}
            construction.resolve(known)
            try:
                yield _row(machine, tapes, construction, target, max_steps, known)
            except InputError as error:
                yield Left(construction.name, target, str(error))


def _row(
    machine: Machine,
    tapes: Sequence[Tape],
    construction: Construction,
    target: str,
    max_steps: int,
    options: dict[str, int],
) -> Row:
    model, check = _fitting(machine, tapes, construction, target, max_steps, options)
    weights = model.weights
    runs: list[Result] = []
    while len(runs) < RUNS or (
        len(runs) < MOST_RUNS and sum(run.seconds for run in runs) < LONG_ENOUGH
    ):
        runs.append(model.run(*tapes, max_steps=max_steps))
    result = runs[0]
    rate = statistics.median(r.forward_passes / r.seconds if r.seconds else 0.0 for r in runs)
    return Row(
        construction=construction.name,
        target=target,
        sizes={
            "layers": len(weights.layers),
            "heads": weights.heads,
            "d_model": weights.d_model,
            "d_mlp": weights.d_mlp,
            "vocab": weights.d_vocab,
        },
        predicted=construction.sizes(machine, weights.options),
        parameters=weights.parameters,
        nonzeros=weights.nonzeros,
        bits=weights.bounds.bits,
        tape=weights.options.get("window" if weights.W_positions is not None else "tape"),
        window=result.peak_context,
        steps=result.steps,
        passes_per_step=result.forward_passes / result.steps if result.steps else 0.0,
        passes_per_second=rate,
        runtime=result.runtime,
        agreed=check.divergence is None,
        source=construction.source,
    )


def _fitting(
    machine: Machine,
    tapes: Sequence[Tape],
    construction: Construction,
    target: str,
    max_steps: int,
    options: dict[str, int],
) -> tuple[api.Model, Check]:
    """Return a model on whose tape or window the run fits, with its check."""
    chosen = construction.resolve(options)
    most = {option.name: min(option.most, WIDEST) for option in construction.options}
    widened = [name for name in ("tape", "window") if name in chosen and name not in options]
    while True:
        model = api.compile(machine, construction.name, target, **chosen)
        try:
            return model, model.verify(*tapes, max_steps=max_steps)
        except (BoundError, ConfigurationError) as error:
            narrow = not isinstance(error, BoundError) or error.bound == "tape"
            wider = {n: min(2 * chosen[n], most[n]) for n in widened if chosen[n] < most[n]}
            if not (narrow and wider):
                raise
        chosen = {**chosen, **wider}
