"""Many streams on a GPU: what the Triton kernel computes, interpreted on the CPU, and the batch.

Runs are compared with the plain torch model, token by token, and with the simulator.
"""

import inspect
import sys
from dataclasses import replace

import pytest
import torch

from tests.test_kernels import plainly
from tm2tf import api
from tm2tf.bench import gpu
from tm2tf.bench.benchmark import Settings
from tm2tf.bench.disguise import disguised
from tm2tf.bench.machines import shuttle, shuttle_tape, walker
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError, ExtraError, InputError, NotFoundError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape
from tm2tf.runtime.gpu import emitted, launch, run_many
from tm2tf.runtime.gpu.batched import Decoder
from tm2tf.runtime.gpu.jobs import Jobs
from tm2tf.runtime.gpu.streams import StreamRunner
from tm2tf.runtime.gpu.tables import Tables, rows_of
from tm2tf.runtime.model import Transformer, generate
from tm2tf.runtime.partial.tables import parts

TRITON = ("folded", "evaluated")
STEPS = 16
PARTS = [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 8))]
"""Random machines, two at a time: the interpreter takes a millisecond a pass and more."""

try:
    import triton
except ImportError:
    triton = None
needs_triton = pytest.mark.skipif(triton is None, reason="triton is not installed (extra gpu)")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def starts_of(machine):
    """Return a few starts of a machine: its examples', a blank one and one with a moved head."""
    example = machine.initial(machine.examples[0].tapes)
    moved = tuple(replace(tape, head=tape.head - 2) for tape in example.tapes)
    return [example, machine.initial(), replace(example, tapes=moved)]


def simulated(machine, start, most):
    simulation = Simulation(machine, start)
    while simulation.outcome is None and simulation.steps < most:
        simulation.step()
    return simulation


def agree(machine, starts, results, most):
    """Check results against the reference simulator."""
    assert len(results) == len(starts)
    for start, result in zip(starts, results, strict=True):
        simulation = simulated(machine, start, most)
        end = simulation.configuration()
        assert result.outcome == (simulation.outcome or "step-limit")
        assert (result.steps, result.state) == (simulation.steps, end.state)
        assert result.nonblank == sum(tape.nonblank(machine.blank) for tape in end.tapes)
        assert [trimmed(t, machine.blank) for t in result.tapes] == [
            trimmed(t, machine.blank) for t in end.tapes
        ]


def trimmed(tape, blank):
    """Return the cells that are not blank, by address, and the head."""
    cells = enumerate(tape.contents, tape.origin)
    return {address: symbol for address, symbol in cells if symbol != blank}, tape.head


# --- the kernel ------------------------------------------------------------------------------


@needs_triton
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernel", TRITON)
@pytest.mark.parametrize("part", PARTS)
def test_tokens_are_those_of_the_torch_model(kernel, part):
    for number in range(2 * part, 2 * part + 2):
        machine = sample(11, number)
        compiled = compile_machine(machine)
        if number % 2:
            compiled = replace(compiled, weights=disguised(compiled.weights, number))
        starts = starts_of(machine)
        for start, tokens in zip(
            starts, emitted(compiled, starts, STEPS, kernel=kernel, device="cpu"), strict=True
        ):
            prompt = compiled.start(start).ids
            assert tokens == plainly(compiled.weights, prompt, tokens) if tokens else True
            simulation = simulated(machine, start, STEPS)
            assert len(tokens) >= simulation.steps


@needs_triton
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernel", TRITON)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.slow
def test_results_are_those_of_the_simulator(kernel, part):
    for number in range(2 * part, 2 * part + 2):
        machine = sample(12, number)
        starts = starts_of(machine)
        results = run_many(
            compile_machine(machine), starts, kernel=kernel, device="cpu", max_steps=STEPS
        )
        agree(machine, starts, results, STEPS)
        assert {result.kernel for result in results} == {kernel}
        assert {result.device for result in results} == {"cpu"}


@needs_triton
@pytest.mark.parametrize("kernel", TRITON)
def test_lanes_take_new_jobs_as_streams_halt(kernel):
    machine = api.load("binary-increment")
    starts = [
        replace(machine.initial(), tapes=(Tape(tuple(f"{number:b}")),)) for number in range(50)
    ]
    results = run_many(compile_machine(machine), starts, kernel=kernel, device="cpu", lanes=16)
    agree(machine, starts, results, 1000)
    assert len({result.steps for result in results}) > 5


@needs_triton
def test_launches_may_end_anywhere():
    """A job goes on in the next launch as if nothing had happened."""
    machine = api.load("bb4")
    compiled = compile_machine(machine)
    prompt = compiled.start(machine.initial()).ids
    tables = Tables(rows_of("folded", parts(compiled.weights, ())), "cpu")
    standing = StreamRunner(compiled.weights, prompt, (), tables).stream.stand()
    limits = torch.arange(20, 37).numpy()
    tokens = torch.full((len(limits), 40), -1, dtype=torch.int32)
    jobs = Jobs(
        tables, [standing], 0 * limits, limits, lanes=16, tokens=tokens, tellers=limits - 20
    )
    launches = 1
    while jobs.run(chunks=1):
        launches += 1
    assert launches > 4
    assert jobs.counts.tolist() == limits.tolist()
    expected = plainly(compiled.weights, prompt, tokens[-1][tokens[-1] >= 0].tolist())
    for limit, row in zip(limits.tolist(), tokens.tolist(), strict=True):
        assert row == expected[:limit] + [-1] * (40 - limit)


@needs_triton
@pytest.mark.parametrize("machine", [walker(), shuttle()])
@pytest.mark.slow
def test_tapes_grow(machine):
    """Beyond the 256 cells that a stream has at first, or more from the beginning."""
    tapes = (shuttle_tape(300),) if machine.name == "shuttle" else ()
    starts = [machine.initial(tapes)]
    compiled = compile_machine(machine)
    results = run_many(compiled, starts, device="cpu", max_steps=320)
    agree(machine, starts, results, 320)
    assert results[0].kernel == "folded"


@needs_triton
@pytest.mark.parametrize("kernel", TRITON)
def test_ends(kernel):
    machine = walker()  # has no rule for what it has marked
    compiled = compile_machine(machine)
    marked = Tape(("_", "_", "1"))
    starts = [machine.initial((Tape(("1",)),)), machine.initial((marked,))]
    results = run_many(compiled, starts, kernel=kernel, device="cpu")
    agree(machine, starts, results, 1000)
    assert [(it.outcome, it.steps) for it in results] == [("halted", 0), ("halted", 2)]
    none = run_many(compiled, starts, kernel=kernel, device="cpu", max_steps=0)
    assert [(it.outcome, it.steps) for it in none] == [("step-limit", 0)] * 2
    assert run_many(compiled, [], kernel=kernel, device="cpu") == []


@needs_triton
@pytest.mark.parametrize("kernel", [*TRITON, "torch"])
def test_bounds_are_watched(kernel):
    machine = api.load("bb4")
    compiled = compile_machine(machine)
    weights = replace(compiled.weights, bounds=replace(compiled.weights.bounds, position=30))
    short = replace(compiled, weights=weights)
    with pytest.raises(BoundError, match="the context is longer than 30"):
        run_many(short, [machine.initial()], kernel=kernel, device="cpu")
    narrow = replace(weights, bounds=replace(compiled.weights.bounds, key=5))
    with pytest.raises(BoundError, match="a head went further than 5"):
        run_many(
            replace(compiled, weights=narrow), [machine.initial()], kernel=kernel, device="cpu"
        )


@needs_triton
@pytest.mark.parametrize(("evaluated", "tapes"), [(False, 1), (True, 1), (False, 2), (True, 3)])
@pytest.mark.slow
def test_it_compiles_for_an_h100(evaluated, tapes, tmp_path):
    """No GPU is needed for that: Triton's wheels hold the assembler."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tm2tf.runtime.gpu.kernels import passes

    names = list(inspect.signature(passes).parameters)
    kinds = dict.fromkeys(names, "*i32") | dict.fromkeys(launch.CHANGING, "i32")
    kinds |= dict.fromkeys(("pre", "rest", "inner", "top", "slope", "flat", "floor"), "*fp64")
    kinds |= {"rise": "*fp64", "cells": "*u8", "plane": "i64", "counts": "*i64", "limits": "*i64"}
    constants = {
        "BLOCK": 128, "CHUNK": 128, "TAPES": tapes, "RECORD": 0, "REACH": 1, "MOVE": 2, "KEEP": 2,
        "STRIDE0": 1, "STRIDE1": 1 - evaluated, "STRIDE2": 4, "STRIDE3": 16,
        "EVALUATED": evaluated, "LEFT": int(evaluated), "MOST": 2 * evaluated,
    }  # fmt: skip
    signature = kinds | dict.fromkeys(constants, "constexpr")
    source = ASTSource(
        launch.kernel(interpreted=False),
        signature,
        {(names.index(name),): value for name, value in constants.items()},
    )
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path)
        options = {"num_warps": 4, "enable_fp_fusion": False}
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert len(made.asm["cubin"]) > 1000
    assert ("f64" in made.asm["ptx"]) == evaluated
    assert ".local" not in made.asm["ptx"]  # all that a lane holds is in registers


# --- the torch model as a batch ----------------------------------------------------------------


@pytest.mark.parametrize("construction", ["trace", "addressed"])
def test_a_batch_emits_what_generate_does(construction):
    for number in range(4):
        machine = sample(13, number)
        if construction != "trace" and machine.tapes > 1:
            continue
        compiled = compile_machine(machine, construction)
        prompts = [compiled.start(start).ids for start in starts_of(machine)]
        decoder = Decoder(compiled.weights, prompts, max_tokens=90)
        decoder.run()
        model = Transformer(compiled.weights)
        assert decoder.tokens() == generate(model, compiled.weights, prompts, 90)


def test_a_batch_of_the_torch_model():
    for number in range(6):
        machine = sample(14, number)
        starts = starts_of(machine)
        results = run_many(
            compile_machine(machine), starts, kernel="torch", device="cpu", max_steps=90
        )
        agree(machine, starts, results, 90)
        assert {(it.runtime, it.kernel, it.reason) for it in results} == {("torch", None, None)}


@pytest.mark.parametrize("construction", ["looped", "summarised", "scratchpad"])
def test_what_no_batch_can_hold_runs_alone(construction):
    machine = api.load("binary-increment")
    starts = [machine.initial((Tape(tuple("1011")),)), machine.initial()]
    compiled = compile_machine(machine, construction)
    results = run_many(compiled, starts, device="cpu", max_steps=30)
    agree(machine, starts, results, 30)
    assert all(result.runtime == "torch" and result.reason for result in results)


# --- what is missing, or wrong -------------------------------------------------------------------


def test_without_triton_the_torch_model_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    launch.kernel.cache_clear()
    machine = api.load("bb4")
    compiled = compile_machine(machine)
    results = run_many(compiled, [machine.initial()], device="cpu")
    agree(machine, [machine.initial()], results, 1000)
    assert results[0].runtime == "torch"
    assert "tm2tf[gpu]" in results[0].reason
    with pytest.raises(ExtraError, match=r"'triton', which is not installed.*tm2tf\[gpu\]"):
        emitted(compiled, [machine.initial()], 5, device="cpu")
    launch.kernel.cache_clear()


def test_wrong_words():
    machine = api.load("bb4")
    compiled, starts = compile_machine(machine), [machine.initial()]
    with pytest.raises(NotFoundError, match=r"unknown kernel 'fold'.*did you mean 'folded'"):
        run_many(compiled, starts, kernel="fold", device="cpu")
    with pytest.raises(NotFoundError, match="unknown device 'tpu'"):
        run_many(compiled, starts, device="tpu")
    with pytest.raises(InputError, match="lanes must be at least 1, got 0"):
        run_many(compiled, starts, device="cpu", lanes=0)
    with pytest.raises(InputError, match="steps must be at least 0, got -1"):
        run_many(compiled, starts, device="cpu", max_steps=-1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu():
    machine = api.load("bb4")
    with pytest.raises(InputError, match="torch finds no CUDA device"):
        run_many(compile_machine(machine), [machine.initial()])


# --- the benchmark -----------------------------------------------------------------------------


@needs_triton
@pytest.mark.parametrize("kernel", TRITON)
def test_the_benchmark_checks_where_streams_stand(kernel, monkeypatch):
    model = api.compile("bb5")
    run = gpu.resident(model, (), 1000, kernel, count=5, steps=30, moments=3, device="cpu")
    made = run()
    assert (made.amount, made.wrong) == (150, "")
    monkeypatch.setattr(gpu, "CHECKED", 1)
    real = Jobs.leave

    def leave(self, some):
        return [replace(it, places=it.places + 1) for it in real(self, some)]

    monkeypatch.setattr(Jobs, "leave", leave)
    assert "stands where the CPU's does not" in run().wrong


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_benchmark_without_a_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "CPU_STEPS", 2_000)
    outcome = gpu.measure(Settings(quick=True, repeat=1))
    assert [race.entries[0].name for race in outcome.races] == ["one stream"] * 2
    for race in outcome.races:
        assert {it.name for it in race.left} == {"folded", "evaluated", "torch, captured graph"}
        assert all("tm2tf bench gpu" in it.reason for it in race.left)
    assert not outcome.wrong


# --- on a GPU ----------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_gpu
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernel", [*TRITON, "torch"])
def test_on_a_gpu(kernel):
    if kernel != "torch" and triton is None:
        pytest.skip("triton is not installed (extra gpu)")
    for number in range(30):
        machine = sample(15, number)
        compiled, starts = compile_machine(machine), starts_of(machine)
        agree(machine, starts, run_many(compiled, starts, kernel=kernel, max_steps=200), 200)
        if kernel == "torch":
            continue
        for start, tokens in zip(starts, emitted(compiled, starts, 60, kernel=kernel), strict=True):
            prompt = compiled.start(start).ids
            assert tokens == plainly(compiled.weights, prompt, tokens) if tokens else True


@pytest.mark.gpu
@needs_gpu
@needs_triton
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernel", TRITON)
def test_bb5_on_a_gpu(kernel):
    machine = api.load("bb5")
    (result,) = run_many(compile_machine(machine), [machine.initial()], kernel=kernel)
    assert (result.outcome, result.steps, result.nonblank) == ("halted", 47_176_870, 4098)
