"""JFLAP machines as Python data: their XML, and how JFLAP 7 runs them, without flattening them.

Written for the tests of the format, from the rules in its documentation, and shares no code with
the importer: blocks are a stack, variables a dictionary, labels are looked at in every step.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape

BLANK = "\u25a1"


@dataclass
class Node:
    """A state; `inside` is the machine in it."""

    number: int
    name: str
    kind: str = "state"
    initial: bool = False
    final: bool = False
    inside: "Graph | None" = None


@dataclass
class Graph:
    """States by id, and rules: (from, to, one (read, write, move) a tape)."""

    nodes: list
    rules: list = field(default_factory=list)

    def at(self, number):
        return next(node for node in self.nodes if node.number == number)

    def out(self, number):
        found = [rule for rule in self.rules if rule[0] == number]
        late = [rule for rule in found if rule[2][0][0].startswith("!")]
        return [rule for rule in found if rule not in late] + late

    def begin(self):
        order = sorted(self.nodes, key=lambda node: (node.kind == "state", node.number))
        return [node for node in order if node.initial][-1]


def xml(graph, tapes=1):
    """Return the file of a machine; blocks stand in it as elements of their own."""
    parts = ["<structure><type>turing</type>"]
    if tapes > 1:
        parts.append(f"<tapes>{tapes}</tapes>")
    parts += ["<automaton>\n", *_content(graph, tapes, "B"), "</automaton></structure>\n"]
    return "".join(parts)


def _content(graph, tapes, tag):
    inner = []
    for node in graph.nodes:
        yield f'<{node.kind} id="{node.number}" name="{node.name}">'
        yield "<initial/>" * node.initial + "<final/>" * node.final
        if node.inside is not None:
            called = f"{tag}{node.number}"
            yield f"<tag>{called}</tag>"
            inner += [f"<{called}>", *_content(node.inside, tapes, called + "_"), f"</{called}>\n"]
        yield f"</{node.kind}>\n"
    for start, to, labels in graph.rules:
        yield f"<transition><from>{start}</from><to>{to}</to>"
        for tape, (read, write, move) in enumerate(labels, 1):
            at = f' tape="{tape}"'
            yield f"<read{at}>{read}</read><write{at}>{write}</write><move{at}>{move}</move>"
        yield "</transition>\n"
    yield from inner


def run(graph, words, limit=100):
    """Return the outcome, the steps, the state's name, and a (text, first address, head) a tape."""
    cells = [dict(enumerate(word)) for word in words]
    heads, values, steps = [0] * len(words), {}, 0
    stack = [(graph, graph.begin())]
    while True:
        outcome = None
        if len(stack) == 1 and stack[0][1].final:
            outcome = "accepted"
        elif steps == limit:
            outcome = "step-limit"
        else:
            seen = [row.get(head, BLANK) for row, head in zip(cells, heads, strict=True)]
            found = _next(stack, seen)
            if found is None:
                outcome = "rejected"
        if outcome:
            name = ".".join(node.name for _, node in stack)
            tapes = [_tape(row, head) for row, head in zip(cells, heads, strict=True)]
            return outcome, steps, name, tapes
        stack, labels = found
        if len(words) == 1 and "}" in labels[0][0]:
            values[labels[0][0].split("}")[1]] = seen[0]
        for tape, (_, write, move) in enumerate(labels):
            new = values.get(write, write) or BLANK
            cells[tape][heads[tape]] = seen[tape] if write == "~" else new
            heads[tape] += {"L": -1, "S": 0, "R": 1}[move]
        steps += 1


def _next(stack, seen):
    """Return the next stack and the labels of the rule that is taken, or None."""
    deep = list(stack)
    while deep[-1][1].inside is not None and deep[-1][1].inside.nodes:
        deep.append((deep[-1][1].inside, deep[-1][1].inside.begin()))
    while deep:
        graph, node = deep.pop()
        for _, to, labels in graph.out(node.number):
            pairs = zip(labels, seen, strict=True)
            if all(_matches(read, symbol, len(seen)) for (read, *_), symbol in pairs):
                return [*deep, (graph, graph.at(to))], labels
    return None


def _matches(read, symbol, tapes):
    read = read or BLANK
    if tapes == 1 and "}" in read:
        return symbol in read.split("}")[0].split(",")
    if tapes == 1 and read[0] == "!":
        return symbol != (read[1:2] or BLANK)
    return read[0] in ("~", symbol)


def _tape(row, head):
    held = [address for address, symbol in row.items() if symbol != BLANK]
    if not held:
        return "", 0, head
    text = "".join(row.get(a, BLANK) for a in range(min(held), max(held) + 1))
    return text, min(held), head


def ran(machine, *words, limit=1000):
    """Return the same as `run` of a machine here, by the reference simulator."""
    simulation = Simulation(machine, machine.initial([Tape(tuple(word)) for word in words]))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    tapes = [
        ("".join(tape.contents), tape.origin, tape.head)
        for tape in simulation.configuration().tapes
    ]
    return simulation.outcome or "step-limit", simulation.steps, simulation.state, tapes


READS = ["", "a", "b", "c", "~", "!", "!a", "!bc", BLANK, "a,b}v", "a,c}w", "b}v", "v"]
WRITES = ["", "a", "b", "c", "~", "v", "w", BLANK]


@st.composite
def graphs(draw, tapes=1, depth=2, most=4):
    """Return machines with every label there is, and blocks `depth` deep."""
    count = draw(st.integers(1, most))
    numbers = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count, unique=True))
    nodes = [
        Node(
            number,
            f"s{i}",
            draw(st.sampled_from(["state", "block"])),
            draw(st.booleans()),
            draw(st.sampled_from([False, False, True])),
            draw(st.none() | graphs(tapes, depth - 1, 2)) if depth else None,
        )
        for i, number in enumerate(numbers)
    ]
    nodes[0].initial = True
    label = st.tuples(st.sampled_from(READS), st.sampled_from(WRITES), st.sampled_from("LSRR"))
    rules = draw(
        st.lists(
            st.tuples(
                st.sampled_from(numbers),
                st.sampled_from(numbers),
                st.tuples(*[label] * tapes),
            ),
            max_size=4 * count,
        )
    )
    return Graph(nodes, rules)
