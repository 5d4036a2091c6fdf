"""A folder of pages, one a machine, with an index: it can be put on any static host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tm2tf.compiler import compile_machine
from tm2tf.machine.spec import Machine
from tm2tf.page.build import asset, build, template
from tm2tf.page.thumbnail import thumbnail

INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Listed:
    """A machine in the index: the topic that it stands under, and the machine."""

    topic: str
    machine: Machine


def site(
    machines: Sequence[Listed], on_done: Callable[[int], None] | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield the files of a library as names and texts: a page for each machine, last the index.

    `on_done` is told how many machines are done.

    Raises:
        ExtraError: a package of the extra `draw` is not installed.
    """
    cards = []
    for done, (topic, machine) in enumerate(((it.topic, it.machine) for it in machines), start=1):
        compiled = compile_machine(machine)
        page = Path(f"{machine.name}.html")
        yield page, build(compiled, index=INDEX)
        cards.append(
            {
                "topic": topic.replace("-", " "),
                "name": machine.name,
                "href": page.name,
                "about": machine.description,
                "facts": _facts(machine, compiled.weights.nonzeros),
                "picture": thumbnail(machine),
            }
        )
        if on_done is not None:
            on_done(done)
    topics = dict.fromkeys(card["topic"] for card in cards)
    listed = [(topic, [card for card in cards if card["topic"] == topic]) for topic in topics]
    index = template("index.html").render(topics=listed, count=len(cards), css=asset("page.css"))
    yield Path(INDEX), index


def _facts(machine: Machine, nonzeros: int) -> str:
    tapes = "" if machine.tapes == 1 else f"{machine.tapes} tapes, "
    rules = len(machine.transitions)
    return f"{tapes}{len(machine.states)} states, {rules:,} rules, {nonzeros:,} weights not 0"
