"""Sweeps where steps are compared many at once; and the pool that kernels come from."""

import gc
import random
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from tests.test_sweeps import model_of, simple
from tm2tf.compiler import compile_machine
from tm2tf.machine.spec import Tape
from tm2tf.runtime.follow import follow
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.partial import kernels
from tm2tf.runtime.partial.kernels import Pool
from tm2tf.runtime.runner import Record
from tm2tf.verify.lockstep import lockstep
from tm2tf.verify.reader import Codes
from tm2tf.verify.table_simulator import TableSimulation

# --- verification -----------------------------------------------------------------------------


VERIFIED = {
    "one tape": ("writing", [Tape(("1",) * 300)]),
    "leftwards": ("leftwards", [Tape(("1",) * 300, -299, 0)]),
    "two tapes": ("apart", [Tape(("1",) * 280), Tape(("2",) * 280, 0, 279)]),
    "three": ("three", [Tape(("1",) * 280), Tape(("2",) * 280, 0, 279), Tape(("1",))]),
}


@cache
def recorded(name):
    """Return codes, the machine's first 260 steps and what the weights spoke of them."""
    which, tapes = VERIFIED[name]
    compiled = model_of(which).compiled
    start = compiled.machine.initial(tapes)
    table = TableSimulation(compiled.machine, start)
    steps = table.advance(260)
    follower = follow(compiled, start, kernel="folded")
    return Codes(compiled.machine, table.table), steps, follower.speak(260)


def agrees(steps, record, key, i):
    """Return whether step i is, in all of its parts, what was recorded."""
    table, row, token = steps.table, int(steps.rows[i]), int(record.tokens[i])
    stood = int(record.tokens[i - 1]) if i else record.standing
    same = key.states[stood] == table.states[row]
    same &= key.next_states[token] == table.next_states[row]
    for t in range(table.reads.shape[1]):
        head = record.addresses[i, key.headed_by[t]] + key.heads_at[stood, t]
        same &= steps.heads[i, t] == head
        same &= key.reads[t][record.found[i, key.read_by[t]]] == table.reads[row, t]
        same &= key.writes[token, t] == table.writes[row, t]
        same &= key.moves[token, t] == table.moves[row, t]
    return bool(same)


def changed(array, place, by, most=2**40):
    """Return an array with some numbers changed: by so much, modulo `most`."""
    other = array.copy()
    other[place] = (other[place].astype(np.int64) + by) % most
    return other


def faults(steps, spoken, i, draw):
    """Yield steps and records in which one entry is another: `i` is a step, or several."""
    record, key, t = spoken.record, spoken.key, draw.randrange(steps.heads.shape[1])
    by, read, headed = draw.choice([-65536, -2, -1, 1, 2, 300]), key.read_by[t], key.headed_by[t]
    rows, tokens, reads = len(steps.table.states), len(key.next_states), len(key.reads[t])
    yield replace(steps, rows=changed(steps.rows, i, draw.randrange(1, rows), rows)), record
    yield replace(steps, heads=changed(steps.heads, (i, t), by)), record
    entries = {
        "tokens": changed(record.tokens, i, draw.randrange(1, tokens), tokens),
        "found": changed(record.found, (i, read), 1, reads),
        "addresses": changed(record.addresses, (i, headed), by),
    }
    for name, entry in entries.items():
        yield steps, replace(record, **{name: entry})


@pytest.mark.parametrize("name", VERIFIED)
def test_the_first_entry_that_differs_is_found(name):
    """Whatever is changed, in whichever step of a sweep: just the first step that is not so."""
    codes, steps, spoken = recorded(name)
    record, key, draw = spoken.record, spoken.key, random.Random(name)
    assert len(record.tokens) == len(steps.rows) == 260
    assert all(agrees(steps, record, key, i) for i in range(260))
    assert codes.agreed(steps, spoken) == 260
    for i in range(260):
        several = faults(steps, spoken, slice(i, None), draw)
        for others, told in (*faults(steps, spoken, i, draw), *several):
            wanted = next((j for j in range(i, 260) if not agrees(others, told, key, j)), 260)
            assert i <= wanted <= i + 1
            assert codes.agreed(others, replace(spoken, record=told)) == wanted


@pytest.mark.parametrize("name", VERIFIED)
def test_what_is_another_number_and_yet_the_same_agrees(name):
    """Head and address moved alike; fewer steps than tokens, or the other way; two faults."""
    codes, steps, spoken = recorded(name)
    record, key = spoken.record, spoken.key
    for i in (0, 1, 2, 63, 64, 65, 100, 127, 128, 259):
        heads, addresses = steps.heads.copy(), record.addresses.copy()
        heads[i] += 7
        for t in range(heads.shape[1]):
            addresses[i, key.headed_by[t]] += 7
        moved = replace(spoken, record=replace(record, addresses=addresses))
        assert codes.agreed(replace(steps, heads=heads), moved) == 260
        assert codes.agreed(replace(steps, heads=heads), spoken) == i
        few = replace(steps, rows=steps.rows[:i], heads=steps.heads[:i])
        assert codes.agreed(few, spoken) == i
        columns = (column[:i] for column in (record.tokens, record.addresses, record.found))
        told = Record(record.standing, *columns, False)
        assert codes.agreed(steps, replace(spoken, record=told)) == i
        heads[max(0, i - 1)] -= 8  # a fault right before another
        assert codes.agreed(replace(steps, heads=heads), spoken) == max(0, i - 1)


@pytest.mark.parametrize("name", VERIFIED)
def test_what_tokens_and_values_stand_for_is_compared_where_they_first_stand(name):
    """A token that says another thing where it stands than where it is emitted, and so on."""
    codes, steps, spoken = recorded(name)
    record, key, draw = spoken.record, spoken.key, random.Random(name)
    keys = [replace(key, **{field: changed(getattr(key, field), token, 1)})
            for field in ("states", "heads_at", "next_states", "writes", "moves")
            for token in {record.standing, *record.tokens.tolist()}]  # fmt: skip
    t = draw.randrange(len(key.reads))
    for value in set(record.found[:, key.read_by[t]].tolist()):
        reads = list(key.reads)
        reads[t] = changed(reads[t], value, 1)
        keys.append(replace(key, reads=tuple(reads)))
    firsts = set()
    for other in keys:
        wanted = next((j for j in range(260) if not agrees(steps, record, other, j)), 260)
        assert codes.agreed(steps, replace(spoken, key=other)) == wanted
        firsts.add(wanted)
    assert {0, 1} <= firsts


@pytest.mark.parametrize("place", [0, 1, 2, 31, 63, 64, 65, 100, 127, 128, 129, 199])
def test_lockstep_finds_weights_that_sweep_over_a_difference(place):
    """Weights to which a 2 of the input is a 1 do not even stop where the machine reads it."""
    base = simple("a 1 2 R a", "a 2 2 R a", "a _ _ L end")
    compiled = compile_machine(base)
    weights = compiled.weights
    two, W_E = weights.ids()["2"], weights.W_E
    was, now = (weights.directions.index(f"tape0.write={symbol}") for symbol in "21")
    columns = W_E.columns.copy()
    columns[(W_E.rows() == two) & (columns == was)] = now
    weights = replace(weights, W_E=replace(W_E, columns=columns))
    tape = Tape(("1",) * place + ("2",) + ("1",) * (199 - place))
    start = base.initial([tape])
    runner = KernelRunner(weights, compiled.start(start).ids, (), "folded")
    runner.advance(201)
    assert runner._runner.swept == 199
    wrong = replace(compiled, weights=weights)
    found = lockstep(wrong, start, kernel="folded", reference=False).divergence
    assert (found.step, found.feature) == (place + 1, "tape0.read")
    assert (found.expected, found.got) == ("2", "1")
    check = lockstep(compiled, start, kernel="folded", reference=False)
    assert (check.divergence, check.steps) == (None, 201)


# --- the pool ---------------------------------------------------------------------------------


class Fake:
    """As much of a kernel as the pool looks at; `looked` is called whenever it does."""

    def __init__(self, weights="w", looked=None):
        self._name, self._looked = "folded", looked
        self.parts = SimpleNamespace(back=SimpleNamespace(weights=weights))
        self.held = threading.Lock()

    @property
    def name(self):
        if self._looked is not None:
            self._looked()
        return self._name


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(kernels, "parts", lambda weights, probes: weights)
    monkeypatch.setattr(kernels, "KERNELS", {"folded": Fake})


def finished(*work):
    """Do these at once, in threads; fail if one does not come to an end."""
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("weights", ["w", "others"])
def test_a_collection_within_take_gives_back(fakes, weights):
    """Runs that only a collection ends, which comes while a kernel is being looked at."""
    pool, given, taken = Pool(), [], []

    class Run:
        def __init__(self):
            self.itself, self.kernel = self, Fake()
            given.append(self.kernel)

        def __del__(self):
            pool.give_back(self.kernel, ())

    def collect():
        Run()
        gc.collect()

    for _ in range(3):
        pool.give_back(Fake(weights, looked=collect), ())

    def take():
        taken.extend(pool.take("folded", "w", ()) for _ in range(9))

    finished(take)
    assert len(given) >= 2
    assert len(taken) == len({id(kernel) for kernel in taken}) == 9
    assert all(kernel.parts.back.weights == "w" for kernel in taken)
    assert len(pool._idle) <= Pool.MOST


class Yielding(deque):
    """A deque that lets other threads come before each operation."""

    def popleft(self):
        time.sleep(0)
        return super().popleft()

    def append(self, entry):
        time.sleep(0)
        super().append(entry)


@pytest.mark.parametrize("kind", [deque, Yielding])
def test_no_kernel_is_in_two_hands(fakes, kind):
    """Threads that take and give back as fast as they can, of two weights."""
    pool, twice, wrong, made = Pool(), [], [], set()

    pool._idle = kind(maxlen=Pool.MOST)

    def use(weights):
        for _ in range(1000):
            kernel = pool.take("folded", weights, ())
            if not kernel.held.acquire(blocking=False):
                twice.append(kernel)
                return
            wrong.extend([kernel] * (kernel.parts.back.weights is not weights))
            made.add(id(kernel))
            kernel.held.release()
            pool.give_back(kernel, ())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        finished(*[lambda w=w: use(w) for w in "vwwwww"])
    finally:
        sys.setswitchinterval(interval)
    assert (twice, wrong) == ([], [])
    idle = [id(kernel) for _, kernel in pool._idle]
    assert len(idle) == len(set(idle)) <= Pool.MOST
    assert len(made) < 6000  # they are used again
