"""The fast kernels: what they are not fit for, and how runs go on there; bounds, growth, counts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_weights import random_prompt, random_weights
from tests.strategies import configurations, machines
from tm2tf import api, formats
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.machine.simulator import Simulation
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.partial import runner as partial_runner
from tm2tf.runtime.partial.forms import POSITION, Limits, added, affine, fixed, kink, times
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward

FAST = ("evaluated", "folded")
SIDES = """
start: a
rules:
  a: {_: 1 L a, 1: 1 R b}
  b: {1: 1 R b, _: 1 L c}
  c: {1: 1 L c, _: 1 R b}
"""
ONE_WAY = "start: a\nrules: {a: {_: 1 %s a}}"
TWO_TAPES = "tapes: 2\nstart: a\nrules: {a: {_ _: 1 1 L R a}}"


def probes_of(weights):
    names = [readout.feature.name for readout in weights.readouts]
    return tuple(n for n in names if n == "state" or n.endswith((".read", ".head")))


def begun(compiled, kernel, *tapes):
    ids = compiled.start(compiled.machine.initial(tapes)).ids
    return KernelRunner(compiled.weights, ids, probes_of(compiled.weights), kernel)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("construction", "reason"),
    [
        ("queue", "the head 'next.symbol' is of kind 'relative'"),
        ("universal", "is of kind 'relative'"),
        ("addressed", "compares words, not addresses"),
        ("summarised", "a token cuts the context"),
        ("scratchpad", "compares words, not addresses"),
    ],
)
@pytest.mark.parametrize("kernel", FAST)
def test_constructions_that_run_on_sparse(construction, reason, kernel):
    result = api.compile("bb2", construction).run(kernel=kernel)
    assert (result.kernel, result.outcome, result.steps) == ("sparse", "halted", 6)
    assert reason in result.reason


def test_looped_weights_are_no_kernels():
    result = api.compile("bb2", "looped").run(kernel="folded")
    assert (result.kernel, result.runtime, result.steps) == (None, "torch", 6)
    assert "looped" in result.reason
    assert api.compile("bb2", "looped").run().reason is None


def test_a_kernel_that_does_not_exist_or_apply():
    model = api.compile("bb2")
    with pytest.raises(NotFoundError, match="did you mean 'folded'"):
        model.run(kernel="foldet")
    with pytest.raises(InputError, match="leave --kernel out"):
        model.run(kernel="folded", runtime="torch")


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_random_weights_run_as_on_sparse(seed):
    weights = random_weights(seed, (("uniform",), ("latest",)))
    prompt = random_prompt(seed, weights, 5)
    expected = SparseRunner(weights, prompt).advance(30).tokens.tolist()
    for kernel in FAST:
        assert KernelRunner(weights, prompt, (), kernel).advance(30).tokens.tolist() == expected


def doubled(weights):
    """Return weights in which two neurons share the work of each one after the lookups."""
    (*front, last), mlp = weights.layers, weights.layers[-1].feed_forward
    twice = [0, 0]

    def columns(matrix):
        rows = matrix.transposed()
        return stacked(rows, rows).transposed()

    def stacked(one, other):
        counts = np.concatenate([np.diff(one.starts), np.diff(other.starts)])
        return Matrix(
            (one.shape[0] + other.shape[0], one.shape[1]),
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([one.columns, other.columns]),
            np.concatenate([one.values, other.values]),
        )

    half = replace(mlp.W_out, values=mlp.W_out.values / len(twice))
    both = FeedForward(
        neurons=(*mlp.neurons, *(f"{name} again" for name in mlp.neurons)),
        W_gate=columns(mlp.W_gate),
        b_gate=np.tile(mlp.b_gate, 2),
        W_in=columns(mlp.W_in),
        b_in=np.tile(mlp.b_in, 2),
        W_out=stacked(half, half),
        snap=np.tile(mlp.snap, 2),
    )
    return replace(weights, layers=(*front, replace(last, feed_forward=both)))


def test_a_kernel_is_given_up_where_several_neurons_fire(monkeypatch):
    monkeypatch.setattr(partial_runner, "UNSURE", 50)
    model = api.compile("bb5")
    weights = doubled(model.weights)
    prompt = model.compiled.start(model.start()).ids
    expected = SparseRunner(weights, prompt).advance(200).tokens.tolist()
    runners = {kernel: KernelRunner(weights, prompt, (), kernel) for kernel in FAST}
    for runner in runners.values():
        assert [*runner.advance(30).tokens, *runner.advance(170).tokens] == expected
    assert runners["evaluated"].kernel == "sparse"
    assert runners["evaluated"].reason == "at most passes several neurons fire, or none"
    assert runners["folded"].kernel == "folded"


def test_streams_are_read_on_sparse():
    model = api.compile("bb4")
    prompt = model.compiled.start(model.start()).ids
    fast, slow = KernelRunner(model.weights, prompt), SparseRunner(model.weights, prompt)
    assert fast.advance(20).tokens.tolist() == slow.advance(20).tokens.tolist()
    assert np.array_equal(fast.streams(), slow.streams())
    assert fast.kernel == "sparse"
    assert fast.advance(20).tokens.tolist() == slow.advance(20).tokens.tolist()


# --- bounds and growth ------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("bound", "most"), [("key", 7), ("key", 700), ("position", 50)])
@pytest.mark.parametrize("text", [ONE_WAY % "L", ONE_WAY % "R", TWO_TAPES, SIDES])
def test_a_bound_is_left_at_the_same_token(kernel, bound, most, text):
    compiled = compile_machine(formats.parse(text))
    bounds = replace(compiled.weights.bounds, **{bound: most})
    compiled = replace(compiled, weights=replace(compiled.weights, bounds=bounds))
    counts, words = [], []
    for name in ("sparse", kernel):
        runner, count = begun(compiled, name), 0
        told = None
        while told is None:
            try:
                count += len(runner.advance(1).tokens)
            except BoundError as error:
                told = str(error)
        counts.append(count)
        words.append(told)
        with pytest.raises(BoundError) as again:  # and in one call
            begun(compiled, name).advance(10**6)
        assert again.value.bound == bound
    assert counts[0] == counts[1]
    assert words[0] == words[1]


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("text", [ONE_WAY % "L", ONE_WAY % "R", TWO_TAPES, SIDES])
def test_cells_grow_where_the_heads_go(kernel, text):
    compiled = compile_machine(formats.parse(text))
    fast, slow = begun(compiled, kernel), begun(compiled, "sparse")
    for count in (1, 3000, 9000):
        one, other = fast.advance(count), slow.advance(count)
        assert np.array_equal(one.tokens, other.tokens)
        assert np.array_equal(one.probes, other.probes)
    assert fast.settle() == slow.settle()
    assert fast.kernel == kernel
    for t in range(compiled.machine.tapes):
        held = [r.memory(f"tape{t}.read").items() for r in (fast, slow)]
        written = [{a: s for a, s in memory if s != "_"} for memory in held]
        assert written[0] == written[1] != {}


# --- one run in several ways ------------------------------------------------------------------


@given(data=st.data(), kernel=st.sampled_from(FAST))
@settings(max_examples=60, deadline=None)
def test_skipped_recorded_and_listed(data, kernel):
    """Skipping and recording is advancing; a run may change between them at any time."""
    machine = data.draw(machines())
    start = data.draw(configurations(machine))
    compiled = compile_machine(machine)
    ids, weights = compiled.start(start).ids, compiled.weights
    plain = np.array([t.role == "step" and t.outcome is None for t in weights.tokens])
    if machine.outcome_of(start.state) is not None:
        return
    listed = KernelRunner(weights, ids, probes_of(weights), "sparse").advance(60).tokens.tolist()
    runner, done = KernelRunner(weights, ids, probes_of(weights), kernel), 0
    while done < len(listed):
        count = data.draw(st.integers(1, 20))
        part = listed[done : done + count]
        match data.draw(st.sampled_from(["advance", "skip", "record"])):
            case "advance":
                assert runner.advance(len(part)).tokens.tolist() == part
                done += len(part)
            case "skip":
                skipped = runner.skip(len(part), plain)
                assert 0 < skipped.count <= len(part)
                before = [ids[-1], *listed]
                assert skipped.last == listed[done + skipped.count - 1]
                assert skipped.stood == before[done + skipped.count - 1]
                assert skipped.count == len(part) or not plain[skipped.last]
                done += skipped.count
            case "record":
                record, _ = runner.record(len(part), plain)
                assert record.tokens.tolist() == part
                assert record.standing == [ids[-1], *listed][done]
                done += len(part)


@given(data=st.data(), kernel=st.sampled_from(FAST))
@settings(max_examples=40, deadline=None)
def test_cases_are_counted(data, kernel):
    machine = data.draw(machines(tapes=(1, 1)))
    start = data.draw(configurations(machine))
    model = api.Model(compile_machine(machine))
    result = model.run(*start.tapes, max_steps=100, kernel=kernel, counting=True)
    simulation, expected = Simulation(machine, start), {}
    for _ in range(result.steps):
        step = simulation.step()
        case = step.state, step.reads[0]
        expected[case] = expected.get(case, 0) + 1
    if result.steps:
        counted = dict(result.cases)
        for case in [c for c in counted if (c[0], (c[1],)) not in machine.transitions]:
            assert counted.pop(case) == 1  # where there is no transition
        assert counted == expected
    assert model.run(*start.tapes, max_steps=100, kernel=kernel).cases is None


# --- polynomials ------------------------------------------------------------------------------


def test_polynomials_by_hand():
    one, half = fixed(1.0), fixed(0.5)
    p = {(0,): one, (): -one}  # s - 1
    assert times(p, p) == {(0, 0): one, (0,): -2 * one, (): one}
    assert added(p, p, -one) == {}
    assert affine({(0,): 3 * one, (): -2 * one}, 2) == ([3, 0], -2)
    limits = Limits(position=100, sums=(10, 10))
    assert limits.signs({(0,): one, (): 10 * one}) == (True, False)
    assert limits.signs({(0,): one, (): -10 * one}) == (False, True)
    assert limits.signs({(POSITION,): one, (): -one}) == (True, False)
    assert limits.size({(0, 1): half}) == 50 * one
    for bad in ({(0,): half}, {(POSITION,): one}, {(0, 0): one}):
        with pytest.raises(Unfit):
            affine(bad, 2)
    with pytest.raises(Unfit, match="no multiples"):
        fixed(2.0**-65)


def test_two_kinks_make_a_square():
    one = fixed(1.0)
    p = {(0,): 2 * one, (1,): -one}
    minus = {m: -c for m, c in p.items()}
    form = kink(p, p)
    assert not form.is_poly
    form.add(kink(minus, minus), one)
    assert form.is_poly
    assert form.poly == times(p, p)
    other = kink(p, p)
    other.add(kink(minus, p), one)  # |p| p, which is none
    assert not other.is_poly
