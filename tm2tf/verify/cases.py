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

LONGEST = 300_000_000
"""Steps after which a machine of a corpus is stopped, unless told otherwise: some seconds."""

FOREVER = 10_000
"""Steps of a machine of a corpus that is said never to halt, unless told otherwise: some ms. Many
visit a new cell in each step, and tapes are compared cell by cell at the end."""

RARE = 100
"""Random machines drawn for each that is asked for, before giving up."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"[A-Za-z]\S*")


@dataclass(frozen=True, slots=True)
class Case:
    """One run to verify. `command` repeats it.

    `ends`: the steps after which it is said to end, where it is stopped before.
    """

    machine: Machine
    tapes: tuple[Tape, ...]
    expected: Expected
    max_steps: int | None
    command: str
    ends: int | None = None


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
    """Yield the machines of a file, a line each, with tabs: code, steps, nonblank; or code, word.

    `#` begins a comment. A word in place of numbers says that the machine never halts: it is run
    for `max_steps` (or `FOREVER`), and must not. Of the others one that needs more than that (or
    `LONGEST`) is run so far, and its facts are not asked for; and one that runs on when it should
    have halted is stopped one step later.

    Raises:
        FormatError: a line is not of that form; with its number.
    """
    text = _text(path)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        code, *facts = (field.strip() for field in line.split("\t"))
        counted = len(facts) >= 2 and all(_NUMBER.fullmatch(fact) for fact in facts[:2])
        if not counted and not (len(facts) == 1 and _WORD.fullmatch(facts[0])):
            raise FormatError(
                "expected a code, its steps and its nonblank cells, separated by tabs",
                source=str(path),
                text=text,
                line=number,
                column=1,
                hint="or a code and a word: a machine that never halts",
            )
        try:
            machine = bbchallenge.parse(code)
        except FormatError as error:
            raise FormatError(
                error.message,
                source=str(path),
                text=text,
                line=number,
                column=error.column,
                hint=error.hint,
            ) from None
        yield _of_facts(machine, tuple(map(int, facts[:2])) if counted else None, max_steps)


def _of_facts(machine: Machine, facts: tuple[int, ...] | None, max_steps: int | None) -> Case:
    """Return the case of a machine that takes so many steps, and leaves so many cells; or never."""
    tapes, command = machine.initial().tapes, f"tm2tf verify {machine.name}"
    if facts is None:
        limit = FOREVER if max_steps is None else max_steps
        return Case(machine, tapes, Expected("step-limit"), limit, command + _limited(limit))
    steps, nonblank = facts
    limit = LONGEST if max_steps is None else max_steps
    if steps >= limit:
        return Case(machine, tapes, Expected(), limit, command + _limited(limit), ends=steps)
    expected = Expected("halted", steps=steps, nonblank=nonblank)
    return Case(machine, tapes, expected, steps + 1, command + _limited(steps + 1))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the corpus {path} is not a text in UTF-8: {error.reason}") from None
    except OSError as error:
        raise InputError(
            f"cannot read the corpus {path}: {error.strerror}; expected a file with a code, its "
            "steps and its nonblank cells a line, separated by tabs"
        ) from None


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
