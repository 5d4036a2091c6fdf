"""Sweeps of the folded kernel: passes made many at once are those that would be made one by one."""

import random
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest

from tm2tf import api
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError
from tm2tf.machine.simulator import Simulation, trace
from tm2tf.machine.spec import OFFSET, Machine, Tape, Transition
from tm2tf.runtime.follow import follow
from tm2tf.runtime.kernel import KernelRunner

LENGTHS = (0, 1, 2, 31, 32, 33, 63, 64, 65, 95, 96, 97, *range(127, 131), 200, 1000)
"""Around the numbers of values that are compared one by one, and 64 at once."""

FEW = (0, 1, 64, 100)

SLOW = 210
"""Passes of the sparse kernel, at most, where the simulator is there for the others."""

SYMBOLS = ("_", "1", "2")
BACK = {"L": "R", "R": "L", "S": "S"}
SWAP = {"1": "2", "2": "1"}


def drift(*legs):
    """Return a machine that goes on in each state until all tapes that move are at blanks.

    A leg has the moves, one a tape, and what is written for what is read; the next leg begins a
    step back. A tape that stands still keeps its symbol.
    """
    k, rules = len(legs[0][0]), {}
    for i, (moves, writes) in enumerate(legs):
        for reads in product(SYMBOLS, repeat=k):
            pairs = list(zip(reads, moves, strict=True))
            put = tuple(read if move == "S" else writes.get(read, read) for read, move in pairs)
            if all(read == "_" or move == "S" for read, move in pairs):
                following = f"q{i + 1}" if i + 1 < len(legs) else "end"
                back = tuple(BACK[move] for move in moves)
                rules[f"q{i}", reads] = Transition(following, reads, back)
            else:
                rules[f"q{i}", reads] = Transition(f"q{i}", put, tuple(moves))
    states = (*(f"q{i}" for i in range(len(legs))), "end")
    return Machine("drift", SYMBOLS, "_", states, "q0", rules, tapes=k, halt=("end",))


def simple(*rules, **more):
    """Return a machine of one tape: a rule is state, read, written, move, next state."""
    table = {(q, (r,)): Transition(to, (w,), (m,)) for q, r, w, m, to in map(str.split, rules)}
    states = sorted({q for q, _ in table} | {to.state for to in table.values()})
    halt = tuple(q for q in states if q == "end")
    return Machine("simple", SYMBOLS, "_", tuple(states), "a", table, halt=halt, **more)


ONE_TAPE = {
    "keeping": drift(("R", {}), ("L", {})),
    "writing": drift(("R", SWAP), ("L", {"2": "_"})),
    "leftwards": drift(("L", {}), ("R", SWAP), ("L", {"1": "2"})),
    "on and on": simple("a 1 1 R a", "a 2 1 R a", "a _ 2 R a"),
    "to and fro": simple(
        "a 1 2 R a", "a 2 2 R a", "a _ 1 L b", "b 2 1 L b", "b 1 1 L b", "b _ 1 R a"
    ),
    "stuck": simple("a 1 2 R a", "a 2 2 R b", "b 1 _ R b", undefined="reject"),
    "stands": simple("a 1 1 R a", "a 2 2 S a", "a _ _ S a"),
    "flips": simple("a 1 2 S a", "a 2 1 S a", "a _ 1 R a"),
    "changes": simple("a 1 1 R b", "b 1 1 R a", "a _ _ L end", "b _ _ L end"),
}
SEVERAL_TAPES = {
    "together": drift(("RR", SWAP), ("LL", {})),
    "apart": drift(("RL", {}), ("LR", SWAP)),
    "one stands": drift(("RS", {"1": "2"}), ("SL", {}), ("LR", SWAP)),
    "three": drift(("RLS", SWAP), ("LSR", {}), ("SRL", {"1": "_"}), ("LLL", {})),
}
MACHINES = ONE_TAPE | SEVERAL_TAPES


@cache
def model_of(name):
    return api.Model(compile_machine(MACHINES[name]))


def word(*runs):
    """Return a tape's contents, given (symbol, how many) pairs."""
    return tuple(symbol for symbol, count in runs for _ in range(count))


def start_of(machine, *lengths):
    """Return the start on a run of 1s on each tape, and half as many 2s."""
    return machine.initial([Tape(word(("1", n), ("2", n // 2))) for n in lengths])


def probes_of(weights):
    names = [readout.feature.name for readout in weights.readouts]
    return tuple(n for n in names if n == "state" or n.endswith((".read", ".head")))


def begun(compiled, start, kernel, weights=None, **more):
    weights = compiled.weights if weights is None else weights
    ids = compiled.start(start).ids
    return KernelRunner(weights, ids, probes_of(weights), kernel, **more)


def stepped(machine, start, most):
    """Return the steps of the reference simulator as `told` has them."""
    return [
        (s.state, s.reads, s.heads, s.transition.state, s.transition.writes, s.transition.moves)
        for s in trace(machine, start, most)
    ]


def told(compiled, start, most):
    """Return what the folded kernel says of each step, in the machine's words."""
    machine = compiled.machine
    follower = follow(compiled, start, kernel="folded")
    said = follower.tell(most)
    assert follower.kernel == "folded", follower.reason
    moves = {offset: move for move, offset in OFFSET.items()}

    def words(table, names):
        return [tuple(names[number] for number in row) for row in table.tolist()]

    return list(
        zip(
            [machine.states[number] for number in said.states],
            words(said.reads, machine.symbols),
            map(tuple, said.heads.tolist()),
            [machine.states[number] for number in said.next_states],
            words(said.writes, machine.symbols),
            words(said.moves, moves),
            strict=True,
        )
    )


def repeats(steps):
    """Return how many steps have the state and the symbols of the step before."""
    return sum(one[:2] == other[:2] for one, other in pairwise(steps))


def agreed(compiled, start, most, weights=None):
    """Check the folded kernel against the sparse one, which is slow; return the passes swept."""
    fast, slow = (begun(compiled, start, kernel, weights) for kernel in ("folded", "sparse"))
    one, other = fast.advance(most), slow.advance(min(most, SLOW))
    assert fast.kernel == "folded", fast.reason
    assert one.tokens[:SLOW].tolist() == other.tokens.tolist()
    assert np.array_equal(one.probes[:SLOW], other.probes)
    assert fast._runner.emitted == len(one.tokens)
    if len(one.tokens) == len(other.tokens):
        assert fast.context == slow.context
        assert fast.settle() == slow.settle()
    return fast._runner.swept


# --- every step is the simulator's ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "length"),
    [(n, m) for n in ONE_TAPE for m in (FEW if n in ("stands", "flips", "changes") else LENGTHS)],
)
def test_one_tape_is_run_as_by_the_simulator(name, length):
    compiled = model_of(name).compiled
    machine = compiled.machine
    starts = start_of(machine, length), machine.initial([Tape(("1",) * length, -length, -1)])
    most = 3 * length + 50
    for start in starts:
        assert told(compiled, start, most) == stepped(machine, start, most)
    assert agreed(compiled, start, most) <= repeats(stepped(machine, start, most))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", SEVERAL_TAPES)
def test_several_tapes_are_run_as_by_the_simulator(name, length):
    compiled = model_of(name).compiled
    machine = compiled.machine
    for lengths in ((40, length // 2, length), (length,) * 3):
        tapes = [Tape(word(("1", n), ("2", n // 2))) for n in lengths[: machine.tapes]]
        tapes[1] = replace(tapes[1], head=lengths[1] - 1)  # for those that go left
        start, most = machine.initial(tapes), 4 * max(lengths) + 10
        steps = stepped(machine, start, most)
        assert told(compiled, start, most) == steps
    assert agreed(compiled, start, most) <= repeats(steps)


@pytest.mark.parametrize("name", ["writing", "leftwards", "apart"])
def test_one_other_symbol_anywhere_in_a_run(name):
    compiled = model_of(name).compiled
    machine = compiled.machine
    for place in (*range(8), *range(28, 45), *range(60, 140)):
        contents = word(("1", place), ("2", 1), ("1", 220 - place))
        right, left = Tape(contents), Tape(contents[::-1], -220, 0)
        tapes = [left] if name == "leftwards" else [right, left][: machine.tapes]
        start = machine.initial(tapes)
        assert told(compiled, start, 230) == stepped(machine, start, 230)


@pytest.mark.parametrize("name", ["keeping", "writing", "leftwards", "apart", "three"])
def test_a_limit_anywhere_in_a_sweep(name):
    """Runs of m steps end as the simulator's, for all m around the blocks of 64, both ways."""
    model = model_of(name)
    machine = model.machine
    tapes = [Tape(("1",) * (150 - 9 * t), 0, 149 if name == "leftwards" else 70 * (t % 2))
             for t in range(machine.tapes)]  # fmt: skip
    simulation = Simulation(machine, machine.initial(tapes))
    limits = {*range(4), *range(30, 36), *range(62, 69), *range(94, 102), *range(126, 200)}
    for m in range(max(limits) + 1):
        if m in limits:
            result = model.run(*tapes, max_steps=m, kernel="folded")
            assert result.kernel == "folded"
            end = simulation.configuration()
            assert (result.steps, result.state, result.tapes) == (m, end.state, end.tapes)
            assert result.outcome == (simulation.outcome or "step-limit")
        if simulation.step() is None:
            break
    assert m == max(limits)


@pytest.mark.parametrize("name", MACHINES)
def test_any_chunks_give_the_same(name):
    """Listed, recorded or skipped: what is asked for at a time makes no difference."""
    compiled, draw = model_of(name).compiled, random.Random(name)
    start = start_of(compiled.machine, *[330, 250, 100][: compiled.machine.tapes])
    plain = np.array([t.role == "step" and t.outcome is None for t in compiled.weights.tokens])
    slow = begun(compiled, start, "sparse").advance(900)
    tokens = slow.tokens.tolist()
    before = [compiled.start(start).ids[-1], *tokens]
    for sizes in ((1, 3), (30, 70), (100, 300)):
        runner, done = begun(compiled, start, "folded"), 0
        while done < len(tokens):
            count = min(draw.randint(*sizes), len(tokens) - done)
            match draw.choice(["advance", "skip", "record"]):
                case "advance":
                    emitted = runner.advance(count)
                    assert emitted.tokens.tolist() == tokens[done : done + count]
                    assert np.array_equal(emitted.probes, slow.probes[done : done + count])
                case "record":
                    record, _ = runner.record(count, plain)
                    assert record.tokens.tolist() == tokens[done : done + count]
                    assert record.standing == before[done]
                case "skip":
                    skipped = runner.skip(count, plain)
                    count = skipped.count
                    assert skipped.last == tokens[done + count - 1]
                    assert skipped.stood == before[done + count - 1]
            done += count
        assert runner._runner.emitted == done


@pytest.mark.parametrize("length", [0, 1, 33, 65, 129, 1000])
@pytest.mark.parametrize("name", ONE_TAPE)
def test_cases_are_counted_in_sweeps(name, length):
    model = model_of(name)
    machine, most = model.machine, 3 * length + 40
    start = start_of(machine, length)
    result = model.run(*start.tapes, max_steps=most, kernel="folded", counting=True)
    expected = Counter((step.state, step.reads[0]) for step in trace(machine, start, most))
    counted = {c: n for c, n in result.cases.items() if (c[0], (c[1],)) in machine.transitions}
    assert counted == expected
    assert all(n == 1 for c, n in result.cases.items() if c not in counted)


# --- growth and bounds ------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["R", "L"])
@pytest.mark.parametrize("also", ["", "S", "R", "L"])
def test_cells_grow_in_the_middle_of_a_sweep(side, also):
    """From the end of 3000 cells over these and 17,000 blanks: every step is known beforehand."""
    moves, sign = side + also, OFFSET[side]
    rules = {}
    for reads in product(SYMBOLS, repeat=len(moves)):
        put = tuple("1" if m != "S" else r for r, m in zip(reads, moves, strict=True))
        rules["a", reads] = Transition("a", put, tuple(moves))
    machine = Machine("on", SYMBOLS, "_", ("a",), "a", rules, tapes=len(moves))
    compiled = compile_machine(machine)
    first = Tape(("2",) * 3000, 0 if sign > 0 else -2999, 0)
    start = machine.initial([first])
    ids = compiled.start(start).ids
    runner = KernelRunner(compiled.weights, ids, ("tape0.head", "tape0.read"), "folded")
    (reads,) = (r.values for r in compiled.weights.readouts if r.feature.name == "tape0.read")
    emitted = runner.advance(20_000)
    assert set(emitted.tokens.tolist()) == {emitted.tokens[0]}
    assert np.array_equal(emitted.probes[:, 0] - emitted.probes[0, 0], sign * np.arange(20_000))
    assert [reads[i][0] for i in emitted.probes[[0, 2999, 3000, -1], 1]] == ["2", "2", "_", "_"]
    assert len(np.flatnonzero(np.diff(emitted.probes[:, 1]))) == 1
    runner.settle()
    assert Counter(runner.memory("tape0.read").values()) == {"1": 20_000}
    assert runner._runner.swept > 0.95 * 20_000


@pytest.mark.parametrize("bound", [{"key": 40}, {"key": 500}, {"position": 333}])
@pytest.mark.parametrize("moves", ["R", "L", "RL", "LS", "LRR"])
def test_a_bound_is_left_in_a_sweep_at_the_same_pass(moves, bound):
    """In one go, in parts and one by one, all is told that the sparse kernel tells."""
    machine = drift((moves, SWAP))
    table = machine.transitions.items()
    rules = {key: replace(to, state="q0", moves=tuple(moves)) for key, to in table}
    compiled = compile_machine(replace(machine, transitions=rules))
    bounds = replace(compiled.weights.bounds, **bound)
    compiled = replace(compiled, weights=replace(compiled.weights, bounds=bounds))
    origins = {"R": Tape(("1",) * 30, -30, -30), "L": Tape(("1",) * 30, 0, 29), "S": Tape(("1",))}
    start = machine.initial([origins[move] for move in moves])
    words = []
    for kernel, count in (("sparse", 10**6), ("folded", 10**6), ("folded", 97), ("folded", 1)):
        runner = begun(compiled, start, kernel)
        with pytest.raises(BoundError) as error:
            assert all(len(runner.advance(count).tokens) for _ in range(10**4))
        assert (runner.kernel, [error.value.bound]) == (kernel, list(bound))
        words.append(str(error.value))
        if kernel == "folded":
            assert f"after {runner._runner.emitted} tokens" in words[-1]
            assert runner._runner.swept > 150 or count < 10**6 or bound == {"key": 40}
    assert set(words) == {words[0]}


# --- what is counted as swept -----------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, *LENGTHS[3:]])
@pytest.mark.parametrize("name", ["keeping", "writing", "together"])
def test_of_a_run_all_but_the_first_are_swept(name, length):
    compiled = model_of(name).compiled
    start = compiled.machine.initial([Tape(("1",) * length)] * compiled.machine.tapes)
    runners = {kernel: begun(compiled, start, kernel) for kernel in ("evaluated", "folded")}
    for runner in runners.values():
        assert len(runner.advance(length + 1).tokens) == length + 1
    assert runners["folded"]._runner.swept == length - 1
    assert runners["evaluated"]._runner.swept == 0


@pytest.mark.parametrize(("name", "share"), [
    ("keeping", 0.99), ("writing", 0.99), ("to and fro", 0.9), ("on and on", 0.99),
    ("together", 0.99), ("apart", 0.9), ("one stands", 0.9), ("three", 0.9),
    ("stands", 0.0), ("flips", 0.0), ("changes", 0.0),
])  # fmt: skip
def test_what_is_swept(name, share):
    """Nearly all of long runs; nothing where no step is as the one before, or the head stays."""
    compiled = model_of(name).compiled
    machine = compiled.machine
    lengths = {"stands": (0,), "changes": (1500,)}.get(name, (800, 700, 600)[: machine.tapes])
    tapes = [Tape(("1",) * n, 0, n - 1 if t == 1 else 0) for t, n in enumerate(lengths)]
    start = machine.initial(tapes)
    steps = stepped(machine, start, 1500)
    runner = begun(compiled, start, "folded")
    done = len(runner.advance(1500).tokens)
    assert done == len(steps) > 1200
    swept = runner._runner.swept
    assert swept <= (repeats(steps) if share else 0)
    assert swept >= share * done
