"""The player without its screen: playback, breakpoints, what is said."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inspecting import SMALL, bundled, compiled, with_neurons
from tests.strategies import configurations, machines
from tm2tf.compiler import compile_machine
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect import sections
from tm2tf.inspect.forms import to_json
from tm2tf.inspect.recording import Recording
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.player import breakpoints, history, panels, tape_view
from tm2tf.player.breakpoints import Breakpoint, find, parse
from tm2tf.player.playback import Playback
from tm2tf.player.strip import strip
from tm2tf.player.tapes import Cells
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds


def through(work):
    """Do long work to its end."""
    for _ in work:
        pass


def simulated(machine, start, most=10_000):
    """Return the configurations of a run, the first included, and how it ended."""
    simulation = Simulation(machine, start)
    found = [simulation.configuration()]
    while len(found) <= most and simulation.step() is not None:
        found.append(simulation.configuration())
    return found, simulation.outcome


def opened(name, *tapes, construction="trace", **options):
    it = compiled(name, construction, **options)
    return Playback(it, it.machine.initial(tapes))


def played(playback):
    through(playback.going_to_end())
    return playback


def under(configuration, blank):
    cells = [dict(enumerate(t.contents, t.origin)) for t in configuration.tapes]
    return tuple(c.get(t.head, blank) for c, t in zip(cells, configuration.tapes, strict=True))


def stuck():
    """Return a run whose machine has no rule to begin with."""
    rules = {key: to for key, to in bundled("bb2").transitions.items() if key != ("A", ("0",))}
    machine = replace(bundled("bb2"), transitions=rules, undefined="reject")
    return Playback(compile_machine(machine), machine.initial())


# --- playback against the simulator ---------------------------------------------------------------

RUNS = [
    ("bb4", (), "trace", {}),
    ("palindrome-2tape", (Tape(tuple("0110")),), "trace", {}),
    ("palindrome-2tape", (Tape(tuple("101"), -2, -2), Tape(tuple("0"), 4, 7)), "looped", {}),
    ("binary-addition-3tape", (Tape(tuple("11")), Tape(tuple("1"))), "trace", {}),
    *(("bb3", (), name, options) for name, options in SMALL.items()),
]


@pytest.mark.parametrize(("name", "tapes", "construction", "options"), RUNS)
def test_each_situation_is_the_simulators(name, tapes, construction, options):
    playback = opened(name, *tapes, construction=construction, **options)
    machine = playback.machine
    expected, outcome = simulated(machine, playback.start)
    played(playback)
    assert (playback.total, playback.history.outcome) == (len(expected) - 1, outcome)
    last = playback.at
    for at in [*range(last, -1, -1), *range(last + 1), 0, last, last // 2]:
        playback.at = at
        assert playback.configuration() == expected[at]
        now = playback.now()
        assert now.state == expected[at].state
        assert now.heads == tuple(tape.head for tape in expected[at].tapes)
        assert now.reads == under(expected[at], machine.blank)
        if at < last:
            to = machine.transitions[now.state, now.reads]
            assert (now.next.writes, now.next.moves, now.next.next_state) == (
                to.writes, to.moves, to.state
            )  # fmt: skip
    playback.at = last
    assert (playback.now().next, playback.now().last.next_state) == (None, expected[-1].state)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_machines_back_and_forth(data):
    machine = data.draw(machines())
    start = data.draw(configurations(machine))
    playback = Playback(compile_machine(machine), start)
    expected, outcome = simulated(machine, start, most=60)
    for at in data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=8)):
        through(playback.going_to(at))
        assert playback.configuration() == expected[at]
    if outcome is not None:
        through(playback.going_to_end())
        assert (playback.at, playback.history.outcome) == (len(expected) - 1, outcome)
        with pytest.raises(NotFoundError, match="no step"):
            through(playback.going_to(len(expected)))
    which = data.draw(st.sampled_from(machine.symbols))
    tape = data.draw(st.sampled_from([None, *range(machine.tapes)]))
    playback.breakpoints = [Breakpoint("read", which, tape)]
    playback.at = 0
    hits = [
        n
        for n, held in enumerate(expected[:-1] if outcome is None else expected)
        if which in under(held, machine.blank)[slice(tape, None if tape is None else tape + 1)]
    ]
    for hit in [n for n in hits if n > 0]:
        through(playback.going_to_next())
        assert playback.at == hit
    for hit in [n for n in reversed(hits) if n < playback.at]:
        playback.to_previous()
        assert playback.at == hit


def test_few_situations_and_many_chunks_are_enough(monkeypatch):
    monkeypatch.setattr(history, "CHUNK", 7)
    monkeypatch.setattr(history, "EVERY", 10)
    monkeypatch.setattr(history, "ROOM", 100)
    playback = played(opened("bb4"))
    assert len(playback.history._kept) < 11  # of 107 steps, one in ten and less
    expected, _ = simulated(playback.machine, playback.start)
    for at in (0, 107, 53, 54, 3, 99, 98, 1):
        playback.at = at
        assert playback.configuration() == expected[at]
    playback.breakpoints = [Breakpoint("state", "C")]
    playback.at = 0
    monkeypatch.setattr(breakpoints, "BLOCK", 5)
    for hit in (n for n, held in enumerate(expected) if held.state == "C"):
        through(playback.going_to_next())
        assert playback.at == hit


def test_a_long_run_is_kept_and_limited(monkeypatch):
    monkeypatch.setattr(history, "MOST_STEPS", 120_000)
    playback = opened("bb5")
    through(playback.going_to(100_000))
    expected = Simulation(playback.machine, playback.start)
    for _ in range(100_000):
        expected.step()
    assert playback.configuration() == expected.configuration()
    with pytest.raises(NotFoundError, match="the run has 120,000 steps"):
        through(playback.going_to(120_001))
    assert (playback.at, playback.history.outcome) == (120_000, None)
    assert "keeps 120,000 steps" in playback.ended()


# --- runs that end early, or not well -------------------------------------------------------------


def test_a_machine_that_is_over_at_once():
    machine = replace(bundled("bb2"), start="Z")
    playback = Playback(compile_machine(machine), machine.initial())
    assert (playback.total, playback.ended()) == (0, "halted in state Z after 0 steps")
    assert not playback.forward()
    assert playback.now().next is None
    assert stuck().ended() == "rejected after 0 steps: no rule for state A reading 0"


def test_a_tape_that_is_too_short():
    playback = played(opened("bb4", construction="addressed", tape=8))
    assert playback.history.outcome is None
    assert "left the tape of 8 cells" in playback.ended()
    expected, _ = simulated(playback.machine, playback.start)
    assert playback.configuration() == expected[playback.at]


def test_a_bound_is_met_at_the_last_step_before_it():
    it = compiled("bb4")
    near = replace(it, weights=replace(it.weights, bounds=Bounds(position=2**51, key=3)))
    playback = played(Playback(near, it.machine.initial()))
    assert "further than 3" in playback.ended()
    expected, _ = simulated(it.machine, playback.start)
    assert playback.at > 10
    for at in range(playback.at + 1):
        playback.at = at
        assert playback.configuration() == expected[at]


def test_weights_that_contradict_themselves_end_the_history():
    it = compiled("bb2")
    layer = it.weights.layers[0].feed_forward
    dense = layer.W_out.dense()
    dense[:] = 0  # heads are never moved, for nothing writes where they are
    broken = with_neurons(it.weights, 0, W_out=Matrix.from_dense(dense))
    playback = played(Playback(replace(it, weights=broken), it.machine.initial()))
    assert playback.history.outcome is None
    assert "in step 2 the weights have a head elsewhere than it went" in playback.ended()
    assert playback.at == 1


# --- breakpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state B", Breakpoint("state", "B")),
        ("  State   B ", Breakpoint("state", "B")),
        ("read 1", Breakpoint("read", "1")),
        ('read "1"', Breakpoint("read", "1")),
        ("tape 0 read 1", Breakpoint("read", "1", 0)),
        ("step 1,000", Breakpoint("step", step=1000)),
        ("100", Breakpoint("step", step=100)),
    ],
)
def test_breakpoints_are_parsed(text, expected):
    machine = bundled("bb4")
    assert parse(text, machine) == expected
    assert parse(expected.text, machine) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no breakpoint; it is one of `state B`"),
        ("state", "is no breakpoint"),
        ("tape B read 1", "is no breakpoint"),
        ("tape 0 state B", "is no breakpoint"),
        ("tape 1 read 1", "there is no tape 1: machine 'bb4' has 1 tape"),
        ("state E", "no state 'E'; it has 'A', 'B', 'C', 'D', 'Z'"),
        ("read 2", "no symbol '2'"),
        ("step B", "'B' is no number of a step"),
        ("step -1", "is no number of a step"),
    ],
)
def test_what_is_no_breakpoint(text, said):
    with pytest.raises(InputError) as error:
        parse(text, bundled("bb4"))
    assert said in str(error.value)


def test_breakpoints_stop_a_run():
    playback = opened("bb4")
    expected, _ = simulated(playback.machine, playback.start)
    with pytest.raises(InputError, match="there are no breakpoints"):
        through(playback.going_to_next())
    assert playback.toggle(Breakpoint("state", "D"))
    assert playback.toggle(Breakpoint("step", step=2))
    stops = [n for n, held in enumerate(expected) if held.state == "D" or n == 2]
    seen = []
    while playback.at < 107:
        playback.forward(1000)
        seen.append(playback.at)
    assert seen == [*stops, 107]
    assert not playback.toggle(Breakpoint("state", "D"))
    playback.to_previous()
    assert (playback.at, [b.text for b in playback.met()]) == (2, ["step 2"])
    with pytest.raises(NotFoundError, match="before step 2"):
        playback.to_previous()
    playback.breakpoints = [Breakpoint("state", "Z")]
    through(playback.going_to_next())
    assert playback.at == 107
    with pytest.raises(NotFoundError, match="after step 107"):
        through(playback.going_to_next())
    assert find([Breakpoint("step", step=500)], playback.history, 0, 999, backward=False) is None


# --- what is said ---------------------------------------------------------------------------------


def test_steps_in_words():
    playback = opened("palindrome-2tape", Tape(tuple("0110")))
    now = playback.now()
    assert panels.deed(now.next) == (
        "in state copy reads 0, _: writes 0, 0; moves right, right; stays in copy"
    )
    assert panels.given(playback.machine, playback.start.tapes) == "0110 | (blank)"
    assert panels.sentence(now, None, 40).plain.splitlines()[0].startswith("step 1 in state copy")
    assert all(len(line) <= 40 for line in panels.sentence(now, None, 40).plain.splitlines())


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_a_tape_shows_its_head_and_addresses_that_do_not_touch(width):
    playback = played(opened("bb4"))
    fit = tape_view.frame(playback.machine, width)
    for at in range(0, 108, 7):
        playback.at = at
        (head,) = playback.now().heads
        first = tape_view.follow(None, head, fit.count)
        symbols = playback.window(0, first, fit.count)
        text = tape_view.tape_text(0, symbols, first, head, fit, state="B", lines=3).plain
        above, cells, mark = text.split("\n")
        assert max(map(len, (above, cells))) <= width
        place = cells.index("[") + 1
        assert cells[place] == symbols[head - first] == playback.now().reads[0]
        assert mark.index("▲") == place
        for found in re.finditer(r"-?\d+", above):
            word = found[0].lstrip("-")
            digit = found.end() - len(word) + len(word) // 2
            assert digit == (int(found[0]) - first) * fit.wide + 1


def test_the_view_follows_the_head_as_little_as_it_must():
    assert tape_view.follow(None, 5, 20) == -5
    assert tape_view.follow(-5, 9, 20) == -5
    assert tape_view.follow(-5, 10, 20) == -4
    assert tape_view.follow(-5, -1, 20) == -6
    assert tape_view.follow(-5, 100, 20) == 90


def test_cells_grow_both_ways():
    cells = Cells(0)
    cells.write(np.array([5, -3, 5]), np.array([1, 2, 3]))
    cells.write(np.array([1000, -1000]), np.array([4, 5]))
    assert cells.read(np.array([5, -3, 1000, -1000, 0, 9999])).tolist() == [3, 2, 4, 5, 0, 0]


@pytest.mark.parametrize("width", [40, 120])
@pytest.mark.parametrize("name", SMALL)
def test_strips_show_what_was_attended_to_and_fit(name, width):
    it = compiled("bb3", name, **SMALL[name])
    recording = Recording(it, it.machine.initial())
    for number in (1, 9, 20):
        view, found = recording.seen(number)
        lines = strip(found, view.heads, view.fed.position, width).plain.split("\n")
        assert len(lines) == len(view.heads) + 3
        assert all(len(line.rstrip()) <= max(width, 56) for line in lines)
        for head, line in zip(view.heads, lines[2:], strict=False):
            marks = line[9:]
            if head.kind in ("latest", "relative") and width > 40:
                column = marks.index("●")
                label = lines[0][9:][column:].split()[0]
                place = head.attended
                wanted = str(place.position)
                if place.within == "window":
                    wanted = str(place.addresses[0]) if place.addresses else "edge"
                assert label == wanted


def test_rules_mark_the_one_that_fires():
    playback = opened("gcd", Tape(tuple("110")), Tape(tuple("100")))
    through(playback.going_to(20))
    now = playback.now()
    lines = panels.rules(playback.machine, now, 80, 12).plain.splitlines()
    (marked,) = (line for line in lines if line.startswith("▸"))
    assert marked.split()[1:] == [
        now.state, *now.reads, *now.next.writes, *now.next.moves, now.next.next_state
    ]  # fmt: skip
    assert len(lines) == 15
    played(playback)
    assert "▸ state" in panels.rules(playback.machine, playback.now(), 80, 12).plain


def test_long_names_leave_room_for_the_rest_of_a_rule():
    names = ("a" * 70, "b" * 70)
    table = {
        (name, ("0",)): Transition(names[1 - i], ("1",), ("R",)) for i, name in enumerate(names)
    }
    it = compile_machine(Machine("long", ("0", "1"), "0", names, names[0], table))
    playback = Playback(it, it.machine.initial())
    playback.at = 0
    for width in (34, 60):
        lines = panels.rules(it.machine, playback.now(), width, 12).plain.splitlines()
        assert lines[1].split() == ["state", "read", "write", "move", "next"]
        marked = lines[2].split()
        assert (marked[0], marked[2:5]) == ("▸", ["0", "1", "R"])
        assert marked[1].startswith("aaa")
        assert marked[5].startswith("bbb")
        assert max(map(len, lines)) <= width
    stays = Machine("ends", ("0", "1"), "0", names[:1], names[0], {})
    it = compile_machine(stays)
    now = Playback(it, it.machine.initial()).now()
    text = " ".join(panels.rules(stays, now, 34, 12).plain.split())
    assert text.endswith("reading these")  # what there is no rule for is not cut off


def test_logits_are_whole_numbers_of_their_size():
    it = compiled("bb3", "empirical", **SMALL["empirical"])
    parts = {p.title: p for p in sections.step(step(it, it.machine.initial(), 11))}
    rows = [line.split() for line in panels.logits(parts, 60).plain.splitlines()[1:]]
    assert [float(row[-1]) for row in rows] == [1, pytest.approx(2**-52, rel=1e-4), 0, 0, 0]
    assert rows[0][1] == "█" * panels.BAR
    assert "█" not in "".join(rows[1])


def test_what_a_cursor_says_goes_into_json():
    playback = opened("bb4")
    assert json.loads(json.dumps(to_json(playback.now())))["next"]["writes"] == ["1"]
