"""What a benchmark brings back: races, which are timed side by side, and growths, over a size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tm2tf.bench.statistics import Spread, slope

Fact: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of a figure: `most`, or `least`, of it.

    `of` is the figure: "ratio", the time for one unit against the baseline's; "seconds", a run's
    time, which depends on the machine, so no check looks at it; or "slope", of a growth.
    """

    most: float | None = None
    least: float | None = None
    of: Literal["ratio", "seconds", "slope"] = "ratio"


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender of a race.

    Attributes:
        about: what it is, in a few words.
        amount: how many units a run has; a rate is `amount / seconds`.
        seconds: of a run.
        ratio: time for one unit as a multiple of the baseline's, round by round.
        facts: what else a run said, such as the kernel that ran.
        wrong: what was wrong with a run's result; empty if nothing was.
    """

    name: str
    about: str
    amount: int
    seconds: Spread
    ratio: Spread
    facts: Mapping[str, Fact] = field(default_factory=dict)
    goal: Goal | None = None
    wrong: str = ""

    @property
    def rate(self) -> float:
        """Units a second, by the median."""
        return self.amount / self.seconds.median if self.seconds.median else 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """What was left out, and why: a package that is not installed, for one."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Race:
    """Contenders timed in turn, in rounds. The first entry is the baseline: its ratios are 1.

    `unit` is what `amount` counts, such as "steps".
    """

    title: str
    about: str
    unit: str
    entries: tuple[Entry, ...]
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a growth: a measurement at each of some sizes.

    `expected` is what theory has for the slope, which is that of sizes from `since` on.
    """

    name: str
    sizes: tuple[float, ...]
    values: tuple[Spread, ...]
    expected: str = ""
    goal: Goal | None = None
    wrong: str = ""
    since: float = 0.0

    @property
    def slope(self) -> float:
        """The slope on log-log axes, of the medians; nan if there is none."""
        counted = self.counted
        medians = [value.median for value in self.values]
        return slope(counted, medians[len(medians) - len(counted) :])

    @property
    def counted(self) -> tuple[float, ...]:
        """The sizes that the slope is of, the greatest ones; sizes rise."""
        return tuple(size for size in self.sizes if size >= self.since)


@dataclass(frozen=True, slots=True)
class Growth:
    """How something grows with a size; `x` and `y` label axes, units included."""

    title: str
    about: str
    x: str
    y: str
    series: tuple[Series, ...]
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a benchmark measured."""

    races: tuple[Race, ...] = ()
    growths: tuple[Growth, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """What was wrong with results, one line for each."""
        raced = [(race.title, it.name, it.wrong) for race in self.races for it in race.entries]
        grown = [(one.title, it.name, it.wrong) for one in self.growths for it in one.series]
        found = [*raced, *grown]
        return tuple(f"{title}, {name}: {wrong}" for title, name, wrong in found if wrong)
