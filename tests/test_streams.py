"""Many runs at once end as each of them alone does, and as the simulator has it."""

import os
import signal
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import configurations, machines
from tm2tf import api
from tm2tf.bench.disguise import disguised
from tm2tf.bench.machines import spreader
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError, InputError
from tm2tf.formats import bbchallenge
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape
from tm2tf.runtime import streams
from tm2tf.runtime.partial import lanes as lanes_module
from tm2tf.runtime.partial.lanes import Lanes, Table
from tm2tf.runtime.partial.streams import LANES
from tm2tf.runtime.run import run
from tm2tf.runtime.streams import run_many

FOREVER = bbchallenge.parse("1RB1RB_1RA1RA")
"""It writes and moves to the right, for ever."""


BOUNCING = bbchallenge.parse("1RB1RB_1LA1LA")
"""It writes and moves between two cells, for ever."""


def simulated(compiled, start, limit):
    """Return outcome, state, steps and tapes by the simulator, of a run up to a limit."""
    simulation = Simulation(compiled.machine, start)
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    end = simulation.configuration()
    return simulation.outcome or "step-limit", end.state, simulation.steps, end.tapes


def facts(result):
    assert not isinstance(result, Exception), result
    return result.outcome, result.state, result.steps, result.tapes


def alone(jobs, kernel, limit):
    return [replace(run(*job, kernel=kernel, max_steps=limit), seconds=0.0) for job in jobs]


def together(jobs, kernel="folded", limit=None, threads=2):
    results = run_many(jobs, kernel=kernel, max_steps=limit, threads=threads)
    for result in results:
        assert not isinstance(result, Exception), result
    return [replace(result, seconds=0.0) for result in results]


def sampled(seed, count):
    for number in range(count):
        machine = sample(seed, number)
        yield compile_machine(machine), machine.initial(machine.examples[0].tapes)


@pytest.fixture
def passes(monkeypatch):
    """Return a list of how many passes the lanes made in each go; sweeps are left to them, too."""
    made, go = [], Lanes.go
    monkeypatch.setattr(streams, "SWEPT", 2)

    def counted(self, bursts):
        before = int(self.made.sum())
        go(self, bursts)
        made.append(int(self.made.sum()) - before)

    monkeypatch.setattr(Lanes, "go", counted)
    return made


@pytest.mark.parametrize(
    ("kernel", "count"),
    [
        ("folded", 60),
        ("evaluated", 20),
        pytest.param("folded", 500, marks=pytest.mark.slow),
        pytest.param("evaluated", 200, marks=pytest.mark.slow),
    ],
)
def test_random_machines(kernel, count, passes):
    """Machines of 1 to 3 tapes that halt, get stuck, loop or run on to the limit."""
    jobs = list(sampled(count, count))
    found = together(jobs, kernel, 3000)
    assert found == alone(jobs, kernel, 3000)
    assert [facts(result) for result in found] == [simulated(*job, 3000) for job in jobs]
    assert len({result.outcome for result in found}) == 4
    assert (sum(passes) > 0) == (kernel == "folded")


@settings(max_examples=15, deadline=None)
@given(data=st.data(), limit=st.integers(0, 5000), threads=st.integers(1, 3))
def test_drawn_machines(data, limit, threads):
    """Odd machines and starts, the same machine several times, and any limit."""
    jobs = []
    for _ in range(data.draw(st.integers(1, 4))):
        machine = data.draw(machines(tapes=(1, 2)))
        compiled = compile_machine(machine)
        starts = data.draw(st.lists(configurations(machine), min_size=1, max_size=4))
        jobs += [(compiled, start) for start in starts]
    jobs = data.draw(st.permutations(jobs))
    found = run_many(jobs, max_steps=limit, threads=threads)
    assert [facts(result) for result in found] == [simulated(*job, limit) for job in jobs]


def test_most_passes_are_made_in_lanes(passes):
    """Long runs of different lengths, of machines and inputs mixed; lanes are filled again."""
    four, five = api.compile("bb4"), api.compile("bb5")
    left = bbchallenge.parse("1LB1LB_1LA1LA")
    jobs = [(five.compiled, five.start())] * 5 + [(four.compiled, four.start())] * 3
    jobs += [(compile_machine(FOREVER), FOREVER.initial([Tape(("1",) * n)])) for n in range(9)]
    jobs += [(compile_machine(left), left.initial())] * 4
    found = together(jobs, limit=40_000, threads=1)
    assert found == alone(jobs, "folded", 40_000)
    total = sum(result.steps for result in found)
    assert total == 18 * 40_000 + 3 * 107
    assert sum(passes) > 0.9 * total


def test_runs_that_sweep_do_so_alone(monkeypatch):
    """To and fro, a cell further each time: hardly a pass is made in lanes; counters stay there."""
    made, take = [], Lanes.take

    def taken(self, lane):
        returned = take(self, lane)
        made.append((returned.passes, returned.token))
        return returned

    monkeypatch.setattr(Lanes, "take", taken)
    sweeping, counting = compile_machine(spreader()), api.compile("counter")
    jobs = [(sweeping, spreader().initial())] * 3
    assert together(jobs, limit=1_000_000, threads=1) == alone(jobs, "folded", 1_000_000)
    assert sum(passes for passes, _ in made) < 100_000
    made.clear()
    jobs = [(counting.compiled, counting.start())] * 3
    assert together(jobs, limit=1_000_000, threads=1) == alone(jobs, "folded", 1_000_000)
    assert sum(passes for passes, _ in made) > 2_900_000
    made.clear()
    jobs = [(sweeping, spreader().initial()), (counting.compiled, counting.start())] * 2
    assert together(jobs, limit=3_000_000, threads=1) == alone(jobs, "folded", 3_000_000)


def test_a_stay_in_a_lane_ends(monkeypatch):
    """A run comes back now and then, to see whether it would be faster alone, and goes on."""
    monkeypatch.setattr(streams, "STAY", 5000)
    counting = api.compile("counter")
    jobs = [(counting.compiled, counting.start())] * 2
    puts, put = [], Lanes.put

    def counted(self, lane, lent, most):
        puts.append(most)
        return put(self, lane, lent, most)

    monkeypatch.setattr(Lanes, "put", counted)
    assert together(jobs, limit=200_000, threads=1) == alone(jobs, "folded", 200_000)
    assert len(puts) >= 2 * 200_000 // (5000 + streams.LOOKED + 1) - 2
    assert max(puts) == 5000


def test_bb5_to_its_end():
    """47,176,870 steps in each of three lanes, and 4,098 nonblank cells."""
    five = api.compile("bb5")
    for result in run_many([(five.compiled, five.start())] * 3, threads=1):
        assert (result.outcome, result.steps, result.nonblank) == ("halted", 47_176_870, 4098)
        assert result.forward_passes == result.steps
        assert result.kernel == "folded"
        assert result.reason is None
        assert not result.interrupted


def test_other_bases(passes):
    """The same weights with directions permuted, rescaled and flipped."""
    jobs = list(sampled(5, 15))
    others = [(replace(c, weights=disguised(c.weights, i)), s) for i, (c, s) in enumerate(jobs)]
    found = together(others, limit=4000)
    assert [facts(r) for r in found] == [facts(r) for r in together(jobs, limit=4000)]
    assert sum(passes) > 0


def test_every_construction():
    """What lanes do not take runs alone beside the others, and the results say so."""
    machine = api.load("binary-increment")
    names = ("trace", "universal", "addressed", "summarised", "queue", "scratchpad", "looped")
    models = [api.compile(machine, name) for name in names]
    jobs = [(model.compiled, model.start(word)) for model in models for word in ("1011", "", "11")]
    found = together(jobs)
    assert found == alone(jobs, "folded", None)
    assert {result.construction for result in found} == set(names)


def test_a_table_begun_anew(monkeypatch, passes):
    """However often what is remembered is forgotten, the runs end the same."""
    jobs = [job for job in sampled(11, 40) if job[0].machine.tapes == 1] * 2
    expected = together(jobs, limit=9000, threads=1)
    before = len(passes)
    monkeypatch.setattr(lanes_module, "FULL", 0)
    assert together(jobs, limit=9000, threads=1) == expected
    assert len(passes) > before > 0


def test_a_full_table(monkeypatch):
    """What does not fit is done alone, however little fits."""
    monkeypatch.setattr(lanes_module, "ENTRIES", 12)
    table = Table()
    four = api.compile("bb4")
    jobs = [(four.compiled, four.start())] * 4 + [(compile_machine(FOREVER), FOREVER.initial())] * 5
    assert table.used == 1
    assert together(jobs, limit=20_000, threads=1) == alone(jobs, "folded", 20_000)


def test_errors_stand_in_their_place():
    machine = api.load("binary-increment")
    small = api.compile(FOREVER, "addressed", tape=64)
    right = api.compile(machine)
    jobs = [(small.compiled, small.start()), (right.compiled, right.start("1011"))] * 5
    found = run_many(jobs, threads=2, max_steps=10_000)
    for error, result in zip(found[::2], found[1::2], strict=True):
        assert isinstance(error, BoundError)
        assert result == replace(run(*jobs[1]), seconds=result.seconds, kernel="folded")
    with pytest.raises(BoundError) as raised:
        run(*jobs[0], kernel="folded", max_steps=10_000)
    assert str(found[0]) == str(raised.value)


def test_jobs_are_asked_for_as_runs_end(monkeypatch):
    """An iterator is no further ahead than there are lanes, and may be empty."""
    model = api.compile(FOREVER)
    ended, told, result_of = [], [], streams.result_of

    def noted(follower, *facts, **others):
        ended.append(len(follower.begin.ids))
        return result_of(follower, *facts, **others)

    def jobs():
        for number in range(40):
            assert len(ended) > number - LANES
            yield model.compiled, model.start("1" * number)

    monkeypatch.setattr(streams, "result_of", noted)
    found = run_many(jobs(), max_steps=20_000, threads=1, on_progress=told.append)
    assert [result.nonblank for result in found] == [20_000] * 40
    assert len(set(ended)) == len(ended) == 40  # each with another prompt
    assert run_many(iter(())) == run_many([]) == []
    assert all(before <= after for before, after in pairwise(told))
    assert told[-1] == 40 * 20_000


def test_ctrl_c_ends_within_a_second():
    """Runs in flight end where they are; none is begun any more."""
    model = api.compile(BOUNCING)
    jobs = [(model.compiled, model.start())] * 30
    run_many(jobs[:9], max_steps=5000, threads=2)  # compiled, so that only running takes time
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.4, interrupt)
    timer.start()
    found = run_many(jobs, max_steps=10**10, threads=2)
    assert time.perf_counter() - sent[0] < 3  # a second, where nothing else runs
    begun = [result for result in found if result is not None]
    assert found == [*begun, *[None] * (len(jobs) - len(begun))]
    stopped = [result for result in begun if result.interrupted]
    assert 0 < len(stopped) <= 16
    for result in stopped:
        assert result.outcome == "step-limit"
        assert result.tapes[0].contents == ("1", "1")
        assert 10**6 < result.steps < 10**10
        assert (result.state, result.tapes[0].head) == (("A", 0), ("B", 1))[result.steps % 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kernel": "quick"}, "unknown kernel 'quick'"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"max_steps": -1}, "max_steps must be at least 0"),
    ],
)
def test_refusals(given, words):
    with pytest.raises(InputError, match=words):
        run_many([], **given)
