"""One stream: BB(5) through the trace weights, against the plain simulator.

Each kernel runs as many steps as take it about as long as the others; a ratio is of the time for
one step. The same weights in another basis (`disguise`) show that a kernel reads tensors and does
not know the machine; machines that do the same on two and three tapes show what a tape costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.disguise import disguised
from tm2tf.bench.kernels import FAST, End, by_plain, by_weights, end_of
from tm2tf.bench.machines import side_by_side
from tm2tf.bench.results import Goal, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine
from tm2tf.runtime.runner import KERNELS

MACHINE = "bb5"
QUICK_STEPS = 20_000_000
"""Steps of a quick run, for what could take all of them."""

ABOUT = {
    "plain": "the table simulator in numba, no weights",
    "sweeping": "the same, taking the steps of sweeps at once, as folded does",
    "dense": "every entry of every matrix multiplied in each pass",
    "sparse": "entries that are not 0, lookups from an index",
    "evaluated": "feed-forward layers and argmax computed on every pass; layer sums as integers",
    "folded": "constant folding: what depends on finitely many cases is computed once",
}

MOST = {"dense": 50_000, "sparse": 500_000, "torch": 300, "simulator": 50_000}
"""Steps of what is too slow for a whole run: about as long as the plain simulator takes for one."""

GOALS = {"evaluated": Goal(most=2.2), "folded": Goal(most=1.0)}
TAPES_GOAL = Goal(most=1.5)
SLOW_ROUNDS = 3


def measure(settings: Settings) -> Outcome:
    """Time all kernels on one tape, and the fast ones in another basis and on several tapes."""
    machine = api.load(MACHINE)
    full = end_of(machine, (), settings.pick(None, QUICK_STEPS))
    races = [_kernels(machine, full, settings), _bases(machine, full, settings)]
    races += [_tapes(machine, kernel, full, settings) for kernel in FAST]
    return Outcome(races=tuple(races))


def _kernels(machine: Machine, full: End, settings: Settings) -> Race:
    """Return every kernel, and what else there is, beside the plain simulator."""
    model = api.compile(machine)

    def end(name: str) -> End:
        most = MOST.get(name, full.steps)
        return full if most >= full.steps else end_of(machine, (), most)

    found = [
        Contender("plain", ABOUT["plain"], by_plain(machine, (), full)),
        Contender("plain, sweeping", ABOUT["sweeping"], by_plain(machine, (), full, sweeps=True)),
    ]
    for kernel in KERNELS:
        run = by_weights(model, (), end(kernel), kernel)
        found.append(Contender(kernel, ABOUT[kernel], run, GOALS.get(kernel)))
    torch = by_weights(model, (), end("torch"), runtime="torch")
    found += [
        Contender("torch", "the plain torch model, a sequence of one", torch, rounds=SLOW_ROUNDS),
        Contender(
            "simulator",
            "the reference simulator in Python",
            _by_simulator(machine, end("simulator")),
            rounds=SLOW_ROUNDS,
        ),
    ]
    return Race(
        title="One stream",
        about="BB(5) from a blank tape: time for one step, through the trace weights and without",
        unit="steps",
        entries=race(found, settings.rounds, settings.report),
    )


def _by_simulator(machine: Machine, end: End) -> Callable[[], Run]:
    """Return what runs the reference simulator to an end."""

    def run() -> Run:
        simulation = Simulation(machine, machine.initial())
        began = time.perf_counter()
        while simulation.outcome is None and simulation.steps < end.steps:
            simulation.step()
        seconds = time.perf_counter() - began
        outcome = simulation.outcome or "step-limit"
        nonblank = sum(t.nonblank(machine.blank) for t in simulation.configuration().tapes)
        wrong = end.differs(outcome, simulation.steps, nonblank)
        return Run(simulation.steps, seconds, wrong)

    return run


def _bases(machine: Machine, full: End, settings: Settings) -> Race:
    """Return the fast kernels on the weights as they are and in another basis."""
    model = api.compile(machine)
    other = api.Model(replace(model.compiled, weights=disguised(model.weights)))
    found = [Contender("plain", ABOUT["plain"], by_plain(machine, (), full))]
    for kernel in FAST:
        for name, about, it in (
            (kernel, "the weights as compiled", model),
            (f"{kernel}, other basis", "directions permuted, rescaled, flipped", other),
        ):
            found.append(Contender(name, about, by_weights(it, (), full, kernel), GOALS[kernel]))
    return Race(
        title="In another basis",
        about="the same weights with residual directions permuted, rescaled and flipped",
        unit="steps",
        entries=race(found, settings.rounds, settings.report),
    )


def _tapes(machine: Machine, kernel: str, full: End, settings: Settings) -> Race:
    """Return one kernel on one, two and three tapes, by steps times tapes; and plain beside it."""
    found: list[Contender] = []
    for tapes in (1, 2, 3):
        several = machine if tapes == 1 else side_by_side(machine, tapes)
        end = replace(full, nonblank=full.nonblank * tapes)
        word = "1 tape" if tapes == 1 else f"{tapes} tapes"
        goal = TAPES_GOAL if tapes > 1 else None
        run = _each(by_weights(api.compile(several), (), end, kernel), tapes)
        found.append(Contender(word, "through the weights", run, goal))
        run = _each(by_plain(several, (), end), tapes)
        found.append(Contender(f"plain, {word}", ABOUT["plain"], run))
    return Race(
        title=f"Tapes, {kernel}",
        about="BB(5) on each of k tapes at once, mirrored on every other: time for a step and tape",
        unit="steps times tapes",
        entries=race(found, settings.rounds, settings.report),
    )


def _each(run: Callable[[], Run], tapes: int) -> Callable[[], Run]:
    """Return a run that counts a step once for each tape."""

    def counted() -> Run:
        made = run()
        return replace(made, amount=made.amount * tapes)

    return counted


BENCHMARK = Benchmark(
    "one-stream",
    "BB(5) through the trace weights by every kernel, against the plain simulator",
    measure,
)
