"""Compiling, saving and opening machines of up to 20,000 rules: time and size are linear.

Random machines share nothing that a compiler could use; the divider is one large program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import by_weights, end_of, finished
from tm2tf.bench.machines import divider, random_machine
from tm2tf.bench.results import Goal, Growth, Outcome, Series
from tm2tf.bench.statistics import Spread, spread
from tm2tf.bench.timing import timed
from tm2tf.machine.spec import Machine, Tape

RULES = (100, 1_000, 5_000, 20_000)
QUICK_RULES = (100, 1_000)
REPEATS, QUICK_REPEATS = 3, 5
RUN_STEPS = 10_000
"""Steps of the opened artifact that are compared with the plain simulator's."""

DIGITS = "31415926535897932384626433832795028841971693993751"
"""What dividers divide: any number with more digits than the largest divisor."""

LARGEST = 3e8
"""Bytes of an artifact, at most."""

GOAL = Goal(most=1.1, of="slope")

Figures: TypeAlias = dict[str, float]

KINDS: Mapping[str, Callable[[int], Machine]] = {
    "random, 1 tape": lambda rules: random_machine(rules, seed=1),
    "random, 2 tapes": lambda rules: random_machine(rules, seed=2, symbols=5, tapes=2),
    "divider": lambda rules: divider(rules // 10),
}

FIGURES = {
    "compile": ("Time to compile", "seconds"),
    "save": ("Time to save", "seconds"),
    "open": ("Time to open", "seconds"),
    "bytes": ("Size of the artifact", "bytes"),
}


def measure(settings: Settings) -> Outcome:
    """Compile, save and open machines of more and more rules."""
    sizes = settings.pick(RULES, QUICK_RULES)
    found = {kind: _measured(kind, make, sizes, settings) for kind, make in KINDS.items()}
    return Outcome(
        growths=tuple(
            Growth(
                title=title,
                about="construction trace; what is opened again must run as the plain simulator",
                x="rules",
                y=y,
                series=tuple(
                    Series(kind, sizes[: len(made)], _column(made, figure), "1", GOAL, wrong)
                    for kind, (made, wrong) in found.items()
                ),
            )
            for figure, (title, y) in FIGURES.items()
        )
    )


def _measured(
    kind: str, make: Callable[[int], Machine], sizes: Sequence[int], settings: Settings
) -> tuple[list[list[Figures]], str]:
    """Return for each size the figures of some tries, and what was wrong with a run.

    Ends before an artifact that would be larger than `LARGEST` if it grew with the square. Sizes
    take turns, so that other load on the machine hits all of them.
    """
    found: list[list[Figures]] = []
    wrong = ""
    for turn in range(settings.pick(REPEATS, QUICK_REPEATS)):
        for number, rules in enumerate(sizes):
            before = found[number - 1][0]["bytes"] if number else 0.0
            if before * (rules / sizes[number - 1]) ** 2 > LARGEST:
                break
            settings.tell(f"{kind}, {rules:,} rules")
            figures, said = _once(make(rules))
            found += [] if turn else [[]]
            found[number].append(figures)
            wrong = wrong or said
    return found, wrong


def _column(made: list[list[Figures]], figure: str) -> tuple[Spread, ...]:
    """Return one figure at each size."""
    return tuple(spread([figures[figure] for figures in tries]) for tries in made)


def _once(machine: Machine) -> tuple[Figures, str]:
    """Return what one machine took, and what was wrong with a run of it."""
    compiling, model = timed(lambda: api.compile(machine))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artifact"
        saving, _ = timed(lambda: model.save(path))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        opening, opened = timed(lambda: api.open_model(path))
    figures = {"compile": compiling, "save": saving, "open": opening, "bytes": float(size)}
    return figures, _wrong(opened)


def _wrong(model: api.Model) -> str:
    """Return what is wrong with a run of a model: against plain, and against Python's division."""
    machine = model.machine
    if "9" in machine.symbols and machine.states[0] == "r0":
        divisor = len(machine.states)
        result = finished(model.run(DIGITS))
        quotient, rest = divmod(int(DIGITS), divisor)
        written = int("".join(result.tapes[0].contents))
        right = (written, result.state) == (quotient, f"r{rest}")
        return "" if right else f"{DIGITS} / {divisor} gave {written}, rest {result.state}"
    tapes = tuple(Tape() for _ in range(machine.tapes))
    return by_weights(model, tapes, end_of(machine, tapes, RUN_STEPS))().wrong


BENCHMARK = Benchmark(
    "growth-rules",
    "compiling, saving, opening, and an artifact's size, up to 20,000 rules",
    measure,
)
