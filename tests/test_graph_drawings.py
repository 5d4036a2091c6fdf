"""Graphs as SVG, PNG, DOT and Mermaid: everything is there, by its documented id, and legible."""

import builtins
import json
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from tests.strategies import ODD, machines
from tests.test_graph import TRAPPED
from tm2tf import api
from tm2tf.cli import group
from tm2tf.errors import InputError
from tm2tf.machine import library
from tm2tf.machine.spec import Machine, Transition
from tm2tf.pictures.graphs import dot, flow, mermaid, states
from tm2tf.pictures.graphs.flow_svg import program_svg
from tm2tf.pictures.graphs.state_svg import state_svg
from tm2tf.pictures.graphs.svg import width_of
from tm2tf.program.operations import reads, writes

BUNDLED = [entry.name for entry in library.entries()]
CONSTRUCTIONS = [
    "trace", "universal", "empirical", "addressed", "summarised", "summarised-addressed", "queue",
    "scratchpad", "looped", "looped-neighbours",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
DRAWS = "pip install 'tm2tf[draw]'"


def by_id(svg):
    """Return the elements of a drawing that have ids, all of which are distinct."""
    found = [element for element in ET.fromstring(svg).iter() if element.get("id")]
    assert len({element.get("id") for element in found}) == len(found)
    return {element.get("id"): element for element in found}


def title(element):
    """Return an element's tooltip."""
    return element.find(f"{SVG}title").text


def words(element):
    """Return the lines of text in an element."""
    return [line.text for line in element.iter(f"{SVG}tspan")]


def program(construction):
    """Return the program of bb2 in a construction."""
    return api.compile("bb2", construction).compiled.program


# --- states as SVG --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_machine_draws(name):
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    machine = api.load(name)
    number = {state: i for i, state in enumerate(machine.states)}
    svg = state_svg(machine)
    assert svg.startswith("<svg ")
    found = by_id(svg)
    edges = {(number[s], number[to.state]) for (s, _), to in machine.transitions.items()}
    assert {i for i in found if i.startswith("edge-")} == {f"edge-{i}-{j}" for i, j in edges}
    assert {i for i in found if i.startswith("state-")} == {f"state-{i}" for i in number.values()}
    for state, i in number.items():
        assert states.visible(state) in words(found[f"state-{i}"])
    told = sum(len(title(found[f"edge-{i}-{j}"]).splitlines()) - 1 for i, j in edges)
    assert told == len(machine.transitions)


@given(machines(tapes=(1, 2), states=(2, 5), words=ODD))
@settings(max_examples=40, deadline=None)
def test_any_words_are_drawn_as_they_are(machine):
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    found = by_id(state_svg(machine, lines=99))
    for i, state in enumerate(machine.states):
        assert words(found[f"state-{i}"])[0] == states.visible(state)
    for arrow in states.arrows(machine):
        i, j = machine.states.index(arrow.source), machine.states.index(arrow.target)
        assert words(found[f"edge-{i}-{j}"]) == [states.rule_text(r) for r in arrow.rules]


def test_marks_and_legend():
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    found = by_id(state_svg(TRAPPED))
    assert found["state-0"].get("class") == "state start"
    assert found["state-3"].get("class") == "state dead"
    assert found["state-5"].get("class") == "state accepted"
    assert found["state-7"].get("class") == "state halted unreachable"
    assert words(found["state-7"]) == ["H", "halts", "unreachable"]
    assert words(found["state-8"]) == ["ghost", "unreachable", "1 undefined"]
    assert title(found["component-0"]).endswith("trap, trap2 reach each other")
    assert len(words(found["legend"])) == 4
    shapes = [f"{SVG}{shape}" for shape in ("ellipse", "ellipse", "polygon", "rect")]
    for state, shape in zip((0, 5, 6, 7), shapes, strict=True):
        assert len(found[f"state-{state}"].findall(shape)) == (1 if state == 0 else 2)
    assert "legend" not in by_id(state_svg(TRAPPED, legend=False))
    assert "legend" not in by_id(state_svg(api.load("binary-increment")))


def test_reads_without_a_rule_as_edges():
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    found = by_id(state_svg(TRAPPED, undefined=True))
    assert words(found["undefined"]) == ["undefined:", "halt"]
    assert words(found["edge-8-undefined"]) == ["1"]
    assert words(found["state-8"]) == ["ghost", "unreachable"]


def test_the_drawing_fits_into_a_page():
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    svg = state_svg(api.load("bb4"), prefix="one-")
    assert {ident.split("-")[0] for ident in by_id(svg)} == {"one"}
    root = ET.fromstring(svg)
    assert root.get("viewBox")
    assert root.get("width") is None
    assert "style" not in svg
    assert "currentColor" in svg
    assert svg == state_svg(api.load("bb4"), prefix="one-")


def boxes(svg):
    """Yield left, top, right and bottom of each label and each state's text, and the whole's."""
    root = ET.fromstring(svg)
    yield tuple(map(float, root.get("viewBox").split()))
    for text in root.iter(f"{SVG}text"):
        if text.get("class") not in ("label", "name"):
            continue
        size = float(text.get("font-size"))
        for line in text:
            half = width_of(line.text, size) / 2
            x, y = float(line.get("x")), float(line.get("y"))
            yield (x - half, y - size * 0.75, x + half, y)


@pytest.mark.parametrize("name", BUNDLED)
def test_labels_neither_overlap_nor_are_cut_off(name):
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    whole, *found = boxes(state_svg(api.load(name)))
    for left, top, right, bottom in found:
        assert left >= 0
        assert top >= 0
        assert right <= whole[2]
        assert bottom <= whole[3]
    for i, (a, b, c, d) in enumerate(found):
        for e, f, g, h in found[:i]:
            assert c <= e + 1 or g <= a + 1 or d <= f + 1 or h <= b + 1


def ring(size):
    """Return a machine whose states lead to others in turn, by two rules each."""
    names = [f"q{i}" for i in range(size)]
    rules = [
        (state, read, names[(i + step) % size])
        for i, state in enumerate(names)
        for read, step in (("0", 1), ("1", 3))
    ]
    return Machine(
        "ring", ("0", "1"), "0", tuple(names), "q0",
        {(state, (read,)): Transition(to, ("1",), ("R",)) for state, read, to in rules},
    )  # fmt: skip


def test_large_machines_are_drawn_with_less_and_huge_ones_not_at_all():
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    found = by_id(state_svg(ring(210)))
    assert sum(ident.startswith("edge-") for ident in found) == 420
    assert words(found["edge-0-1"]) == []
    assert title(found["edge-0-1"]) == "q0 to q1\n0 → 1, R"
    assert "component-0" not in found
    with pytest.raises(InputError, match=r"1,502 pairs of states .* --to dot, mermaid, text"):
        state_svg(ring(751))
    assert dot.states_dot(states.view(ring(751))).count("->") == 1503


# --- programs as SVG ------------------------------------------------------------------------------


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_every_construction_draws(construction):
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    made = program(construction)
    found = by_id(program_svg(flow.flow(made)))
    lines = 0
    sides = []
    for number, layer in enumerate(made.layers):
        for i, operation in enumerate((*layer.attention, *layer.feed_forward)):
            box = found[f"op-{number}-{i}"]
            kind = "attention" if i < len(layer.attention) else "feed-forward"
            assert box.get("class") == f"op {kind}"
            assert {*reads(operation), *writes(operation)} <= set(words(box))
            lines += len(reads(operation))
        frame = found[f"layer-{number}"].find(f"{SVG}rect")
        left = float(frame.get("x"))
        sides += [left, left + float(frame.get("width"))]
    assert all(a < b for a, b in pairwise(sides))  # layers stand beside each other, in order
    assert sum(ident.startswith("input-") for ident in found) == lines
    assert set(made.unembed.features) <= set(words(found["unembedding"]))
    assert ("next-pass" in found) == bool(made.loop)


def test_roles_of_what_flows():
    graph = flow.graph(flow.flow(program("trace")))
    assert graph.edges["feature tape0.head", "op 1.0"]["roles"] == ["query"]
    assert graph.edges["feature tape0.address", "op 1.0"]["roles"] == ["key"]
    assert graph.edges["feature tape0.write", "op 1.0"]["roles"] == ["value"]
    assert graph.edges["feature tape0.writes", "op 1.0"]["roles"] == ["where"]
    assert graph.edges["feature next.state", "unembedding"]["roles"] == ["input"]
    assert graph.nodes["op 1.1"]["part"] == "feed-forward"
    assert graph.nodes["op 1.1"]["label"] == "table transitions"
    assert list(graph.successors("op 1.0")) == ["feature tape0.read"]
    assert "feature position" not in graph
    assert "feature position" in flow.graph(flow.flow(program("scratchpad")))


# --- files ----------------------------------------------------------------------------------------


def test_svg_and_png_files(tmp_path):
    pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    pytest.importorskip("resvg_py", reason="the extra draw is not installed")
    for name in ("a.svg", "a.png"):
        for more in ([], ["--program"]):
            path = str(tmp_path / name)
            result = CliRunner().invoke(group, ["graph", "bb2", *more, "-o", path])
            assert result.exit_code == 0, result.stderr
    ET.parse(tmp_path / "a.svg")
    png = (tmp_path / "a.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = ET.parse(tmp_path / "a.svg").getroot().get("viewBox").split()
    assert int.from_bytes(png[16:20]) == pytest.approx(2 * float(drawn[2]), abs=2)
    printed = CliRunner().invoke(group, ["graph", "bb2", "--to", "svg"])
    assert printed.stdout.startswith("<svg ")


@pytest.mark.parametrize(
    ("name", "package"), [("a.svg", "pygraphviz"), ("a.png", "pygraphviz"), ("a.png", "resvg_py")]
)
def test_without_the_extra(name, package, tmp_path, monkeypatch):
    if package != "pygraphviz":
        pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    real = builtins.__import__

    def lacking(wanted, *others, **more):
        if wanted.split(".")[0] == package:
            raise ImportError(wanted)
        return real(wanted, *others, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    result = CliRunner().invoke(group, ["graph", "bb2", "-o", str(tmp_path / name)])
    assert result.exit_code == 2
    assert DRAWS in result.stderr
    for arguments in (["--to", "dot"], ["--to", "mermaid"], [], ["--program", "--to", "dot"]):
        assert CliRunner().invoke(group, ["graph", "bb2", *arguments]).exit_code == 0


# --- DOT ------------------------------------------------------------------------------------------


@given(machines(tapes=(1, 2), states=(2, 5), words=ODD))
@settings(max_examples=30, deadline=None)
def test_graphviz_reads_the_dot_and_shows_its_words(machine):
    pygraphviz = pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    shown = states.view(machine, lines=99)
    read = pygraphviz.AGraph(string=dot.states_dot(shown))
    assert {str(node) for node in read.nodes()} - {"start"} == {
        f"state{i}" for i in range(len(machine.states))
    }
    edges = {(f"state{shown.numbers[a.source]}", f"state{shown.numbers[a.target]}")
             for a in shown.arrows}  # fmt: skip
    assert set(read.edges()) - {("start", f"state{shown.numbers[machine.start]}")} == edges
    drawn = ET.fromstring(read.draw(format="svg", prog="dot"))
    texts = [text.text.strip() for text in drawn.iter(f"{SVG}text")]
    for state in machine.states:
        assert states.visible(state) in texts
    for arrow in shown.arrows:
        for line in shown.label(arrow):
            assert line in texts


def test_dot_of_programs_and_of_undefined_reads():
    pygraphviz = pytest.importorskip("pygraphviz", reason="the extra draw is not installed")
    for construction in CONSTRUCTIONS:
        graph = flow.graph(flow.flow(program(construction)))
        read = pygraphviz.AGraph(string=dot.flow_dot(graph))
        assert len(read.nodes()) == len(graph)
        assert len(read.edges()) == graph.number_of_edges()
        assert len(read.subgraphs()) == len(program(construction).layers)
    read = pygraphviz.AGraph(string=dot.states_dot(states.view(TRAPPED, undefined=True)))
    assert read.has_edge("state8", "undefined")


# --- Mermaid --------------------------------------------------------------------------------------

LABEL = r'"[A-Za-z0-9 ,:→␣↻#;<>/]*"'
LINES = [
    r"flowchart LR",
    r"  start\(\( \)\) --> state\d+",
    rf"  \w+(\(\(\(|\(\(|\(\[|\(|\{{\{{|\[\[|\[){LABEL}(\)\)\)|\)\)|\]\)|\)|\}}\}}|\]\]|\])",
    r"  class \w+ [a-z]+",
    rf"  subgraph \w+\[{LABEL}\]",
    r"    \w+",
    r"  end",
    rf"  \w+ (-->|-\.->)(\|{LABEL}\|)? \w+",
    r"  classDef [a-z]+ [a-z\-:#0-9 ,]+",
]
"""All lines that are written: a subset of what Mermaid documents."""


def shown_by_mermaid(label):
    """Return a label's lines as Mermaid shows them: character codes turned back."""
    turned = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label.replace("<br/>", "\n"))
    return turned.split("\n")


@given(machines(tapes=(1, 2), states=(2, 5), words=ODD))
@settings(max_examples=60)
def test_mermaid_of_any_words(machine):
    text = mermaid.states_mermaid(states.view(machine, lines=99, undefined=True))
    for line in text.splitlines():
        assert any(re.fullmatch(pattern, line) for pattern in LINES), line
    for i, state in enumerate(machine.states):
        label = re.search(rf'^  state{i}\W+?"(.*)"', text, re.MULTILINE)
        assert shown_by_mermaid(label[1])[0] == states.visible(state)
    for arrow in states.arrows(machine):
        i, j = machine.states.index(arrow.source), machine.states.index(arrow.target)
        label = re.search(rf'^  state{i} -->\|"(.*)"\| state{j}$', text, re.MULTILINE)
        assert shown_by_mermaid(label[1]) == [states.rule_text(rule) for rule in arrow.rules]


def test_mermaid_of_programs():
    for construction in CONSTRUCTIONS:
        graph = flow.graph(flow.flow(program(construction)))
        text = mermaid.flow_mermaid(graph)
        for line in text.splitlines():
            assert any(re.fullmatch(pattern, line) for pattern in LINES), line
        assert len(re.findall(r"-->|-\.->", text)) == graph.number_of_edges()


def test_the_json_of_a_program_is_its_graph():
    result = CliRunner().invoke(group, ["graph", "bb2", "--program", "--json"])
    found = json.loads(result.stdout)
    graph = flow.graph(flow.flow(program("trace")))
    assert [node["id"] for node in found["nodes"]] == list(graph)
    assert {(e["from"], e["to"]) for e in found["edges"]} == set(graph.edges)
