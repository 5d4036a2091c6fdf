"""A machine in blocks as a transformer, spoken to in the cells and steps of the machine itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tm2tf import api
from tm2tf.api import Input, Model, start_of
from tm2tf.errors import InputError
from tm2tf.machine.blocks.closure import block_machine
from tm2tf.machine.blocks.lifted import MOST_RULES, BlockMachine, Found
from tm2tf.machine.spec import Configuration, Expected, Machine, Outcome, Tape
from tm2tf.runtime.run import Result
from tm2tf.verify.lockstep import Check
from tm2tf.weights.model import Weights

if TYPE_CHECKING:
    from tm2tf.machine.blocks.choice import Choice
    from tm2tf.verify.locate import Divergence
    from tm2tf.verify.unfolding import Unfolded

Progress = Callable[[int], None]
Counted = Literal["weights", "table"]


@dataclass(frozen=True, slots=True)
class BlockResult:
    """How a run of a block machine's weights ended, in the base machine's words.

    Attributes:
        macro: the run itself; its steps are macro steps, its tapes hold blocks.
        outcome, state, tapes, nonblank: as the base machine has them; tapes are trimmed.
        steps: the base steps that the macro steps stand for.
        counted: how these were counted: by what the weights did ("weights"), or by the table, run
            once more for as many macro steps ("table").
    """

    macro: Result
    outcome: Outcome
    state: str
    steps: int
    nonblank: int
    tapes: tuple[Tape, ...]
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCheck(Check):
    """A check of a block machine's weights, whose steps are macro steps, and of their unfolding.

    Attributes:
        base: the base machine's name; `block`: the cells of a block; `rules`: of the table.
        unfolded: the block machine beside the base machine, as far as the weights agreed. Where
            they differ, or where the end is not what was expected, `divergence` says so.
    """

    base: str
    block: int
    rules: int
    unfolded: Unfolded


@dataclass(frozen=True, slots=True, eq=False)
class BlockModel:
    """A block machine with its weights.

    Attributes:
        found: the block machine, and how it was found.
        model: its model, of a machine like any other.
        begin: the base machine's start for which it was found.
        choice: how the size of its blocks was chosen, None if it was given.
        finding, compiling: the seconds that these took, numba's own compiling or loading apart.
    """

    found: BlockMachine
    model: Model
    begin: Configuration
    choice: Choice | None = None
    finding: float = 0.0
    compiling: float = 0.0

    @property
    def base(self) -> Machine:
        """The machine whose cells are in blocks."""
        return self.found.base

    @property
    def weights(self) -> Weights:
        """The tensors and their labels."""
        return self.model.weights

    def start(self, *inputs: Input) -> Configuration:
        """Return the base machine's start for these inputs, or without any that of `compile`."""
        return start_of(self.base, inputs) if inputs else self.begin

    def run(
        self,
        *inputs: Input,
        max_steps: int | None = None,
        on_progress: Progress | None = None,
        **how: Any,
    ) -> BlockResult:
        """Run the weights on an input of the base machine.

        Args:
            inputs: a word or a `Tape`; without any, the start for which the table was found.
            max_steps: base steps, at most: the run stops before the macro step that goes beyond.
            on_progress: is told how many macro steps were taken.
            how: runtime, device, dtype, grow, ... as `Model.run` has them.

        Raises:
            InputError: the table was found for another run, and lacks a rule that this one needs;
                or the run is known never to end, and `max_steps` is not given.
            ConfigurationError: the input does not fit the machine.
            BoundError: the run leaves the range in which the weights are exact.
        """
        start = self.start(*inputs)
        (begin,) = self.found.start(start).tapes
        most = self._macro_steps(start, max_steps)
        macro = self.model.run(begin, max_steps=most, on_progress=on_progress, counting=True, **how)
        self._refuse_lack(macro)
        steps, counted = self._base_steps(macro, start)
        end = self.found.unfold(Configuration(macro.state, macro.tapes), start.tapes[0].head)
        tapes = tuple(self.base.plain(tape) for tape in end.tapes)
        return BlockResult(
            macro=macro,
            outcome=macro.outcome,
            state=end.state,
            steps=steps,
            nonblank=tapes[0].nonblank(self.base.blank),
            tapes=tapes,
            counted=counted,
        )

    def verify(
        self,
        *inputs: Input,
        expected: Expected | None = None,
        max_steps: int | None = None,
        on_progress: Progress | None = None,
        **how: Any,
    ) -> BlockCheck:
        """Check the weights against the block machine, and this against the base machine.

        First every macro step of the weights in lockstep, as for any machine; then every macro step
        against as many base steps as it stands for, with state, head and tape at each boundary.
        `expected` is what the base machine's run should end with; `max_steps` are base steps, and
        `on_progress` is told how many were unfolded.
        """
        from tm2tf.verify.unfolding import unfold

        start = self.start(*inputs)
        (begin,) = self.found.start(start).tapes
        most = self._macro_steps(start, max_steps)
        check = self.model.verify(begin, max_steps=most, **how)
        unfolded = unfold(self.found, start, check.steps, on_progress)
        if unfolded.lacks and check.outcome != "step-limit" and unfolded.difference is None:
            raise self.found.missing(unfolded.state)
        divergence = check.divergence or _difference(unfolded, expected, self.base)
        facts = {field.name: getattr(check, field.name) for field in fields(Check)}
        facts |= {"divergence": divergence, "seconds": check.seconds + unfolded.seconds}
        return BlockCheck(
            **facts,
            base=self.base.name,
            block=self.found.block,
            rules=len(self.found.steps),
            unfolded=unfolded,
        )

    def save(self, path: str | Path) -> str:
        """Write the artifact folder, and what its blocks are beside it; return the SHA-256."""
        from tm2tf.blocked.artifact import save

        return save(Path(path), self)

    def _macro_steps(self, start: Configuration, max_steps: int | None) -> int | None:
        """Return how many macro steps fit into base steps; None if there is no limit.

        Raises:
            InputError: the table has not all rules that they need; or there is no limit, and the
                first run has shown that the run never ends.
        """
        from tm2tf.machine.blocks.simulator import simulate

        if max_steps is not None:
            run = simulate(self.found, start, base_steps=max_steps)
            if run.lacks:
                raise self.found.missing(run.state)
            return run.macro_steps
        first = self.found.first_run
        if first is not None and first.loops and start == self.begin:
            raise InputError(
                f"machine {self.base.name!r} goes round within a block from step "
                f"{first.base_steps:,} on, and never ends: give --max-steps"
            )
        return None

    def _refuse_lack(self, macro: Result) -> None:
        """Raise where a run is over for want of a rule."""
        if macro.outcome == "step-limit" or not self.found.lacks(macro.state):
            return
        (tape,) = macro.tapes
        at = tape.head - tape.origin
        inside = 0 <= at < len(tape.contents)
        symbol = tape.contents[at] if inside else self.found.machine.blank
        raise self.found.missing(macro.state, symbol)

    def _base_steps(self, macro: Result, start: Configuration) -> tuple[int, Counted]:
        """Return the base steps of a run, and how they were counted.

        By how often each rule was met, where the runtime counts that.
        """
        met, rules = macro.cases, self.found.steps.keys()
        if met is not None and met.keys() <= rules and sum(met.values()) == macro.steps:
            return self.found.base_steps(met), "weights"
        first = self.found.first_run
        if first is not None and (start, macro.steps) == (self.begin, first.macro_steps):
            return first.base_steps, "table"  # as many macro steps of the same run
        from tm2tf.machine.blocks.simulator import simulate

        return simulate(self.found, start, macro_steps=macro.steps).base_steps, "table"


def compile(  # noqa: A001 - the word that people use
    machine: Machine | str | Path,
    block: int | Literal["auto"] = "auto",
    *inputs: Input,
    table: Found = "run",
    also: Sequence[Configuration] = (),
    most_rules: int = MOST_RULES,
    max_steps: int | None = None,
    construction: str = "trace",
    target: str | None = None,
    on_progress: Progress | None = None,
    **options: int | None,
) -> BlockModel:
    """Return the model of a machine in blocks.

    Args:
        machine: the base machine, of one tape, or what `api.load` makes one of.
        block: cells of a block; "auto": the size is chosen by the beginning of the run.
        inputs: the start for which the table is found (none: the blank tape).
        table: "run": by a first run of the base machine from the start, so that the table has the
            rules that this run needs; "closure": all rules that the start's blocks can lead to.
        also: further starts, for whose blocks a closure has rules, too.
        most_rules: the cap of either.
        max_steps: base steps of the first run, at most; it must end by itself if this is not given.
        construction: as in `api.compile`.
        target: as in `api.compile`.
        on_progress: is told how many base steps the first run took.
        options: the construction's, such as `tape=256`.

    Raises:
        InputError: the machine has several tapes, blocks are too small or too large, there are too
            many rules, or the first run does not end.
    """
    base = machine if isinstance(machine, Machine) else api.load(machine)
    start = start_of(base, inputs)
    if table == "run":
        from tm2tf.machine.blocks.finder import make_ready

        make_ready()
    began = time.perf_counter()
    if table == "closure":
        found, choice = _closure(base, block, (start, *also), most_rules), None
    else:
        found, choice = _first_run(base, block, start, most_rules, max_steps, on_progress)
    between = time.perf_counter()
    model = api.compile(found.machine, construction, target, **options)
    done = time.perf_counter()
    return BlockModel(found, model, start, choice, between - began, done - between)


def _closure(
    base: Machine,
    block: int | Literal["auto"],
    starts: Sequence[Configuration],
    most_rules: int,
) -> BlockMachine:
    """Return the block machine by closure."""
    if block == "auto":
        raise InputError(
            "blocks of a size that is chosen need a first run: take --table run, or a number"
        )
    return block_machine(base, block, starts, most_rules=most_rules)


def _first_run(
    base: Machine,
    block: int | Literal["auto"],
    start: Configuration,
    most_rules: int,
    max_steps: int | None,
    on_progress: Progress | None,
) -> tuple[BlockMachine, Choice | None]:
    """Return the block machine by a first run, and how the size of its blocks was chosen."""
    from tm2tf.machine.blocks import choice, finder

    if block == "auto":
        return choice.chosen_run(
            base, start, most_rules=most_rules, max_steps=max_steps, on_progress=on_progress
        )
    found = finder.first_run(
        base, block, start, most_rules=most_rules, max_steps=max_steps, on_progress=on_progress
    )
    return found, None


def _difference(unfolded: Unfolded, expected: Expected | None, base: Machine) -> Divergence | None:
    """Return where block machine and base machine part, or its end from what was expected."""
    from tm2tf.verify.locate import Divergence

    if unfolded.difference is not None:
        step = unfolded.macro_steps + 1
        return Divergence(step, "", "unfolding", "the base machine's steps", unfolded.difference)
    if expected is None or unfolded.outcome == "step-limit":
        return None  # it stopped at the last boundary, before the steps that were expected
    (tape,) = unfolded.configuration.tapes
    facts = {
        "outcome": unfolded.outcome,
        "state": unfolded.configuration.state,
        "steps": unfolded.base_steps,
        "nonblank": base.plain(tape).nonblank(base.blank),
    }
    for name, fact in facts.items():
        wanted = getattr(expected, name)
        if wanted is not None and wanted != fact:
            shown = (str(wanted), str(fact))
            return Divergence(unfolded.macro_steps, "", f"expected {name}", *shown)
    for contents in expected.tapes or ():
        wanted = None if contents is None else Tape(contents).trimmed(base.blank).contents
        if wanted is not None and wanted != tape.contents:
            shown = (base.join(wanted), base.join(tape.contents))
            return Divergence(unfolded.macro_steps, "", "expected tape0", *shown)
    return None
