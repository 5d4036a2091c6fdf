"""The structured assembler: what each block means and what is refused."""

import pytest

from tm2tf.errors import BuilderError, MachineError
from tm2tf.machine.builder import (
    Builder,
    accept,
    act,
    again,
    always,
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
from tm2tf.machine.spec import Tape

RIGHT = act(move={0: "R"})
ONE_TAPE = Builder(["ab"])


def mark(symbol):
    return act(write={0: symbol}, move={0: "R"})


def result(program, *inputs, builder=ONE_TAPE, limit=1000):
    """Return the outcome, the steps and the tapes of a program's run."""
    machine = builder.build(program, "test")
    ended = run(machine, machine.initial(inputs), limit)
    words = [machine.join(tape.contents) for tape in ended.configuration.tapes]
    return ended.outcome, ended.steps, *words


@pytest.mark.parametrize(
    ("program", "word", "expected"),
    [
        (seq(), "", ("halted", 0, "")),
        (halt, "ab", ("halted", 0, "ab")),
        (accept, "", ("accepted", 0, "")),
        (seq(mark("a"), mark("b"), reject), "", ("rejected", 2, "ab")),
        (seq(RIGHT, RIGHT, mark("b")), "aa", ("halted", 3, "aab")),
        (seq(seq(), seq(seq(mark("a")), seq()), mark("a")), "", ("halted", 2, "aa")),
        # A test is part of the step that comes next; before the end it is a step of its own.
        (when(on(0, "a"), mark("b"), mark("a")), "a", ("halted", 1, "b")),
        (when(on(0, "a"), mark("b"), mark("a")), "b", ("halted", 1, "a")),
        (seq(when(on(0, "b"), RIGHT), mark("b")), "a", ("halted", 1, "b")),
        (when(on(0, "a"), accept, reject), "a", ("accepted", 1, "a")),
        (loop(~on(0, "_"), mark("b")), "aaa", ("halted", 4, "bbb")),
        (loop(on(0, "ab"), mark("b")), "", ("halted", 1, "")),
        (loop(always, mark("b"), when(on(0, "a"), leave)), "_ba", ("halted", 3, "bba")),
        (
            loop(on(0, "ab"), when(on(0, "a"), seq(RIGHT, again)), mark("a")),
            "abab",
            ("halted", 5, "aaaa"),
        ),
        (loop(always, loop(on(0, "a"), RIGHT, leave), leave), "aa", ("halted", 1, "aa")),
        (on_symbol(0, {"a": mark("b"), "b": mark("a")}, accept), "a", ("halted", 1, "b")),
        (on_symbol(0, {"a": mark("b"), "b": mark("a")}, accept), "", ("accepted", 1, "")),
        (on_symbol(0, {"ab": reject}), "b", ("rejected", 1, "b")),
        (act(write={0: {"a": "b"}}), "a", ("halted", 1, "b")),
        (act(write={0: {"a": "b"}}), "b", ("halted", 1, "b")),
        (when(on(0, "a") & on(0, "b") | on(0, "_"), accept), "", ("accepted", 1, "")),
        (seq(accept, mark("b")), "", ("accepted", 0, "")),
    ],
)
def test_blocks(program, word, expected):
    assert result(program, word) == expected


def test_copy_of_and_same():
    builder = Builder(["ab", "ab"])
    step = act(write={1: copy_of(0)}, move={0: "R", 1: "R"})
    copied = loop(~on(0, "_"), step)
    assert result(copied, "abba", builder=builder) == ("halted", 5, "abba", "abba")
    equal = loop(same(0, 1), when(on(0, "_"), accept), act(move={0: "R", 1: "R"}))
    assert result(seq(equal, reject), "ab", "ab", builder=builder)[0] == "accepted"
    assert result(seq(equal, reject), "ab", "aa", builder=builder)[0] == "rejected"


def test_symbols_of_several_characters_and_spaces():
    builder = Builder([["x1", "x2", " "]])
    program = on_symbol(0, {"x1 x2": accept, " ": reject})
    machine = builder.build(program, "test")
    for symbol, outcome in (("x1", "accepted"), ("x2", "accepted"), (" ", "rejected")):
        start = machine.initial([Tape((symbol,))])
        assert run(machine, start).outcome == outcome


def test_states_are_named_after_the_innermost_call():
    program = seq(RIGHT, call("outer", RIGHT, call("inner", RIGHT), RIGHT), RIGHT)
    machine = ONE_TAPE.build(program, "test")
    assert machine.states == ("main", "outer", "inner", "outer.2", "main.2", "halt")


def test_calls_are_copies_of_their_own():
    helper = call("helper", RIGHT, mark("a"))
    machine = ONE_TAPE.build(seq(helper, mark("b"), helper), "test")
    assert machine.states == ("helper", "helper.2", "main", "helper.3", "helper.4", "halt")
    assert result(seq(helper, mark("b"), helper)) == ("halted", 5, "ab_a")


def test_names_do_not_collide():
    program = seq(call("accept", RIGHT), call("x.2", RIGHT), call("x", RIGHT, RIGHT), accept)
    machine = ONE_TAPE.build(program, "test")
    assert machine.states == ("accept.2", "x.2", "x", "x.3", "accept")


def test_equal_places_are_one_state():
    machine = ONE_TAPE.build(loop(always, RIGHT), "test")
    assert machine.states == ("main",)
    twice = ONE_TAPE.build(seq(when(on(0, "a"), mark("b"), mark("a")), RIGHT), "test")
    assert len(twice.states) == 3  # both branches go on at the same place


def test_a_machine_is_made_for_the_symbols_of_each_tape():
    machine = Builder(["ab", "c"], blank=".").build(act(write={1: "c"}), "test")
    assert machine.symbols == (".", "a", "b", "c")
    assert len(machine.transitions) == 3 * 2
    foreign = run(machine, machine.initial(["c"]))
    assert (foreign.outcome, foreign.steps) == ("rejected", 0)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (loop(always), "for ever without a step"),
        (loop(on(0, "a"), when(on(0, "b"), RIGHT)), "when the heads read 'a'"),
        (loop(always, again, RIGHT), "for ever without a step"),
        (loop(always, loop(on(0, "a"), RIGHT)), "for ever"),
        (call("spin", loop(always, call("inner", seq()))), "block 'spin'"),
        (leave, "outside every loop"),
        (seq(loop(always, RIGHT, leave), again), "outside every loop"),
        (act(write={0: "c"}), "'c' is written on tape 0, whose symbols are _ a b"),
        (act(write={0: {"a": "x"}}), "'x' is written"),
        (act(write={1: "a"}), "tape 1 does not exist: there are 1"),
        (act(move={2: "R"}), "tape 2 does not exist"),
        (act(move={-1: "R"}), "tape -1 does not exist"),
        (act(write={0: copy_of(1)}), "tape 1 does not exist"),
        (when(on(1, "a"), RIGHT), "tape 1 does not exist"),
        (when(same(0, -1), RIGHT), "tape -1 does not exist"),
        (on_symbol(3, {"a": RIGHT}), "tape 3 does not exist"),
        (act(move={0: "N"}), "unknown move 'N'"),
    ],
)
def test_refused(program, message):
    with pytest.raises(BuilderError, match=message):
        ONE_TAPE.build(program, "test")


def test_a_copy_to_a_narrower_tape_is_refused_where_it_can_happen():
    builder = Builder(["ab", "a"])
    copying = act(write={1: copy_of(0)})
    with pytest.raises(BuilderError, match="'b' is written on tape 1"):
        builder.build(copying, "test")
    builder.build(when(~on(0, "b"), copying), "test")


def test_no_tapes():
    with pytest.raises(BuilderError, match="at least one tape"):
        Builder([])


def test_a_name_that_no_state_can_have():
    with pytest.raises(MachineError):
        ONE_TAPE.build(call("a\tb", RIGHT), "test")
