"""State graphs: what they say of a machine, and the command that draws them."""

import json
import sys
from collections import deque
from itertools import product

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import ODD, configurations, machines
from tm2tf import api
from tm2tf.cli import group
from tm2tf.machine import simulator
from tm2tf.machine.spec import Machine, Transition
from tm2tf.pictures.graphs import report, states


def machine_of(rules, names, **more):
    """Return a machine over _ and 1; rules are words such as "A _ 1 R B"."""
    transitions = {}
    for rule in rules:
        state, read, write, move, to = rule.split()
        transitions[state, (read,)] = Transition(to, (write,), (move,))
    return Machine("made", ("_", "1"), "_", tuple(names), names[0], transitions, **more)


TRAPPED = machine_of(
    ["A _ 1 R B", "A 1 1 R trap", "B _ 1 R yes", "B 1 1 R no", "trap _ 1 R trap2",
     "trap 1 1 L trap", "trap2 _ 1 R trap", "trap2 1 1 L trap", "lost _ 1 R H", "lost 1 1 R ghost",
     "ghost _ 1 R ghost"],
    ["A", "B", "lost", "trap", "trap2", "yes", "no", "H", "ghost"],
    accept=("yes",), reject=("no",), halt=("H",),
)  # fmt: skip
"""`trap` and `trap2` lead to each other only; nothing leads to `lost`, `ghost` and `H` from A."""


def run(*arguments):
    """Return the result of `tm2tf graph` with these arguments."""
    return CliRunner().invoke(group, ["graph", *map(str, arguments)])


# --- what the graph says --------------------------------------------------------------------------


def test_marks_of_a_machine_made_by_hand():
    found = states.analyse(TRAPPED)
    assert found.unreachable == ("lost", "H", "ghost")
    assert found.dead == ("trap", "trap2")
    assert found.components == (("trap", "trap2"),)
    assert found.looping == ("trap", "ghost")
    assert found.undefined == {"ghost": 1}
    assert not found.never_ends(TRAPPED)


def test_a_state_that_lacks_a_rule_is_not_dead():
    around = ["A _ 1 R B", "A 1 1 R B", "B _ 1 R A"]
    assert states.analyse(machine_of(around, "AB")).dead == ()
    dead = states.analyse(machine_of([*around, "B 1 1 L B"], "AB"))
    assert dead.dead == ("A", "B")
    assert dead.never_ends(machine_of([*around, "B 1 1 L B"], "AB"))
    assert dead.components == (("A", "B"),)


def test_a_machine_without_rules():
    machine = machine_of([], ["A"], undefined="reject")
    found = states.analyse(machine)
    assert (found.unreachable, found.dead, found.components) == ((), (), ())
    assert found.undefined == {"A": 2}
    assert states.outcome_of_undefined(machine) == "rejected"
    assert list(states.undefined_reads(machine, "A")) == [("_",), ("1",)]


def test_bundled_machines():
    # The champion of four states goes round through all that it has until it halts in Z.
    bb4 = states.analyse(api.load("bb4"))
    assert bb4.components == (("A", "B", "C", "D"),)
    assert (bb4.unreachable, bb4.dead, bb4.undefined) == ((), (), {})
    counter = api.load("counter")
    assert states.analyse(counter).never_ends(counter)


def reached(machine, sources, backwards=False):
    """Return the states that a path leads to from some, or from which one leads there."""
    pairs = [(state, to.state) for (state, _), to in machine.transitions.items()]
    if backwards:
        pairs = [(to, state) for state, to in pairs]
    seen, left = set(sources), deque(sources)
    while left:
        here = left.popleft()
        for source, target in pairs:
            if source == here and target not in seen:
                seen.add(target)
                left.append(target)
    return seen


@given(machines(tapes=(1, 2), states=(1, 7)))
@settings(max_examples=100)
def test_marks_of_random_machines(machine):
    found = states.analyse(machine)
    assert set(found.unreachable) == set(machine.states) - reached(machine, [machine.start])
    every = list(product(machine.symbols, repeat=machine.tapes))
    ending = [
        state
        for state in machine.states
        if machine.outcome_of(state) or any((state, r) not in machine.transitions for r in every)
    ]
    assert set(found.dead) == set(machine.states) - reached(machine, ending, backwards=True)
    together = {
        (a, b)
        for a in machine.states
        for b in reached(machine, [a])
        if a != b and a in reached(machine, [b])
    }
    assert together == {(a, b) for part in found.components for a in part for b in part if a != b}
    for state, count in found.undefined.items():
        assert len(list(states.undefined_reads(machine, state))) == count


@given(st.data())
@settings(max_examples=60)
def test_no_run_contradicts_the_marks(data):
    machine = data.draw(machines(tapes=(1, 2)))
    found = states.analyse(machine)
    now = data.draw(configurations(machine))
    seen, ended = [now.state], False
    for _ in range(60):
        after = simulator.step(machine, now)
        if after is None:
            ended = True
            break
        now = after
        seen.append(now.state)
    assert not set(seen) & set(found.unreachable)
    assert not (ended and set(seen) & set(found.dead))


@given(machines(tapes=(1, 3), words=ODD))
@settings(max_examples=50)
def test_the_graph_is_the_machine(machine):
    graph = states.graph(machine)
    assert list(graph) == list(machine.states)
    assert [state for state, start in graph.nodes(data="start") if start] == [machine.start]
    assert {
        (state, reads): Transition(to, about["writes"], about["moves"])
        for state, to, reads, about in graph.edges(keys=True, data=True)
    } == dict(machine.transitions)
    drawn = [rule for arrow in states.arrows(machine) for rule in arrow.rules]
    assert {(rule.state, rule.reads): rule.to for rule in drawn} == dict(machine.transitions)
    assert len(drawn) == len(machine.transitions)


def test_labels_have_a_line_a_rule_and_are_cut():
    machine = api.load("palindrome-2tape")
    copy = next(a for a in states.arrows(machine) if (a.source, a.target) == ("copy", "copy"))
    assert states.rule_lines(copy.rules, 8) == ["0,_ → 0,0, R,R", "1,_ → 1,1, R,R"]
    rewind = next(a for a in states.arrows(machine) if (a.source, a.target) == ("rewind",) * 2)
    assert states.rule_lines(rewind.rules, 3)[1:] == ["0,0 → 0,0, L,S", "+ 4 more"]
    assert states.rule_lines(rewind.rules, 1) == ["6 rules"]
    assert states.rule_lines(rewind.rules, 0) == []
    assert states.undefined_lines(machine, "copy", 6, 3) == ["_,0", "_,1", "+ 4 more"]
    assert states.undefined_lines(machine, "copy", 6, 1) == ["6"]
    assert states.visible("a b") == "a␣b"


# --- the command ----------------------------------------------------------------------------------


def test_the_summary():
    lines = run("bb4").stdout.splitlines()
    assert "strongly connected  A, B, C, D" in lines
    assert "dead                none" in lines
    assert "A      B   0 → 1, R" in lines
    assert lines[-1] == "Z          (halts)"
    assert run("bb4", "--to", "text").stdout.splitlines() == lines
    said = run("counter").stdout
    assert "no run ever ends, whatever the tape holds" in said


def test_the_json_has_every_rule(tmp_path):
    machine = api.load("palindrome-2tape")
    found = json.loads(run("palindrome-2tape", "--json").stdout)
    assert found == json.loads(run("palindrome-2tape", "--to", "json").stdout)
    assert len(found["transitions"]) == len(machine.transitions)
    assert found["transitions"][0] == {
        "from": "copy", "to": "copy", "reads": ["0", "_"], "writes": ["0", "0"], "moves": ["R", "R"]
    }  # fmt: skip
    assert found["states"][3] == {
        "number": 3, "name": "yes", "outcome": "accepted", "reachable": True, "dead": False,
        "loop": False, "component": None, "undefined": 0,
    }  # fmt: skip
    assert report.states_json(states.view(TRAPPED))["dead"] == ["trap", "trap2"]
    path = tmp_path / "p.dot"
    result = run("palindrome-2tape", "--json", "-o", path)
    assert json.loads(result.stdout) == found | {"output": str(path)}
    assert path.read_text(encoding="utf-8").startswith("digraph")


def test_programs_as_text_and_json():
    lines = run("bb2", "--program").stdout.splitlines()
    assert lines[0] == "program  bb2 by trace"
    assert any(line.split() == ["1", "attention", "latest", "query", "tape0.head", "tape0.read"]
               for line in lines)  # fmt: skip
    found = json.loads(run("bb2", "--program", "--construction", "looped", "--json").stdout)
    assert (found["machine"], found["construction"]) == ("bb2", "looped")
    loops = {(e["from"], e["to"]) for e in found["edges"] if "loop" in e["roles"]}
    assert loops == {
        ("feature next.state", "feature state"),
        ("feature next.tape0.symbol", "feature tape0.symbol"),
        ("feature next.tape0.here", "feature tape0.here"),
    }


def test_the_form_follows_the_suffix(tmp_path):
    for name, begin in (("a.dot", "digraph"), ("a.GV", "digraph"), ("a.mmd", "flowchart LR"),
                        ("a.mermaid", "flowchart LR")):  # fmt: skip
        result = run("bb2", "-o", tmp_path / name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"wrote {tmp_path / name}\n"
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begin)
        assert run("bb2", "--program", "-o", tmp_path / name).exit_code == 0
    assert run("bb2", "--to", "dot").stdout == (
        (run("bb2", "-o", tmp_path / "b.dot"), tmp_path / "b.dot")[1].read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bb2", "-o", "a.jpg"], "known: .svg, .png, .dot"),
        (["bb2", "-o", "a.svgg"], "did you mean '.svg'?"),
        (["bb2", "-o", "picture"], "a name without a suffix"),
        (["bb2", "-o", "missing/a.dot"], "there is no folder missing"),
        (["bb2", "--to", "pdf"], "'pdf' is not one of"),
        (["bb2", "--to", "dot", "-o", "a.dot"], "leave out --to"),
        (["bb2", "--construction", "queue"], "--construction goes with --program"),
        (["bb2", "--tape", "64"], "--tape goes with --program"),
        (["bb2", "--program", "--undefined"], "--undefined is for the graph of states"),
        (["bb2", "--program", "--lines", "0"], "--lines is for the graph of states"),
        (["bb2", "--lines", "-1"], "not in the range"),
        (["bb99"], "no bundled machine is called 'bb99'"),
    ],
)
def test_what_cannot_be_drawn(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_it_goes_is_asked_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)  # drawing would fail otherwise
    for more in ([], ["--program"]):
        result = run("bb2", "-o", tmp_path / "missing" / "a.svg", *more)
        assert result.exit_code == 2
        assert f"there is no folder {tmp_path / 'missing'}; make it first" in result.stderr


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "taken.dot").mkdir()
    result = run("bb2", "-o", tmp_path / "taken.dot")
    assert result.exit_code == 2
    assert "is a directory" in result.stderr
