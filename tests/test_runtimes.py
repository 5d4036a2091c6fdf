"""The runtimes give the same trace, however a run is cut into calls, batches and chunks."""

import _thread
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import with_weight
from tests.shapes import shapes_checked
from tests.strategies import configurations, machines
from tm2tf import api, formats
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.errors import BoundError
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Configuration, Machine, Tape
from tm2tf.runtime.follow import start_runner
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.model import Transformer, generate
from tm2tf.runtime.run import CHUNK, FIRST_CHUNK, LOOK, resized
from tm2tf.runtime.sparse import FIRST_CELLS, SparseRunner
from tm2tf.verify.table_simulator import TableSimulation
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds

ONE_WAY = "start: a\nrules: {a: {_: 1 %s a}}"
TWO_TAPES = "tapes: 2\nstart: a\nrules: {a: {_ _: 1 1 L R a}}"
SWEEPS = """
start: right
rules:
  right: {1: R, _: 1 L left}
  left: {1: L, _: 1 R right}
"""
SHUTTLE = "start: a\nrules: {a: {0|_: 1 R b, 1: 0 R b}, b: {0|_: 1 L a, 1: 0 L a}}"


def started(compiled, start, runtime, device="cpu"):
    """Return a runner that probes every feature."""
    return start_runner(compiled, compiled.start(start), every_feature(compiled), runtime, device)


def every_feature(compiled):
    """Return the names of all features, which makes the general kernels run."""
    return tuple(readout.feature.name for readout in compiled.weights.readouts)


def final_state(runner, machine, start):
    """Return the state and the trimmed tapes that a runner holds, its addresses from the head."""
    after = runner.settle()
    tapes = []
    for t, begun in enumerate(start.tapes):
        memory = runner.memory(f"tape{t}.read").items()
        held = {a + begun.head: symbol for a, symbol in memory if symbol != machine.blank}
        cells = range(min(held), max(held) + 1) if held else range(0)
        contents = tuple(held.get(cell, machine.blank) for cell in cells)
        tapes.append(Tape(contents, cells.start, after[f"tape{t}.head"] + begun.head))
    return machine.states[after["state"]] if after["state"] >= 0 else "none", tuple(tapes)


def trace(compiled, start, runtime, counts, device="cpu"):
    """Return tokens, probes, and state and tapes at the end, of a run in calls of these sizes."""
    runner = started(compiled, start, runtime, device)
    tokens, probes = [], []
    over = compiled.machine.outcome_of(start.state) is not None
    for count in counts:
        if over:
            break
        emitted = runner.advance(count)
        tokens += emitted.tokens.tolist()
        probes += emitted.probes.tolist()
        over = bool(tokens) and compiled.weights.tokens[tokens[-1]].outcome is not None
    return tokens, probes, final_state(runner, compiled.machine, start)


def simulated(machine: Machine, start: Configuration, steps: int) -> Configuration:
    """Return the machine's configuration after so many steps, or at the end."""
    table = TableSimulation(machine, start)
    table.advance(steps)
    return table.configuration()


@st.composite
def runs(draw):
    """Return a random machine, a start, and the sizes of calls."""
    machine = draw(machines())
    counts = draw(st.lists(st.integers(0, 9), min_size=1, max_size=9))
    return machine, draw(configurations(machine)), counts


# --- one trace ------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(runs())
def test_kernel_and_model_give_the_same_trace(case):
    machine, start, counts = case
    compiled = compile_machine(machine)
    whole = trace(compiled, start, "kernel", [sum(counts)])
    assert trace(compiled, start, "kernel", counts) == whole
    assert trace(compiled, start, "torch", counts) == whole


@pytest.mark.parametrize("number", range(24))
def test_the_same_trace_on_sampled_machines(number):
    machine = sample(11, number)
    compiled, start = compile_machine(machine), machine.initial(machine.examples[0].tapes)
    with shapes_checked(number < 8):
        found = trace(compiled, start, "kernel", [250])
        assert found == trace(compiled, start, "torch", [250])
    assert found[2][1] == simulated(machine, start, 250).tapes


def test_many_calls_of_random_sizes_are_one_call():
    model = api.compile("bb4")
    machine, start = model.machine, model.machine.initial()
    whole = trace(model.compiled, start, "kernel", [200])
    draw = random.Random(1)
    for runtime in ("kernel", "torch"):
        for _ in range(5):
            sizes = [draw.randint(0, 9) for _ in range(60)] + [200]
            assert trace(model.compiled, start, runtime, sizes) == whole
    assert len(whole[0]) == 107
    assert whole[2] == ("Z", simulated(machine, start, 107).tapes)


def doubled(compiled: Compiled) -> Compiled:
    """Return the same with queries doubled: no score changes its rank, but the index is lost."""
    layers = []
    for layer in compiled.weights.layers:
        heads = tuple(
            replace(
                head,
                W_Q=Matrix(head.W_Q.shape, head.W_Q.starts, head.W_Q.columns, 2 * head.W_Q.values),
                b_Q=2 * head.b_Q,
            )
            for head in layer.heads
        )
        layers.append(replace(layer, heads=heads))
    return replace(compiled, weights=replace(compiled.weights, layers=tuple(layers)))


@pytest.mark.parametrize("name", ["bb4", "palindrome-2tape", "binary-addition-3tape"])
def test_without_an_index_the_kernel_scans(name):
    model = api.compile(name)
    start = model.machine.initial(model.machine.examples[0].tapes)
    other = doubled(model.compiled)
    runner = started(other, start, "kernel")
    runner.advance(1)
    assert runner.attention == "scan"
    expected = trace(model.compiled, start, "kernel", [150])
    for runtime, counts in (("kernel", [150]), ("kernel", [1, 2, 60, 90]), ("torch", [150])):
        assert trace(other, start, runtime, counts) == expected


# --- batches --------------------------------------------------------------------------------

WORDS = ["", "a", "ab", "abcba", "abcabc", "aabbcbbaa", "c" * 9]


@pytest.mark.parametrize("most", [0, 1, 30, 400])
@pytest.mark.parametrize("name", ["palindrome", "sort"])
def test_a_batch_is_its_sequences_one_by_one(name, most):
    compiled = api.compile(name).compiled
    starts = [compiled.machine.initial([word]) for word in WORDS]
    starts.append(compiled.machine.initial([Tape(tuple("abcab"), 2, -3)]))
    prompts = [compiled.prompt(start) for start in starts]
    assert len({len(prompt) for prompt in prompts}) > 5
    model = Transformer(compiled.weights)
    together = generate(model, compiled.weights, prompts, most)
    assert together == [generate(model, compiled.weights, [p], most)[0] for p in prompts]
    assert together == [trace(compiled, start, "kernel", [most])[0] for start in starts]


def test_a_batch_of_none_and_one_that_is_over_at_once():
    machine = formats.parse("start: a\nhalt: a\nsymbols: [_, 1]\nrules: {}")
    compiled = compile_machine(machine)
    prompts = [compiled.prompt(machine.initial([word])) for word in ("", "11")]
    model = Transformer(compiled.weights)
    assert generate(model, compiled.weights, prompts, 5) == [[], []]
    assert generate(model, compiled.weights, [], 5) == []


# --- memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps", "lowest", "cells"),
    [
        (ONE_WAY % "L", 5_000, -5_000, 8_192),
        (ONE_WAY % "R", 5_000, 0, 8_192),
        (TWO_TAPES, 5_000, -5_000, 16_384),
        (SWEEPS, 1_000_000, -700, 4_096),
    ],
    ids=["left", "right", "both", "sweeps"],
)
def test_the_index_grows_where_the_heads_go(text, steps, lowest, cells):
    compiled = compile_machine(formats.parse(text))
    start = compiled.machine.initial()
    runner = SparseRunner(compiled.weights, compiled.start(start).ids, every_feature(compiled))
    runner.advance(steps)
    ended = simulated(compiled.machine, start, steps)
    assert final_state(runner, compiled.machine, start) == (ended.state, ended.tapes)
    assert ended.tapes[0].origin < lowest + 10
    assert len(runner.state.known) == len(runner.state.cells) == cells > FIRST_CELLS


def test_memory_does_not_grow_with_steps():
    compiled = compile_machine(formats.parse(SHUTTLE))
    runner = SparseRunner(compiled.weights, compiled.start(compiled.machine.initial()).ids)
    sizes = []
    for steps in (0, 10_000, 990_000):
        assert len(runner.advance(steps).tokens) == steps
        arrays = runner.state._asdict()
        sizes.append({name: array.nbytes for name, array in arrays.items()})
    assert sizes[0] == sizes[1] == sizes[2]


# --- interrupts -----------------------------------------------------------------------------


@pytest.fixture
def default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def assert_is_part_of_a_run(result, machine):
    assert (result.interrupted, result.outcome) == (True, "step-limit")
    ended = simulated(machine, machine.initial(), result.steps)
    assert (result.state, result.tapes) == (ended.state, ended.tapes)
    assert result.forward_passes == result.steps


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_an_interrupt_between_calls_ends_with_the_state_so_far(monkeypatch, calls):
    skip, asked = KernelRunner.skip, []

    def interrupted(self, count, through):
        if len(asked) == calls:
            raise KeyboardInterrupt
        asked.append(count)
        return skip(self, count, through)

    monkeypatch.setattr(KernelRunner, "skip", interrupted)
    model = api.compile("bb5")
    result = model.run()
    assert_is_part_of_a_run(result, model.machine)
    assert result.steps == sum(asked)
    assert asked[:1] == [FIRST_CHUNK][:calls]


@pytest.mark.parametrize("runtime", ["kernel", "torch"])
def test_ctrl_c_anywhere_ends_with_the_state_so_far(default_handler, runtime):
    model = api.compile("antihydra")  # which nobody has seen halt
    timers = []

    def began(_):
        if not timers:
            timers.append(threading.Timer(0.4, _thread.interrupt_main))
            timers[0].start()

    result = model.run(runtime=runtime, on_progress=began)
    assert_is_part_of_a_run(result, model.machine)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_is_not_swallowed(default_handler, monkeypatch):
    def impatient(*_, **__):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(KernelRunner, "skip", impatient)
    with pytest.raises(KeyboardInterrupt):
        api.compile("bb5").run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_calls_are_sized_by_the_clock():
    assert resized(1024, 0.01) == 2048
    assert resized(CHUNK, 0.01) == CHUNK
    assert resized(1024, LOOK) == 1024
    assert resized(1024, 5.0) == 512
    assert resized(1, 5.0) == 1


# --- CUDA -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("name", ["bb4", "binary-addition", "palindrome-2tape", "gcd"])
def test_cuda_gives_the_same_trace(name):
    model = api.compile(name)
    for example in model.machine.examples[:2]:
        start = model.machine.initial(example.tapes)
        expected = trace(model.compiled, start, "torch", [150])
        assert trace(model.compiled, start, "torch", [150], "cuda") == expected
    batch = [model.compiled.prompt(model.machine.initial(e.tapes)) for e in model.machine.examples]
    on_cuda, on_cpu = (Transformer(model.weights, device) for device in ("cuda", "cpu"))
    expected = generate(on_cpu, model.weights, batch, 150)
    assert generate(on_cuda, model.weights, batch, 150) == expected


@pytest.mark.slow
def test_without_a_folder_to_cache_in_the_kernel_is_compiled_anew():
    script = (
        "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []\n"
        "import tm2tf; print(tm2tf.compile('bb4').run().steps)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("107\n", "")


@pytest.mark.parametrize("runtime", ["kernel", "torch"])
@pytest.mark.parametrize("fits", [True, False])
def test_the_last_position_is_used_and_the_one_after_it_refused(runtime, fits):
    model = api.compile("bb4")
    # bb4's prompt has 2 tokens; its 107th is emitted at position 108, and read back at 109
    weights = replace(model.weights, bounds=Bounds(position=109 - (not fits), key=2**26))
    bounded = api.Model(replace(model.compiled, weights=weights))
    if fits:
        assert bounded.run(runtime=runtime).steps == 107
        assert bounded.verify(runtime=runtime).divergence is None
    else:
        for run in (bounded.run, bounded.verify):
            with pytest.raises(BoundError, match="context is longer than 108"):
                run(runtime=runtime)


def test_a_long_prompt_is_fed_to_torch_in_blocks():
    word = "01" * 3000
    check = api.compile("matching").verify(f"{word}#{word}", runtime="torch", max_steps=3)
    assert (check.steps, check.divergence) == (3, None)


@pytest.mark.parametrize("fits", [True, False])
def test_a_scan_begun_in_mid_run_keeps_the_bound_on_positions(fits):
    model = api.compile("bb4")
    # b_K[1] moves all scores alike: nothing changes, but keys lack the form that is indexed
    weights = with_weight(model.weights, "blocks.2.attn.0.b_K", 1, -1.0)
    weights = replace(weights, bounds=Bounds(position=109 - (not fits), key=2**26))
    bounded = api.Model(replace(model.compiled, weights=weights))
    if fits:
        result = bounded.run()
        assert (result.steps, result.attention) == (107, "scan")
    else:
        with pytest.raises(BoundError, match="context is longer than 108"):
            bounded.run()
