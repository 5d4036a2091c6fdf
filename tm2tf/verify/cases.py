"""What to verify: machines with starts and expected results, from files, seeds and corpora."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tm2tf.errors import FormatError, InputError
from tm2tf.formats import bbchallenge
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Example, Expected, Machine, Tape

UNSTATED = 1_000_000
"""Steps for a run of which nothing is known beforehand: under a second, and it may never halt."""

RARE = 100
"""Random machines drawn for each that is asked for, before giving up."""

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Case:
    """One run to verify. `command` repeats it."""

    machine: Machine
    tapes: tuple[Tape, ...]
    expected: Expected
    max_steps: int | None
    command: str


def _any(machine: Machine) -> bool:
    return True


def of_machine(
    what: str, machine: Machine, tapes: Sequence[Tape], max_steps: int | None, given: bool
) -> Iterator[Case]:
    """Yield the given start (if `given`), else the machine's examples, else a blank start.

    Args:
        what: how the user named the machine, for the command that repeats a case.
        machine: the machine.
        tapes: the start given, used if `given`.
        max_steps: a limit, or None for each example's own (for other starts: `UNSTATED`).
        given: whether a start is given.
    """
    examples = machine.examples
    if given or not examples:
        start = machine.initial(tapes).tapes
        known = [e for e in examples if e.tapes == start and max_steps in (None, e.max_steps)]
        examples = (*known[:1],) or (Example(start, max_steps=UNSTATED),)
    for example in examples:
        own = max_steps in (None, example.max_steps)
        limit = example.max_steps if own else max_steps
        expected = example.expected if own else Expected()
        command = _command(what, machine, example.tapes, limit)
        yield Case(machine, example.tapes, expected, limit, command)


def sampled(
    count: int, seed: int, max_steps: int | None, takes: Callable[[Machine], bool] = _any
) -> Iterator[Case]:
    """Yield so many random machines on random tapes; the same seed gives the same.

    Machines that are not taken are passed over and do not count.

    Raises:
        InputError: hardly any machine is taken.
    """
    drawn = (sample(seed, number) for number in range(RARE * count))
    machines = list(itertools.islice(filter(takes, drawn), count))
    if len(machines) < count:
        raise InputError(
            f"of {RARE * count:,} random machines only {len(machines)} can be taken by this "
            "construction with these options; allow it more"
        )
    for machine in machines:
        (example,) = machine.examples
        limit = example.max_steps if max_steps is None else max_steps
        command = f"tm2tf verify {machine.name}" + _limited(max_steps)
        yield Case(machine, example.tapes, Expected(), limit, command)


def of_corpus(path: Path, max_steps: int | None) -> Iterator[Case]:
    """Yield the machines of a tab-separated file: code, steps, nonblank; `#` begins a comment.

    A machine that needs more than `max_steps` is run so far, and its facts are not asked for. One
    that runs on when it should have halted is stopped one step later.

    Raises:
        FormatError: a line is not of that form; with its number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the corpus {path} is not a text in UTF-8: {error.reason}") from None
    except OSError as error:
        raise InputError(
            f"cannot read the corpus {path}: {error.strerror}; expected a file with a code, its "
            "steps and its nonblank cells a line, separated by tabs"
        ) from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        numbers = fields[1:3]
        if len(numbers) < 2 or not all(_NUMBER.fullmatch(field.strip()) for field in numbers):
            raise FormatError(
                "expected a code, its steps and its nonblank cells, separated by tabs",
                source=str(path),
                text=text,
                line=number,
                column=1,
            )
        try:
            machine = bbchallenge.parse(fields[0])
        except FormatError as error:
            raise FormatError(
                error.message,
                source=str(path),
                text=text,
                line=number,
                column=error.column,
                hint=error.hint,
            ) from None
        steps, nonblank = map(int, numbers)
        reaches = max_steps is None or steps < max_steps
        facts = Expected("halted", steps=steps, nonblank=nonblank) if reaches else Expected()
        limit = steps + 1 if reaches else max_steps
        command = f"tm2tf verify {machine.name}" + _limited(limit)
        yield Case(machine, machine.initial().tapes, facts, limit, command)


def _command(what: str, machine: Machine, tapes: Sequence[Tape], limit: int | None) -> str:
    words = ["tm2tf", "verify", shlex.quote(what)]
    for tape in tapes:
        words += ["--input", shlex.quote(machine.join(tape.contents))]
    for option, values in (
        ("--origin", [t.origin for t in tapes]),
        ("--head-at", [t.head for t in tapes]),
    ):
        if any(values):
            words += [word for value in values for word in (option, str(value))]
    return " ".join(words) + _limited(limit)


def _limited(limit: int | None) -> str:
    return "" if limit in (None, UNSTATED) else f" --max-steps {limit}"
