"""A machine's states as a graph, and what the graph alone says about them.

Nodes are states, edges are transitions. A path in the graph need not be a run of the machine, since
what the tape holds may rule it out; but every run is a path. So what cannot be reached in the graph
is never reached by a run, whatever the input, and the converse is not said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING

import networkx as nx

from tm2tf.machine.spec import UNDEFINED_OUTCOME, Machine, Outcome, Reads, Transition

if TYPE_CHECKING:
    from collections.abc import Sequence

_END = -1
"""Stands for the end of a run in a graph whose other nodes are the numbers of states."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One transition, with the state it leaves."""

    state: str
    reads: Reads
    to: Transition


@dataclass(frozen=True, slots=True)
class Arrow:
    """All rules that lead from one state to another, which are drawn as one edge."""

    source: str
    target: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the graph says of the states; all in the machine's order.

    Attributes:
        unreachable: no path leads there from the start state, so no run ever enters them.
        dead: no path leads from there to the end of a run, that is to a halting state or to a
            state that lacks a rule for some reads. A run that enters one of them never ends. A
            state that is not listed may be without an end too: the graph does not know the tape.
        components: strongly connected components of several states, each of which has a path to
            each other; a run that leaves one does not come back.
        looping: states with a transition to themselves.
        undefined: for each state that lacks rules, for how many reads it does.
    """

    unreachable: tuple[str, ...]
    dead: tuple[str, ...]
    components: tuple[tuple[str, ...], ...]
    looping: tuple[str, ...]
    undefined: dict[str, int]

    def never_ends(self, machine: Machine) -> bool:
        """Return whether the graph alone shows that no run from the start state ever ends."""
        return machine.start in self.dead


def graph(machine: Machine) -> nx.MultiDiGraph[str]:
    """Return the graph: a node a state, an edge a transition, whose key is what it reads.

    Nodes have `number` (in the machine's order), `start` (bool) and `outcome` (of the runs that end
    there, or None). Edges have `reads`, `writes` and `moves`, tuples of one a tape.
    """
    found: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=machine.name)
    for number, state in enumerate(machine.states):
        found.add_node(
            state,
            number=number,
            start=state == machine.start,
            outcome=machine.outcome_of(state),
        )
    for (state, reads), to in machine.transitions.items():
        found.add_edge(state, to.state, key=reads, reads=reads, writes=to.writes, moves=to.moves)
    return found


def analyse(machine: Machine) -> Analysis:
    """Return what the graph of a machine says of its states."""
    numbers = {state: i for i, state in enumerate(machine.states)}
    edges: nx.DiGraph[int] = nx.DiGraph()
    edges.add_nodes_from(numbers.values())
    edges.add_edges_from(
        (numbers[state], numbers[to.state]) for (state, _), to in machine.transitions.items()
    )
    parts = [sorted(part) for part in nx.strongly_connected_components(edges) if len(part) > 1]
    looping = [i for i in numbers.values() if edges.has_edge(i, i)]
    lacking = undefined_counts(machine)
    edges.add_edges_from(
        (i, _END)
        for state, i in numbers.items()
        if state in lacking or machine.outcome_of(state) is not None
    )
    start = numbers[machine.start]
    reached = {start, *nx.descendants(edges, start)}
    ending = nx.ancestors(edges, _END) if _END in edges else set()

    def named(chosen: Iterable[int]) -> tuple[str, ...]:
        return tuple(machine.states[i] for i in chosen)

    return Analysis(
        named(i for i in numbers.values() if i not in reached),
        named(i for i in numbers.values() if i not in ending),
        tuple(named(part) for part in sorted(parts)),
        named(looping),
        lacking,
    )


def undefined_counts(machine: Machine) -> dict[str, int]:
    """Return for how many reads each state that does not halt lacks a rule, where it lacks any."""
    has = dict.fromkeys(machine.states, 0)
    for state, _ in machine.transitions:
        has[state] += 1
    every = len(machine.symbols) ** machine.tapes
    return {
        state: every - count
        for state, count in has.items()
        if count < every and machine.outcome_of(state) is None
    }


def undefined_reads(machine: Machine, state: str) -> Iterator[Reads]:
    """Yield the reads for which a state has no rule, in the alphabet's order."""
    for reads in product(machine.symbols, repeat=machine.tapes):
        if (state, reads) not in machine.transitions:
            yield reads


def arrows(machine: Machine) -> list[Arrow]:
    """Return the rules by the two states they join, both in the machine's order.

    The rules of an arrow stand in the order of what they read.
    """
    states = {state: i for i, state in enumerate(machine.states)}
    symbols = {symbol: i for i, symbol in enumerate(machine.symbols)}
    between: dict[tuple[int, int], list[Rule]] = {}
    for (state, reads), to in machine.transitions.items():
        between.setdefault((states[state], states[to.state]), []).append(Rule(state, reads, to))
    return [
        Arrow(
            machine.states[i],
            machine.states[j],
            tuple(sorted(rules, key=lambda rule: [symbols[symbol] for symbol in rule.reads])),
        )
        for (i, j), rules in sorted(between.items())
    ]


def outcome_of_undefined(machine: Machine) -> Outcome:
    """Return how a run ends that meets reads without a rule."""
    return UNDEFINED_OUTCOME[machine.undefined]


# --- words ----------------------------------------------------------------------------------------


def visible(word: str) -> str:
    """Return a word of a machine such that it can be seen: blanks become open boxes."""
    return word.replace(" ", "␣")


def listed(words: Sequence[str]) -> str:
    """Return symbols or moves, one a tape, with commas between them."""
    return ",".join(map(visible, words))


def rule_text(rule: Rule) -> str:
    """Return a rule as an edge has it: what is read, what is written, how the heads move."""
    return f"{listed(rule.reads)} → {listed(rule.to.writes)}, {listed(rule.to.moves)}"


def rule_lines(rules: Sequence[Rule], most: int) -> list[str]:
    """Return a line a rule, `most` lines in all; the last then says how many rules are not shown.

    With `most` = 1 and more rules than that, the line says how many there are; with 0 there is
    none.
    """
    if most <= 0:
        return []
    if len(rules) <= most:
        return [rule_text(rule) for rule in rules]
    if most == 1:
        return [f"{len(rules)} rules"]
    shown = [rule_text(rule) for rule in rules[: most - 1]]
    return [*shown, f"+ {len(rules) - len(shown)} more"]


def undefined_lines(machine: Machine, state: str, count: int, most: int) -> list[str]:
    """Return the reads for which a state has no rule, a line each, `most` lines in all."""
    if most <= 0:
        return []
    shown = count if count <= most else most - 1
    lines = [listed(reads) for reads in islice(undefined_reads(machine, state), shown)]
    return lines if shown == count else [*lines, f"+ {count - shown} more" if shown else f"{count}"]


FEW, MANY, CROWDED = 40, 160, 400
"""Up to `FEW` rules, all of an edge are written out as far as there is room; beyond, fewer, and
nothing at more than `CROWDED` edges, where no label could be read."""


def lines_for(machine: Machine, edges: int) -> int:
    """Return how many lines a label has at most where nobody says: fewer, the more there is."""
    count = len(machine.transitions)
    return 0 if edges > CROWDED else 8 if count <= FEW else 4 if count <= MANY else 2


VERBS = {"accepted": "accepts", "rejected": "rejects", "halted": "halts"}
"""What is written in a state that ends a run."""

TOLD = 12
"""Reads without a rule that a state's tooltip lists."""


@dataclass(frozen=True, slots=True)
class View:
    """A machine's graph as it shall be shown.

    Attributes:
        machine: the machine.
        analysis: what its graph says.
        arrows: its rules, by the states they join.
        lines: how many lines a label has at most.
        undefined: whether reads without a rule are edges, and not a note under a state's name.
        numbers: each state's number, in the machine's order.
    """

    machine: Machine
    analysis: Analysis
    arrows: tuple[Arrow, ...]
    lines: int
    undefined: bool
    numbers: dict[str, int]

    def kinds(self, state: str) -> list[str]:
        """Return the classes of a state: start, its outcome, unreachable, dead, as it is."""
        found = ["start"] if state == self.machine.start else []
        if outcome := self.machine.outcome_of(state):
            found.append(outcome)
        if state in self.analysis.unreachable:
            found.append("unreachable")
        if state in self.analysis.dead:
            found.append("dead")
        return found

    def notes(self, state: str) -> list[str]:
        """Return what is written under a state's name, a line each."""
        kinds = self.kinds(state)
        found = [VERBS[kind] for kind in kinds if kind in VERBS]
        found += [kind for kind in ("unreachable", "dead") if kind in kinds]
        if state in self.analysis.undefined and not self.undefined:
            found.append(f"{self.analysis.undefined[state]} undefined")
        return found

    def title(self, state: str) -> str:
        """Return what a state's tooltip says."""
        said = [f"state {visible(state)}"]
        if state == self.machine.start:
            said.append("the start state")
        if outcome := self.machine.outcome_of(state):
            said.append(f"a run that enters it has {outcome}")
        if state in self.analysis.unreachable:
            said.append("unreachable: no path from the start state leads here")
        if state in self.analysis.dead:
            said.append("dead: no path from here leads to the end of a run")
        if count := self.analysis.undefined.get(state):
            reads = "; ".join(undefined_lines(self.machine, state, count, TOLD))
            said.append(f"no rule for {reads}: there {ends(self.machine)}")
        return "\n".join(said)

    def label(self, arrow: Arrow) -> list[str]:
        """Return what is written at an arrow, a line each."""
        return rule_lines(arrow.rules, self.lines)

    def undefined_label(self, state: str) -> list[str]:
        """Return the reads for which a state has no rule, a line each."""
        count = self.analysis.undefined[state]
        return undefined_lines(self.machine, state, count, self.lines)


def view(machine: Machine, *, lines: int | None = None, undefined: bool = False) -> View:
    """Return a machine's graph as it shall be shown; `lines` None: what goes well with its size."""
    joined = tuple(arrows(machine))
    return View(
        machine,
        analyse(machine),
        joined,
        lines_for(machine, len(joined)) if lines is None else lines,
        undefined,
        {state: i for i, state in enumerate(machine.states)},
    )


def ends(machine: Machine) -> str:
    """Return how a run ends that meets reads without a rule."""
    return f"a run {VERBS[outcome_of_undefined(machine)]}"
