"""How other constructions than `trace` grow: batches, machines in the prompt, and bounded space."""

from __future__ import annotations

from dataclasses import replace

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.growth import curve
from tm2tf.bench.kernels import by_weights, end_of, finished
from tm2tf.bench.machines import random_machine, shuttle, shuttle_tape, spreader
from tm2tf.bench.results import Goal, Growth, Outcome, Series
from tm2tf.bench.statistics import spread
from tm2tf.bench.timing import Run, timed
from tm2tf.machine.spec import Machine, Tape

BATCHES, QUICK_BATCHES = (1, 4, 16, 64, 256, 1024), (1, 16)
BATCH_STEPS = 100
"""Steps of each sequence of a batch: enough to be timed, of a context that stays short."""

STATES, QUICK_STATES = (4, 16, 64, 256), (4, 16)
SYMBOLS = 4
UNIVERSAL_STEPS = 20_000

CELLS, QUICK_CELLS = (16, 64, 256, 1024), (16, 64)
QUEUE_STEPS = 200
SPACES, QUICK_SPACES = (16, 64, 256, 1024), (16, 64)
SUMMARISED_STEPS, QUICK_SUMMARISED_STEPS = (1_000, 10_000, 100_000), (1_000, 10_000)
PERIOD = 64

LIMIT, QUICK_LIMIT = 10.0, 1.0


def batches(settings: Settings) -> Outcome:
    """Time the torch model on batches of one sequence repeated."""
    import torch

    from tm2tf.runtime.model import Transformer, generate
    from tm2tf.runtime.threads import few_threads

    model = api.compile("bb5")
    prompt = model.compiled.prompt(model.start())

    def make(device: str) -> Series:
        module = Transformer(model.weights, device)
        alone = generate(module, model.weights, [prompt], BATCH_STEPS)

        def run(size: int) -> Run:
            with few_threads(0):  # one: more would wait for each other at every small product
                seconds, emitted = timed(
                    lambda: generate(module, model.weights, [prompt] * size, BATCH_STEPS)
                )
            wrong = "" if emitted == alone * size else "a batch emits what one alone does not"
            return Run(size * BATCH_STEPS, seconds, wrong)

        sizes = settings.pick(BATCHES, QUICK_BATCHES)
        limit = settings.pick(LIMIT, QUICK_LIMIT)
        return curve(f"torch, {device}", sizes, run, settings, limit=limit, expected="-1 to 0")

    devices = ["cpu", *["cuda"] * torch.cuda.is_available()]
    return Outcome(
        growths=(
            Growth(
                title="Time for a step of one sequence in a batch",
                about=f"the torch model on BB(5), {BATCH_STEPS} steps of each sequence; -1 is a "
                "batch for the price of one",
                x="sequences in a batch",
                y="seconds a step",
                series=tuple(make(device) for device in devices),
            ),
        )
    )


def universal(settings: Settings) -> Outcome:
    """Time one machine compiled into the weights, and the same machine as a prompt."""
    sizes = [SYMBOLS * states for states in settings.pick(STATES, QUICK_STATES)]
    limit = settings.pick(LIMIT, QUICK_LIMIT)

    def machine(rules: int) -> Machine:
        # nothing halts, so that runs are as long as asked
        drawn = random_machine(rules, seed=3, symbols=SYMBOLS)
        looped = {
            key: replace(to, state=drawn.start) if to.state == "end" else to
            for key, to in drawn.transitions.items()
        }
        return replace(drawn, transitions=looped, examples=())

    def make(construction: str) -> Series:
        models: dict[int, api.Model] = {}

        def run(rules: int) -> Run:
            if rules not in models:
                room: dict[str, int | None] = {
                    "states": rules // SYMBOLS,
                    "symbols": SYMBOLS,
                    "halting": 1,
                }
                options = room if construction == "universal" else {}
                models[rules] = api.compile(machine(rules), construction, None, **options)
            model = models[rules]
            return by_weights(model, (), end_of(model.machine, (), UNIVERSAL_STEPS))()

        return curve(construction, sizes, run, settings, limit=limit)

    return Outcome(
        growths=(
            Growth(
                title="Time for a step by rules",
                about="random machines of 4 symbols; `trace` has the rules in its weights, "
                "`universal` reads them from the prompt, in the runtime's default kernel",
                x="rules",
                y="seconds a step",
                series=(make("trace"), make("universal")),
            ),
        )
    )


def space(settings: Settings) -> Outcome:
    """Time `queue` by the cells of its tape; measure contexts of `summarised`."""
    return Outcome(growths=(_queue(settings), _contexts(settings), _spaces(settings)))


def _queue(settings: Settings) -> Growth:
    machine, tapes = shuttle(), (shuttle_tape(),)
    end = end_of(machine, tapes, QUEUE_STEPS)

    def run(cells: int) -> Run:
        return by_weights(api.compile(machine, "queue", tape=cells), tapes, end)()

    series = curve(
        "queue",
        settings.pick(CELLS, QUICK_CELLS),
        run,
        settings,
        limit=settings.pick(LIMIT, QUICK_LIMIT),
        goal=Goal(most=1.1, of="slope"),
        expected="1",
    )
    return Growth(
        title="Time for a step by the cells of a queue",
        about="construction queue writes the whole tape in each step: a token a cell, and one more",
        x="cells of the tape",
        y="seconds a step",
        series=(series,),
    )


def _contexts(settings: Settings) -> Growth:
    """Return the longest context by steps, on few cells."""
    sizes = settings.pick(SUMMARISED_STEPS, QUICK_SUMMARISED_STEPS)
    machine, tapes = shuttle(), (shuttle_tape(),)
    return Growth(
        title="Longest context by steps",
        about=f"a machine that stays on 10 cells; `summarised` sums up every {PERIOD} steps or so",
        x="steps",
        y="tokens",
        series=(
            _context("trace", machine, tapes, sizes, settings, {}, "1", None),
            _context(
                "summarised",
                machine,
                tapes,
                sizes,
                settings,
                {"period": PERIOD},
                "0",
                Goal(most=0.1, of="slope"),
            ),
        ),
    )


def _spaces(settings: Settings) -> Growth:
    """Return the longest context by cells visited: the spreader visits c cells in c^2 / 2 steps."""
    found, wrong = [], ""
    sizes = settings.pick(SPACES, QUICK_SPACES)
    model = api.compile(spreader(), "summarised", period=PERIOD)
    for cells in sizes:
        settings.tell(f"summarised, {cells:,} cells")
        steps = cells * cells // 2
        result = finished(model.run(max_steps=steps))
        end = end_of(model.machine, (), steps)
        wrong = wrong or end.differs(result.outcome, result.steps, result.nonblank)
        found.append(spread([float(result.peak_context)]))
    return Growth(
        title="Longest context by cells visited",
        about=f"a machine that spreads, by `summarised`, every {PERIOD} steps or so",
        x="cells visited",
        y="tokens",
        series=(Series("summarised", sizes, tuple(found), "1", Goal(most=1.1, of="slope"), wrong),),
    )


def _context(
    name: str,
    machine: Machine,
    tapes: tuple[Tape, ...],
    sizes: tuple[int, ...],
    settings: Settings,
    options: dict[str, int | None],
    expected: str,
    goal: Goal | None,
) -> Series:
    model, found, wrong = api.compile(machine, name, None, **options), [], ""
    for steps in sizes:
        settings.tell(f"{name}, {steps:,} steps")
        result = finished(model.run(*tapes, max_steps=steps))
        end = end_of(machine, tapes, steps)
        wrong = wrong or end.differs(result.outcome, result.steps, result.nonblank)
        found.append(spread([float(result.peak_context)]))
    return Series(name, sizes, tuple(found), expected, goal, wrong)


BENCHMARKS = (
    Benchmark("growth-batch", "the torch model on batches, by the sequences in a batch", batches),
    Benchmark("growth-universal", "rules in the weights against rules in the prompt", universal),
    Benchmark("growth-space", "queue by its cells; contexts of summarised against trace", space),
)
