"""A machine as a checkpoint of a stock architecture: everything that a format writes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tm2tf.compiler import Compiled, compile_machine
from tm2tf.constructions.addressed import placed
from tm2tf.constructions.tokens import BEGIN
from tm2tf.errors import BoundError, InputError
from tm2tf.lowering import stock
from tm2tf.lowering.stock.checkpoint import Checkpoint
from tm2tf.lowering.stock.precision import Limits
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.program.program import Token

CONSTRUCTIONS = ("addressed", "summarised-addressed")
"""Constructions that compute with words alone, which is all that stock architectures can do."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What is exported.

    Attributes:
        compiled: the machine, the program, and its weights on target hard, to compare with.
        checkpoint: the same program's weights on a stock architecture.
        steps: the steps for which it was made; None if there is no end to them (summaries).
        origin: the address of the first cell of an input whose cells are given without addresses.
    """

    compiled: Compiled
    checkpoint: Checkpoint
    steps: int | None
    origin: int

    @property
    def machine(self) -> Machine:
        """The machine."""
        return self.compiled.machine

    @property
    def construction(self) -> str:
        """How the machine was put into a transformer."""
        return self.compiled.weights.construction

    @property
    def cells(self) -> int:
        """The cells of each tape."""
        return self.compiled.weights.options["tape"]

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The vocabulary, in order of id."""
        return self.checkpoint.wiring.tokens

    @property
    def begin(self) -> int:
        """The id of the token that every context begins with."""
        return self.checkpoint.wiring.ids()[BEGIN]

    @property
    def pad(self) -> int:
        """The id of the token for padding, which is never to be attended to."""
        return len(self.tokens) - 2

    @property
    def unknown(self) -> int:
        """The id of the token for words that are none."""
        return len(self.tokens) - 1

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids of the tokens after which nothing more is to be generated: a run is over."""
        over = [i for i, token in enumerate(self.tokens) if token.outcome is not None]
        return tuple(dict.fromkeys([*over, self.checkpoint.wiring.default]))

    @property
    def cuts(self) -> tuple[int, ...]:
        """The ids of the tokens that close a summary: the context can then begin with it."""
        return tuple(i for i, token in enumerate(self.tokens) if token.role == "cut")

    def prompt(self, configuration: Configuration) -> list[int]:
        """Return the token ids of a start, address 0 at cell `origin` of each tape.

        Raises:
            ConfigurationError: its state is not the machine's start state, or it does not fit.
        """
        options = self.compiled.weights.options
        ids = self.checkpoint.wiring.ids()
        found = placed(self.machine, configuration, options, self.origin)
        return [ids[name] for name in found.tokens]

    def expected(self, prompt: Sequence[int], count: int) -> list[int]:
        """Return up to `count` tokens that follow, by the weights on target hard.

        They are fewer where one of them ends the run. Other weights in another arithmetic: only
        the program is shared with the checkpoint.
        """
        from tm2tf.runtime.sparse import SparseRunner  # numba

        runner = SparseRunner(self.compiled.weights, prompt)
        found: list[int] = []
        while len(found) < count:
            emitted = runner.advance(count - len(found), probe=False).tokens.tolist()
            found += emitted
            if self.tokens[found[-1]].outcome is not None:
                break
        return found

    def text(self, ids: Sequence[int]) -> str:
        """Return tokens as the tokenizer writes them."""
        return " ".join(self.tokens[i].name for i in ids)


def longest_prompt(machine: Machine, cells: int) -> int:
    """Return the tokens of the longest start: `<bos>`, all cells, the heads, `<start>`."""
    heads = 1 if machine.tapes == 1 else machine.tapes + 1
    return 1 + machine.tapes * cells + heads


def bundle(
    machine: Machine,
    architecture: str,
    *,
    construction: str = "addressed",
    tape: int = 256,
    steps: int | None = None,
    context: int | None = None,
    dtype: str = "float32",
    origin: int | None = None,
) -> Bundle:
    """Return a machine as a checkpoint that runs it for so many steps on tapes of so many cells.

    Args:
        machine: any; summaries are for one tape.
        architecture: "gpt2" or "llama".
        construction: "addressed", with `steps`; or "summarised-addressed", with `context`.
        tape: the cells of each tape.
        steps: the steps it is to be exact for, from any start that fits on the tape.
        context: the longest context of a model that writes summaries, for runs without end.
        dtype: of weights, activations and cached keys: float32, bfloat16 or float16.
        origin: the cell of the tape at which plain input begins (default: half the tape).

    Raises:
        BoundError: it would not be exact; says how many steps would be.
        ConstructionError: the construction cannot take the machine.
        InputError: `steps` or `context` is missing, or out of place.
    """
    if construction not in CONSTRUCTIONS:
        raise InputError(
            f"construction {construction!r} cannot be exported: stock architectures have "
            f"no exact arithmetic; take one that computes with words: {', '.join(CONSTRUCTIONS)}"
        )
    _check_asked(construction, steps, context)
    options = {"tape": tape} if context is None else {"tape": tape, "context": context}
    compiled = compile_machine(machine, construction, None, options)
    each = compiled.construction.tokens_per_step(machine, compiled.weights.options)
    before = longest_prompt(machine, tape)
    if steps is None or each is None:
        positions = compiled.weights.options["context"]
    else:
        positions = before + steps * each
    zero = tape // 2 if origin is None else origin
    if not 0 <= zero < tape:
        raise InputError(f"the origin is cell {zero}, and the tape has cells 0 to {tape - 1}")
    try:
        checkpoint = stock.lower(compiled.program, architecture, positions, dtype)
    except MemoryError:
        raise InputError(
            f"there is not enough memory for a {architecture} with {positions:,} positions and "
            f"{len(compiled.program.tokens):,} tokens: take fewer --steps, or a shorter --tape"
        ) from None
    except stock.TooLongError as error:
        advice = _largest(error.limits, steps, each, before, tape)
        raise BoundError(f"{error}: {advice}", bound="position") from None
    return Bundle(compiled, checkpoint, steps, zero)


def _check_asked(construction: str, steps: int | None, context: int | None) -> None:
    """Refuse `steps` and `context` where they are missing or out of place."""
    if construction == "addressed":
        if steps is None:
            raise InputError("construction 'addressed' is exported for so many steps: say --steps")
        if steps < 1:
            raise InputError(f"--steps is {steps:,}; it must be 1 or more")
        if context is not None:
            raise InputError("--context is for construction 'summarised-addressed'")
    elif steps is not None:
        raise InputError(
            "--steps is for construction 'addressed': a model that writes summaries runs on "
            "without end in its --context"
        )


def _largest(limits: Limits, steps: int | None, each: int | None, before: int, tape: int) -> str:
    """Return what to ask for instead."""
    others = ", ".join(f"{name} {most:,}" for name, most in limits.by_dtype.items())
    dtypes = f"longest contexts by dtype: {others}"
    if steps is None or each is None:
        return f"take --context {limits.greatest} or less ({dtypes})"
    most = (limits.greatest - before) // each
    if most < 0:
        return f"a start on {tape} cells takes {before:,} alone, take a shorter --tape ({dtypes})"
    return (
        f"{before:,} for the longest start on a tape of {tape} cells and {each} for each of "
        f"{steps:,} steps; take --steps {most} or less ({dtypes})"
    )
