"""Others' programs on BB(5), as many steps as they take in about a second; time for one step.

- automata-lib simulates Turing machines in Python. Its tape is a tuple, made anew in each step, so
  it falls with the cells visited.
- transformers runs the checkpoints that `tm2tf export` writes, by `generate` with its cache.
- tracr's compiled model of one step, read back as weights and looped by the torch runtime; tracr
  itself decodes in Python, which would take longer.
What is not installed is left out, with the extra that has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import by_plain, by_weights, end_of
from tm2tf.bench.results import Left, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race, timed
from tm2tf.errors import ExtraError
from tm2tf.machine.spec import Machine

MACHINE = "bb5"
PLAIN_STEPS, WEIGHTS_STEPS = 4_000_000, 1_000_000

AUTOMATA_STEPS, QUICK_AUTOMATA_STEPS = 20_000, 5_000
HF_STEPS, QUICK_HF_STEPS, HF_CELLS = 200, 50, 128
"""BB(5) stays on 128 cells, from the middle, for so many steps: export refuses it otherwise."""

TRACR_STEPS, TRACR_WINDOW = 50, 24
SLOW_ROUNDS = 3


def measure(settings: Settings) -> Outcome:
    """Time what is installed of others' programs."""
    machine = api.load(MACHINE)
    found, left = _ours(machine), []
    makers: list[Callable[[Machine, Settings], Iterable[Contender]]] = [
        _automata, _transformers, _tracr,
    ]  # fmt: skip
    for make in makers:
        try:
            found += make(machine, settings)
        except ExtraError as error:
            left.append(Left(make.__name__.removeprefix("_"), str(error)))
    entries = race(found, settings.rounds, settings.report)
    return Outcome(
        races=(
            Race(
                title="Others' programs",
                about="BB(5) from a blank tape: time for one step",
                unit="steps",
                entries=entries,
                left=tuple(left),
            ),
        )
    )


def _ours(machine: Machine) -> list[Contender]:
    plainly, weights = end_of(machine, (), PLAIN_STEPS), end_of(machine, (), WEIGHTS_STEPS)
    return [
        Contender(
            "plain", "the table simulator in numba, no weights", by_plain(machine, (), plainly)
        ),
        Contender(
            "tm2tf",
            "the trace weights, default kernel",
            by_weights(api.compile(machine), (), weights),
        ),
    ]


def _automata(machine: Machine, settings: Settings) -> list[Contender]:
    """Return automata-lib's simulator.

    Raises:
        ExtraError: it is not installed.
    """
    try:
        from automata.tm.dtm import DTM
    except ImportError:
        raise ExtraError("its simulator", "automata-lib", "bench") from None
    end = end_of(machine, (), settings.pick(AUTOMATA_STEPS, QUICK_AUTOMATA_STEPS))
    rules: dict[str, dict[str, tuple[str, str, Any]]] = {}
    for (state, (read,)), to in machine.transitions.items():
        move = to.moves[0].replace("S", "N")
        rules.setdefault(state, {})[read] = (to.state, to.writes[0], move)
    made = DTM(
        states=set(machine.states),
        input_symbols=set(machine.symbols) - {machine.blank},
        tape_symbols=set(machine.symbols),
        transitions=rules,
        initial_state=machine.start,
        blank_symbol=machine.blank,
        final_states=set(machine.halt),
    )

    def run() -> Run:
        seconds, last = timed(
            lambda: next(islice(made.read_input_stepwise(""), end.steps, None), None)
        )
        nonblank = sum(it != machine.blank for it in last.tape) if last else -1
        return Run(end.steps, seconds, end.differs(end.outcome, end.steps, nonblank))

    return [Contender("automata-lib", "a simulator in Python", run)]


def _transformers(machine: Machine, settings: Settings) -> list[Contender]:
    """Return transformers' `generate` on checkpoints of two architectures.

    Raises:
        ExtraError: it is not installed.
    """
    steps = settings.pick(HF_STEPS, QUICK_HF_STEPS)
    return [
        Contender(
            f"generate, {architecture}",
            f"transformers on an exported checkpoint, {HF_CELLS} cells, float32",
            _generate(machine, architecture, steps),
            rounds=SLOW_ROUNDS,
        )
        for architecture in ("gpt2", "llama")
    ]


def _generate(machine: Machine, architecture: str, steps: int) -> Callable[[], Run]:
    """Return what lets transformers generate so many steps; each token is compared."""
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise ExtraError("`generate`", "transformers", "export") from None
    import torch

    from tm2tf.export.bundle import bundle

    asked: dict[str, Any] = {"tape": HF_CELLS, "steps": steps}
    known = bundle(machine, architecture, **asked)
    prompt = known.prompt(machine.initial())
    expected = known.expected(prompt, steps)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        api.export(machine, architecture, folder, **asked)
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.max_length = None

    def run() -> Run:
        ids = torch.tensor([prompt])
        seconds, told = timed(
            lambda: model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False
            )
        )
        wrong = "" if told[0, len(prompt) :].tolist() == expected else "other tokens than expected"
        return Run(len(expected), seconds, wrong)

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Let transformers write nothing meanwhile but errors."""
    from transformers import utils

    logging: Any = utils.logging  # without types
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _tracr(machine: Machine, settings: Settings) -> list[Contender]:
    """Return tracr's model of one step, looped.

    Raises:
        ExtraError: it is not installed.
    """
    model = api.compile(machine, "looped-neighbours", "tracr", window=TRACR_WINDOW)
    run = by_weights(model, (), end_of(machine, (), TRACR_STEPS))
    about = f"its model of one step on {TRACR_WINDOW} cells, looped by the torch runtime"
    return [Contender("tracr", about, run)]


BENCHMARK = Benchmark("peers", "others' programs on BB(5), against the plain simulator", measure)
