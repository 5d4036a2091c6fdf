"""The library's front: the same words as the command line, which is a thin skin over this."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tm2tf import formats
from tm2tf.compiler import Compiled, compile_machine, recompile, with_machine
from tm2tf.errors import ConfigurationError, FormatError, InputError, NotFoundError
from tm2tf.formats import bbchallenge
from tm2tf.formats.sizes import MAX_BYTES, MORE_CHARACTERS
from tm2tf.machine import library
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Configuration, Expected, Machine, Tape
from tm2tf.runtime.run import Result
from tm2tf.runtime.run import run as _run
from tm2tf.weights import folder
from tm2tf.weights.model import Weights

if TYPE_CHECKING:
    from tm2tf.verify.lockstep import Check

Input = str | Tape
Progress = Callable[[int], None]

FARTHEST = 10_000_000
"""Farthest from address 0 that a start may put cells and heads: between head and cells each one
costs a token of the prompt, and the compiled simulator's tapes are arrays."""

_SAMPLED = re.compile(r"random:(-?[0-9]{1,18}):([0-9]{1,18})")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A compiled machine: its weights, and what can be done with them."""

    compiled: Compiled

    @property
    def machine(self) -> Machine:
        """The machine that was compiled."""
        return self.compiled.machine

    @property
    def weights(self) -> Weights:
        """The tensors and their labels."""
        return self.compiled.weights

    @property
    def tokens_per_step(self) -> int | None:
        """Tokens emitted a step (in a looped model: passes); None if that depends on the run."""
        return self.compiled.construction.tokens_per_step(self.machine, self.weights.options)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the tensors, as `save` writes them."""
        return folder.weights_sha256(self.weights)

    def run(
        self,
        *inputs: Input,
        max_steps: int | None = None,
        runtime: str = "kernel",
        device: str = "auto",
        dtype: str = "float64",
        grow: bool = True,
        kernel: str | None = None,
        counting: bool = False,
        on_progress: Progress | None = None,
    ) -> Result:
        """Run the weights on one input a tape (words or `Tape`s); return how the run ended.

        `grow`: whether a looped model's window is widened when a head leaves it. `kernel`: which of
        the kernel runtime's runs ("dense", "sparse", "evaluated" or "folded"), if the weights are
        fit for it; the result says which one ran, and why. `counting`: whether those two count how
        often each symbol was met in each state (on one tape).

        Raises:
            ConfigurationError: an input does not fit the machine.
            BoundError: the run leaves the range in which the weights are exact.
        """
        return _run(
            self.compiled,
            self.start(*inputs),
            max_steps=_limit(max_steps),
            runtime=runtime,
            device=device,
            dtype=dtype,
            grow=grow,
            kernel=kernel,
            counting=counting,
            on_progress=on_progress,
        )

    def verify(
        self,
        *inputs: Input,
        expected: Expected | None = None,
        max_steps: int | None = None,
        runtime: str = "kernel",
        device: str = "auto",
        dtype: str = "float64",
        grow: bool = True,
        kernel: str | None = None,
        on_progress: Progress | None = None,
    ) -> Check:
        """Run simulator, interpreter and weights in lockstep; return how far they agreed."""
        from tm2tf.verify.lockstep import lockstep  # numba: not for those who only load machines

        return lockstep(
            self.compiled,
            self.start(*inputs),
            expected=expected,
            max_steps=_limit(max_steps),
            runtime=runtime,
            device=device,
            dtype=dtype,
            grow=grow,
            kernel=kernel,
            on_progress=on_progress,
        )

    def prompt(self, *inputs: Input) -> list[str]:
        """Return the tokens that put the weights into a start configuration."""
        start = self.start(*inputs)
        return [self.weights.tokens[number].name for number in self.compiled.prompt(start)]

    def page(self, *inputs: Input) -> str:
        """Return a page of HTML that shows the model and runs its weights in the browser.

        It opens with these inputs, one a tape, or else with an example of the machine.

        Raises:
            ExtraError: a package of the extra `draw` is not installed.
            ConfigurationError: an input does not fit the machine.
        """
        from tm2tf.page.build import build
        from tm2tf.page.payload import Start, described

        if not inputs:
            return build(self.compiled)
        start = self.start(*inputs)
        return build(self.compiled, [Start(described(self.machine, start), start)])

    def of(self, machine: Machine | str | Path) -> Model:
        """Return the model of another machine with these same weights.

        Raises:
            ConstructionError: weights of this construction are for one machine, or too small.
        """
        found = machine if isinstance(machine, Machine) else load(machine)
        return Model(with_machine(self.compiled, found))

    def save(self, path: str | Path) -> str:
        """Write the artifact folder; return the weights' SHA-256."""
        return folder.save(Path(path), self.weights, self.machine)

    def start(self, *inputs: Input) -> Configuration:
        """Return the start configuration for one input a tape.

        Raises:
            ConfigurationError: an input does not fit the machine, or stands too far out.
        """
        return start_of(self.machine, inputs)


def start_of(machine: Machine, inputs: Sequence[Input]) -> Configuration:
    """Return a machine's start configuration for one input a tape.

    Raises:
        ConfigurationError: an input does not fit the machine, or stands too far out.
    """
    for given in inputs:
        if not isinstance(given, str | Tape):
            raise ConfigurationError(f"an input is a word (str) or a Tape, got {given!r}")
    start = machine.initial(inputs)
    for number, tape in enumerate(start.tapes):
        ends = (tape.head, tape.origin, tape.origin + len(tape.contents))
        if max(map(abs, ends)) > FARTHEST:
            raise ConfigurationError(
                f"tape {number} begins too far out (head {tape.head}, origin {tape.origin}): "
                f"cells and heads must begin within {FARTHEST:,} of address 0"
            )
    return start


def load(what: str | Path) -> Machine:
    """Return the machine that a path, a bundled name, a bbchallenge code or a text describes.

    `random:SEED:NUMBER` is a machine of `machine.sampling`.

    Raises:
        NotFoundError: nothing of that name.
        FormatError: the text is no machine; with line, column and excerpt.
    """
    if not isinstance(what, str | Path):
        raise NotFoundError(f"a machine is named by a text or a path, got {what!r}")
    text = str(what)
    if "\n" in text:
        return formats.parse(text)
    path = Path(text)
    if is_folder(text):
        return open_model(path).machine
    if _answer(path.is_file):
        return formats.parse(_read(path), str(path), path.stem)
    if sampled := _SAMPLED.fullmatch(text):
        return sample(int(sampled[1]), int(sampled[2]))
    if bbchallenge.looks_like(text):
        return bbchallenge.parse(text)
    if path.suffix or len(path.parts) > 1:
        raise NotFoundError(
            f"no such file: {text} (a bundled machine goes by its name alone, as in `bb4`; "
            "`tm2tf machines` lists them)"
        )
    entry = library.find(text)
    return formats.parse(_read(entry.path), str(entry.path), entry.name)


def is_folder(what: str | Path) -> bool:
    """Return whether `load` takes this for an artifact folder; an empty name is none."""
    return str(what) != "" and _answer(Path(what).is_dir)


def open_model(path: str | Path, *, check: bool = True) -> Model:
    """Return the model of an artifact folder; `check=False` skips comparing hashes.

    Raises:
        ArtifactError: the folder is damaged, edited or foreign.
    """
    weights, machine = folder.load(Path(path), check=check)
    return Model(recompile(machine, weights))


def compile(  # noqa: A001 - the word that people use
    machine: Machine | str | Path,
    construction: str = "trace",
    target: str | None = None,
    **options: int | None,
) -> Model:
    """Return the compiled model of a machine, or of what `load` makes one of.

    `options` are the construction's, such as `tape=256`; `target` is its own if not given.
    """
    found = machine if isinstance(machine, Machine) else load(machine)
    return Model(compile_machine(found, construction, target, options))


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """What was written: facts about it, as JSON has them, and the bytes of each file by name."""

    machine: Machine
    facts: Mapping[str, object]
    sizes: dict[str, int]


def export(machine: Machine | str | Path, to: str, output: str | Path, **options: Any) -> Exported:
    """Write a machine as a checkpoint that others' programs run.

    `to` is a format of `export.formats`; `options` are those of `export.bundle.bundle`, such as
    `tape=256, steps=1000, dtype="float32"`; to tracr, the window alone: `tape=24`.

    Raises:
        BoundError: it would not be exact; the message says what would.
        InputError: an option is missing, or is not for this format.
        ExtraError: a package that the format needs is not installed.
        ArtifactError: the folder cannot be written.
    """
    from tm2tf.export import formats as targets

    target = targets.by_name(to)
    found = machine if isinstance(machine, Machine) else load(machine)
    made = targets.make(found, target, **options)
    return Exported(found, made.facts, targets.put(made.files, target, Path(output)))


def verify(
    machine: Machine | str | Path,
    *inputs: Input,
    construction: str = "trace",
    target: str | None = None,
    max_steps: int | None = None,
    runtime: str = "kernel",
    dtype: str = "float64",
    **options: int | None,
) -> Check:
    """Compile a machine and run simulator, interpreter and weights in lockstep on an input."""
    model = compile(machine, construction, target, **options)
    return model.verify(*inputs, max_steps=max_steps, runtime=runtime, dtype=dtype)


def _answer(asked: Callable[[], bool]) -> bool:
    """Return what the file system says of a path; no, if it refuses its name as too long, say."""
    try:
        return asked()
    except OSError:
        return False


def _limit(max_steps: int | None) -> int | None:
    if max_steps is not None and not isinstance(max_steps, int):
        raise InputError(f"max_steps must be a whole number or None, got {max_steps!r}")
    if max_steps is not None and max_steps < 0:
        raise InputError(f"max_steps must not be negative, got {max_steps}")
    return max_steps


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path} is larger than {MAX_BYTES:,} bytes, the limit for a machine "
                f"{MORE_CHARACTERS}"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"not a text in UTF-8: {error.reason}", source=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
