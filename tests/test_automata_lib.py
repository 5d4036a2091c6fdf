"""automata-lib's objects: read as the library runs them, and made again."""

import sys
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import ODD, machines
from tm2tf import api
from tm2tf.errors import ExtraError, InputError
from tm2tf.formats import automata_lib
from tm2tf.machine.one_way import one_way
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Transition

pytest.importorskip("automata")
import automata.base.config as global_config
from automata.base.exceptions import RejectionException
from automata.fa.dfa import DFA
from automata.tm.dtm import DTM
from automata.tm.mntm import MNTM
from automata.tm.ntm import NTM


def simple(**changes):
    """Return the arguments of a DTM over 1 and x that walks right, back, and accepts."""
    parts = {
        "states": {"s", "l", "f"},
        "input_symbols": {"1"},
        "tape_symbols": {"1", "x", "."},
        "transitions": {
            "s": {"1": ("s", "1", "R"), ".": ("l", "x", "L")},
            "l": {"1": ("l", "1", "L"), ".": ("f", ".", "N")},
        },
        "initial_state": "s",
        "blank_symbol": ".",
        "final_states": {"f"},
    }
    return parts | changes


def numbered():
    return DTM(
        states={0, 1},
        input_symbols={"a"},
        tape_symbols={"a", "_"},
        transitions={0: {"a": (1, "_", "R")}},
        initial_state=0,
        blank_symbol="_",
        final_states={1},
    )


def copier(**changes):
    """Return the arguments of an MNTM that copies its word of a to the second tape."""
    parts = {
        "states": {"q", "b", "f"},
        "input_symbols": {"a"},
        "tape_symbols": {"a", "#"},
        "n_tapes": 2,
        "transitions": {
            "q": {
                ("a", "#"): [("q", (("a", "R"), ("a", "R")))],
                ("#", "#"): [("b", (("#", "L"), ("#", "N")))],
            },
            "b": {
                ("a", "#"): [("b", (("a", "L"), ("#", "N")))],
                ("#", "#"): [("f", (("#", "R"), ("#", "L")))],
            },
        },
        "initial_state": "q",
        "blank_symbol": "#",
        "final_states": {"f"},
    }
    return parts | changes


def cells_of(cells, blank):
    return {address: symbol for address, symbol in cells.items() if symbol != blank}


def by_library(automaton, word, limit):
    """Return outcome, state, steps, cells and heads, by the configurations that the library yields.

    A position counts from the first cell of the stored tape, which grows at the left too.
    """
    outcome, origins, before = None, None, None
    steps = -1
    try:
        for yielded in islice(automaton.read_input_stepwise(word), limit + 1):
            if yielded == set():
                continue  # an NTM's, before it says that it has rejected
            (found,) = yielded if isinstance(yielded, set) else (yielded,)
            tapes = found.tapes if hasattr(found, "tapes") else (found.tape,)
            if before is None:
                origins = [0] * len(tapes)
            else:
                for i, (old, new) in enumerate(zip(before, tapes, strict=True)):
                    origins[i] -= len(new) > len(old) and new.current_position == 0
            state, before, steps = found.state, tapes, steps + 1
        if state in automaton.final_states:
            outcome = "accepted"
    except RejectionException:
        outcome = "rejected"
    blank = automaton.blank_symbol
    return (
        outcome,
        str(state),
        steps,
        [
            cells_of({at + i: symbol for i, symbol in enumerate(tape.tape)}, blank)
            for tape, at in zip(before, origins, strict=True)
        ],
        [at + tape.current_position for tape, at in zip(before, origins, strict=True)],
    )


def by_ours(machine, word, limit):
    simulation = Simulation(machine, machine.initial([word]))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    if simulation.outcome is None:
        # a run that stops as no rule matches takes no step for that
        simulation.outcome = stopped(simulation)
    cells = [cells_of(tape, machine.blank) for tape in simulation.cells]
    return simulation.outcome, simulation.state, simulation.steps, cells, simulation.heads


def stopped(simulation):
    machine = simulation.machine
    reads = tuple(
        cells.get(head, machine.blank)
        for cells, head in zip(simulation.cells, simulation.heads, strict=True)
    )
    stuck = (simulation.state, reads) not in machine.transitions
    return "rejected" if stuck else None


def same(automaton, machine, word, limit=200):
    """Compare a run of both, and return ours; the library is asked for one configuration more."""
    ours = by_ours(machine, word, limit)
    theirs = by_library(automaton, word, limit + (ours[0] == "rejected"))
    assert theirs == ours
    return ours


def test_by_hand():
    """Left growth, int states, N, an input that is not looked at, a rejection without a step."""
    dtm = DTM(**simple())
    machine = automata_lib.from_automaton(dtm, "walk")
    assert (machine.name, machine.symbols, machine.states) == (
        "walk", (".", "1", "x"), ("s", "l", "f")
    )  # fmt: skip
    assert (machine.accept, machine.reject, machine.undefined) == (("f",), (), "reject")
    assert machine.notes == ("input_symbols: ['1'], which runs do not look at",)
    assert same(dtm, machine, "11") == (
        "accepted", "f", 6, [{0: "1", 1: "1", 2: "x"}], [-1]
    )  # fmt: skip
    assert same(dtm, machine, "x1") == ("rejected", "s", 0, [{0: "x", 1: "1"}], [0])
    numbers = automata_lib.from_automaton(numbered())
    assert (numbers.states, numbers.notes) == (("0", "1"), ())
    assert same(numbered(), numbers, "a") == ("accepted", "1", 1, [{}], [1])
    assert same(numbered(), numbers, "") == ("rejected", "0", 0, [{}], [0])
    mntm = MNTM(**copier())
    two = automata_lib.from_automaton(mntm)
    assert (two.tapes, two.blank) == (2, "#")
    # a a # to the right: 2 and 1 back; a a to the left: 2; then f: 6 in all
    assert same(mntm, two, "aa") == (
        "accepted", "f", 6, [{0: "a", 1: "a"}] * 2, [0, 1]
    )  # fmt: skip


def test_through_weights():
    check = api.compile(automata_lib.from_automaton(DTM(**simple()))).verify("11")
    assert (check.outcome, check.steps, check.divergence) == ("accepted", 6, None)
    check = api.compile(automata_lib.from_automaton(MNTM(**copier()))).verify("aa")
    assert (check.outcome, check.steps, check.divergence) == ("accepted", 6, None)


def test_nondeterminism():
    """Sets of one are rules; two moves for one key are refused, unless they are the same."""
    one = simple()["transitions"]
    sets = {s: {read: {to} for read, to in paths.items()} for s, paths in one.items()}
    ntm = NTM(**simple(transitions=sets))
    assert same(ntm, automata_lib.from_automaton(ntm), "11")[:3] == ("accepted", "f", 6)
    assert same(ntm, automata_lib.from_automaton(ntm), "x")[:3] == ("rejected", "s", 0)
    sets["l"]["1"] = {("l", "1", "L"), ("f", "1", "L")}
    with pytest.raises(InputError, match="state 'l' has 2 moves for '1': tm2tf has determin"):
        automata_lib.from_automaton(NTM(**simple(transitions=sets)))
    choices = dict(copier()["transitions"])
    move = choices["q"]["a", "#"][0]
    choices["q"] = {**choices["q"], ("a", "#"): [move, ("f", (("a", "N"), ("a", "N")))]}
    with pytest.raises(InputError, match="state 'q' has 2 moves for 'a' '#'"):
        automata_lib.from_automaton(MNTM(**copier(transitions=choices)))
    choices["q"]["a", "#"] = [move, move]
    twice = automata_lib.from_automaton(MNTM(**copier(transitions=choices)))
    assert twice == automata_lib.from_automaton(MNTM(**copier()))
    choices["q"]["a", "#"] = []
    with pytest.raises(InputError, match="state 'q' has 0 moves"):
        automata_lib.from_automaton(MNTM(**copier(transitions=choices)))


def test_an_empty_set_of_moves_rejects():
    """An NTM takes it for no rule."""
    sets = {"s": {"1": {("s", "1", "R")}, ".": set()}}
    ntm = NTM(**simple(transitions=sets))
    assert same(ntm, automata_lib.from_automaton(ntm), "1") == (
        "rejected", "s", 1, [{0: "1"}], [1]
    )  # fmt: skip


def test_reads_that_are_no_tuple_never_match():
    """The library takes the key "a#", and looks for ("a", "#")."""
    odd = {"q": {"a#": [("f", (("a", "R"), ("a", "R")))]}}
    mntm = MNTM(**copier(transitions=odd))
    machine = automata_lib.from_automaton(mntm)
    assert same(mntm, machine, "a")[:3] == ("rejected", "q", 0)
    assert machine.notes == ("rules that are never taken, as they read no tuple: ['a#']",)


def test_names_of_states():
    """Sets are sorted, tuples are what they hold; two states of one name are refused."""
    a, b = frozenset({"y", "x"}), (1, frozenset({2}))
    parts = simple(
        states={a, b}, initial_state=a, final_states={b}, transitions={a: {"1": (b, "x", "R")}}
    )
    machine = automata_lib.from_automaton(DTM(**parts))
    assert (machine.states, machine.accept) == (("{x, y}", "(1, {2})"), ("(1, {2})",))
    parts = simple(
        states={1, "1"},
        initial_state=1,
        final_states={"1"},
        transitions={1: {"1": ("1", "x", "R")}},
    )
    with pytest.raises(InputError, match="two states are called '1' as text"):
        automata_lib.from_automaton(DTM(**parts))


def test_what_is_not_read():
    dfa = DFA(states={0}, input_symbols={"a"}, transitions={0: {"a": 0}}, initial_state=0,
              final_states={0})  # fmt: skip
    with pytest.raises(InputError, match="expected a DTM, NTM or MNTM, got DFA"):
        automata_lib.from_automaton(dfa)
    with pytest.raises(InputError, match="a symbol is a string, got 7"):
        automata_lib.from_automaton(DTM(**simple(tape_symbols={"1", "x", ".", 7})))
    with pytest.raises(InputError, match="symbols are printable"):
        automata_lib.from_automaton(DTM(**simple(tape_symbols={"1", "x", ".", "\n"})))
    long = MNTM(**copier(blank_symbol="##", tape_symbols={"a", "#", "##"}))
    with pytest.raises(InputError, match="cannot run several tapes with a blank of several char"):
        automata_lib.from_automaton(long)
    assert global_config.should_validate_automata
    global_config.should_validate_automata = False
    try:
        unsound = [
            DTM(**simple(initial_state="f")),
            DTM(**simple(transitions={"s": {"1": ("nowhere", "1", "R")}})),
            DTM(**simple(transitions={"s": {"1": ("s", "1")}})),
        ]
    finally:
        global_config.should_validate_automata = True
    for automaton in unsound:
        with pytest.raises(InputError, match="automata-lib finds this machine unsound"):
            automata_lib.from_automaton(automaton)


def sayable(machine):
    """Return whether the library can say it: no halting but by accepting and rejecting."""
    if machine.tapes > 1 and len(machine.blank) > 1:
        return False
    running = len(machine.states) - len((*machine.accept, *machine.reject))
    full = len(machine.transitions) == running * len(machine.symbols) ** machine.tapes
    return machine.start not in machine.accept and (full or machine.undefined == "reject")


@settings(max_examples=150, deadline=None)
@given(
    machine=machines(tapes=(1, 3), halting=("accept", "reject"), undefined=("reject", "accept")),
    data=st.data(),
)
def test_there_and_back(machine, data):
    """The object runs as the machine does, and so does what is read from it, and its source."""
    if not sayable(machine):
        for to in (automata_lib.to_automaton, automata_lib.dump):
            with pytest.raises(InputError, match="automata-lib cannot say what"):
                to(machine)
        return
    made = automata_lib.to_automaton(machine)
    assert type(made) is (DTM if machine.tapes == 1 else MNTM)
    word = "".join(data.draw(st.lists(st.sampled_from(machine.symbols), max_size=8)))
    limit = data.draw(st.sampled_from([0, 1, 2, 40]))
    # limits: a rejecting state is one without rules, so both sides are asked at the same step
    ours = by_ours(machine, word, limit)
    assert by_library(made, word, limit + (ours[0] == "rejected")) == ours
    back = automata_lib.from_automaton(made, machine.name)
    assert by_ours(back, word, limit) == ours
    assert back.notes == ()
    assert built(automata_lib.dump(machine)).input_parameters == made.input_parameters
    again = automata_lib.to_automaton(back)
    assert again.input_parameters == made.input_parameters


@settings(max_examples=60, deadline=None)
@given(
    machine=machines(tapes=(1, 2), words=ODD, halting=("accept", "reject"), undefined=("reject",)),
    data=st.data(),
)
def test_odd_names_there_and_back(machine, data):
    """Symbols of several characters are given as a list; quotes in names survive the source."""
    if not sayable(machine):
        with pytest.raises(InputError, match="automata-lib cannot say what"):
            automata_lib.to_automaton(machine)
        return
    made = automata_lib.to_automaton(machine)
    word = data.draw(st.lists(st.sampled_from(machine.symbols), max_size=6))
    tape = " ".join(word)
    assume(machine.split(tape) == tuple(word))
    ours = by_ours(machine, tape, 40)
    assert by_library(made, word, 40 + (ours[0] == "rejected")) == ours
    assert built(automata_lib.dump(machine)).input_parameters == made.input_parameters
    assert by_ours(automata_lib.from_automaton(made), tape, 40) == ours


def built(source):
    """Return what Python source leaves in `machine`."""
    names = {}
    exec(source, names)  # noqa: S102 - our own text, which is what is tested
    return names["machine"]


def test_source():
    """What is written for people to read: in the machine's own order."""
    machine = automata_lib.from_automaton(DTM(**simple()), "it's\n'two'")
    assert automata_lib.dump(machine).splitlines()[:12] == [
        "# \"it's\\n'two'\", for automata-lib",
        "from automata.tm.dtm import DTM",
        "",
        "machine = DTM(",
        "    states={'s', 'l', 'f'},",
        "    input_symbols={'1', 'x'},",
        "    tape_symbols={'.', '1', 'x'},",
        "    transitions={",
        "        's': {",
        "            '1': ('s', '1', 'R'),",
        "            '.': ('l', 'x', 'L'),",
        "        },",
    ]
    only = Machine("only", ("_",), "_", ("s",), "s", {}, undefined="reject")
    assert "input_symbols=set()," in automata_lib.dump(only)
    assert built(automata_lib.dump(only)).final_states == set()
    two = automata_lib.from_automaton(MNTM(**copier()))
    assert built(automata_lib.dump(two)).input_parameters == MNTM(**copier()).input_parameters


def test_what_it_cannot_say():
    base = {"symbols": ("_", "a"), "blank": "_", "states": ("s", "t")}
    stay = {("s", ("_",)): Transition("t", ("_",), ("S",))}
    cases = [
        (Machine("m", start="s", transitions=stay, halt=("t",), undefined="reject", **base),
         "states that halt"),
        (Machine("m", start="t", transitions=stay, accept=("t",), undefined="reject", **base),
         "a start state that accepts"),
        (Machine("m", start="s", transitions=stay, accept=("t",), **base), "undefined: halt"),
        (one_way(Machine("m", start="s", transitions=stay, undefined="reject", **base)),
         "tapes that are infinite one way"),
    ]  # fmt: skip
    for machine, message in cases:
        for to in (automata_lib.to_automaton, automata_lib.dump):
            with pytest.raises(
                InputError, match=f"automata-lib cannot say what 'm' has: {message}"
            ):
                to(machine)
    begins = Machine("m", start="t", transitions=stay, reject=("t",), undefined="reject", **base)
    assert same(automata_lib.to_automaton(begins), begins, "a")[:3] == ("rejected", "t", 0)


@pytest.mark.parametrize("module", ["automata.tm.dtm", "automata.tm.mntm"])
def test_without_the_library(monkeypatch, module):
    """Making and reading objects says what to install; source is written all the same."""
    machine = automata_lib.from_automaton(numbered())
    automaton = numbered()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraError, match=r"pip install 'tm2tf\[bench\]'"):
        automata_lib.to_automaton(machine)
    if module == "automata.tm.mntm":
        with pytest.raises(ExtraError, match=r"pip install 'tm2tf\[bench\]'"):
            automata_lib.from_automaton(automaton)
    assert automata_lib.dump(machine).startswith("# 'machine', for automata-lib\n")
