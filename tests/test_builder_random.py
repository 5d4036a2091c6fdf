"""Random structured programs: the machine does what an interpreter of its own says.

A program is nested tuples here; `block` makes the builder's blocks of it, `World` runs it.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.machine.builder import (
    Builder,
    accept,
    act,
    again,
    call,
    copy_of,
    halt,
    leave,
    loop,
    on,
    on_symbol,
    reject,
    same,
    seq,
    when,
)
from tm2tf.machine.simulator import run

SYMBOLS = "_ab"
TAPES = st.integers(0, 1)
TESTS = st.recursive(
    st.one_of(
        st.tuples(st.just("on"), TAPES, st.sampled_from(["a", "b", "_", "ab", "_a"])),
        st.just(("same",)),
    ),
    lambda test: st.one_of(
        st.tuples(st.just("not"), test), st.tuples(st.sampled_from(["and", "or"]), test, test)
    ),
    max_leaves=3,
)
WRITTEN = st.one_of(st.sampled_from(SYMBOLS), TAPES, st.just({"a": "b", "b": "_"}))
ACTS = st.tuples(
    st.just("act"),
    st.dictionaries(TAPES, WRITTEN, max_size=2),
    st.dictionaries(TAPES, st.sampled_from("LSR"), max_size=2),
)
ENDS = st.sampled_from([("stop", "accept"), ("stop", "reject"), ("stop", "halt")])


def programs(depth, in_loop=False):
    if depth == 0:
        return st.one_of(ACTS, ACTS, ACTS, ACTS, ENDS)
    body, round_ = programs(depth - 1, in_loop), programs(depth - 1, in_loop=True)
    several = st.lists(body, min_size=2, max_size=4).map(lambda blocks: ("seq", *blocks))
    named = st.tuples(st.just("call"), st.sampled_from(["main", "x", "halt"]), body)
    loops = st.tuples(st.just("loop"), TESTS, ACTS, round_)  # each round begins with a step
    choices = st.tuples(st.just("when"), TESTS, body, body)
    switches = st.tuples(st.just("switch"), TAPES, body, body)
    jumps = st.tuples(st.just("when"), TESTS, st.sampled_from([("leave",), ("again",)]), body)
    within = [jumps, jumps, st.tuples(st.just("seq"), jumps, body)] if in_loop else []
    return st.one_of(ACTS, several, several, named, loops, loops, choices, switches, *within)


def block(program):
    match program:
        case ("act", write, move):
            written = {t: copy_of(w) if isinstance(w, int) else w for t, w in write.items()}
            return act(written, move)
        case ("seq", *blocks):
            return seq(*map(block, blocks))
        case ("call", name, body):
            return call(name, block(body))
        case ("loop", test, *body):
            return loop(condition(test), *map(block, body))
        case ("when", test, then, otherwise):
            return when(condition(test), block(then), block(otherwise))
        case ("switch", tape, on_a, otherwise):
            return on_symbol(tape, {"a": block(on_a)}, block(otherwise))
        case ("stop", kind):
            return {"accept": accept, "reject": reject, "halt": halt}[kind]
        case ("leave",):
            return leave
    return again


def condition(test):
    match test:
        case ("on", tape, symbols):
            return on(tape, symbols)
        case ("same",):
            return same(0, 1)
        case ("not", inner):
            return ~condition(inner)
        case ("and", left, right):
            return condition(left) & condition(right)
    return condition(test[1]) | condition(test[2])


def written(what, reads, tape):
    if isinstance(what, int):
        return reads[what]
    return what.get(reads[tape], reads[tape]) if isinstance(what, dict) else what


class World:
    """Two tapes and what a program does to them."""

    def __init__(self, words, limit):
        self.tapes = [dict(enumerate(word)) for word in words]
        self.heads, self.steps, self.limit = [0, 0], 0, limit
        self.outcome, self.tested = "step-limit", False

    def reads(self):
        return [tape.get(head, "_") for tape, head in zip(self.tapes, self.heads, strict=True)]

    def holds(self, test):
        self.tested = True
        reads = self.reads()
        match test:
            case ("on", tape, symbols):
                return reads[tape] in symbols
            case ("same",):
                return reads[0] == reads[1]
            case ("not", inner):
                return not self.holds(inner)
            case ("and", left, right):
                return self.holds(left) and self.holds(right)
        return self.holds(test[1]) or self.holds(test[2])

    def act(self, write, move):
        if self.steps == self.limit:
            return "end"
        reads = self.reads()
        for tape, what in write.items():
            self.tapes[tape][self.heads[tape]] = written(what, reads, tape)
        for tape, direction in move.items():
            self.heads[tape] += "LSR".index(direction) - 1
        self.steps += 1
        self.tested = False
        return None

    def stop(self, kind):
        if not self.tested or self.act({}, {}) is None:
            self.outcome = {"accept": "accepted", "reject": "rejected", "halt": "halted"}[kind]
        return "end"

    def execute(self, program):
        """Run a program; return None where it goes on, else "leave", "again" or "end"."""
        match program:
            case ("act", write, move):
                return self.act(write, move)
            case ("seq", *blocks):
                return next(filter(None, map(self.execute, blocks)), None)
            case ("call", _, body):
                return self.execute(body)
            case ("loop", test, *body):
                signal = None
                while signal in (None, "again") and self.holds(test):
                    signal = self.execute(("seq", *body))
                return "end" if signal == "end" else None
            case ("when", test, then, otherwise):
                return self.execute(then if self.holds(test) else otherwise)
            case ("switch", tape, on_a, otherwise):
                return self.execute(on_a if self.holds(("on", tape, "a")) else otherwise)
            case ("stop", kind):
                return self.stop(kind)
        return program[0]

    def words(self):
        """Return each tape from address -200 to 200."""
        return [[tape.get(i, "_") for i in range(-200, 201)] for tape in self.tapes]


@settings(max_examples=250, deadline=None)
@given(programs(4), st.lists(st.text("_ab", max_size=4), min_size=2, max_size=2))
def test_machines_do_what_programs_say(program, words):
    world = World(words, limit=100)
    world.execute(("seq", program, ("stop", "halt")))
    machine = Builder(["ab", "ab"]).build(block(program), "random")
    ended = run(machine, machine.initial(words), max_steps=100)
    assert (ended.outcome, ended.steps) == (world.outcome, world.steps)
    for tape, expected in zip(ended.configuration.tapes, world.words(), strict=True):
        cells = dict(enumerate(tape.contents, tape.origin))
        assert [cells.get(i, "_") for i in range(-200, 201)] == expected
    assert [tape.head for tape in ended.configuration.tapes] == world.heads
