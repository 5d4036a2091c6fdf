"""A run of the simulator in the tokens of the addressed construction, and what each one recalls.

Written from the meaning of the tokens alone: neither the program nor any weights take part, so that
the known answers rest on two derivations that share no code (`suite` compares them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tm2tf.constructions.tokens import BEGIN, START, STUCK, escape, input_token
from tm2tf.errors import InputError
from tm2tf.kat.answers import Recall
from tm2tf.machine.simulator import Simulation, Step
from tm2tf.machine.spec import OFFSET, Configuration, Machine


@dataclass(frozen=True, slots=True)
class Spelled:
    """A run in tokens.

    Attributes:
        prompt: the tokens of the start.
        tokens: those of the run.
        recalls: for each token of the run, what has to be looked up to know it.
        over: whether the run is over with the last of them.
    """

    prompt: tuple[str, ...]
    tokens: tuple[str, ...]
    recalls: tuple[tuple[Recall, ...], ...]
    over: bool


def spell(machine: Machine, start: Configuration, cells: int, zero: int, count: int) -> Spelled:
    """Return the prompt of a start and up to `count` tokens of its run.

    Args:
        machine: any whose start state does not halt.
        start: a configuration that fits on the tape.
        cells: the cells of each tape.
        zero: the cell of address 0.
        count: tokens at most; the last step may be cut.

    Raises:
        InputError: the start state halts, so there is no run.
    """
    if machine.outcome_of(start.state) is not None:
        raise InputError(f"the run of {machine.name!r} is over before its first step")
    speller = _Speller(machine, cells, zero, start)
    tokens: list[str] = []
    recalls: list[tuple[Recall, ...]] = []
    for token, recalled in speller.run():
        if len(tokens) == count:
            return Spelled(tuple(speller.prompt), tuple(tokens), tuple(recalls), False)
        tokens.append(token)
        recalls.append(recalled)
    return Spelled(tuple(speller.prompt), tuple(tokens), tuple(recalls), True)


@dataclass
class _Speller:
    """A simulation, and at which position of the context each cell was last written.

    `written`: for each tape, by cell, position and symbol. `last`: the position of the last token.
    """

    machine: Machine
    cells: int
    zero: int
    start: Configuration
    prompt: list[str] = field(default_factory=list)
    written: list[dict[int, tuple[int, str]]] = field(default_factory=list)
    last: int = 0

    def __post_init__(self) -> None:
        machine, tapes = self.machine, self.start.tapes
        self.prompt.append(BEGIN)
        for t, tape in enumerate(tapes):
            self.written.append({})
            for i, symbol in enumerate(tape.contents):
                cell = self.zero + tape.origin + i
                self.written[t][cell] = (len(self.prompt), symbol)
                self.prompt.append(f"{input_token(machine, t, symbol)}@{cell}")
        heads = [self.zero + tape.head for tape in tapes]
        if machine.tapes == 1:
            self.prompt.append(f"{START[:-1]}@{heads[0]}>")
        else:
            self.prompt += [f"<head:{t}@{head}>" for t, head in enumerate(heads)]
            self.prompt.append(START)
        self.last = len(self.prompt) - 1

    def run(self) -> Iterator[tuple[str, tuple[Recall, ...]]]:
        """Yield each token of the run with what it recalls."""
        simulation = Simulation(self.machine, self.start)
        # where each tape's head was last said to be
        first = self.last - self.machine.tapes
        placed = [first + t for t in range(self.machine.tapes)]
        taken = self.last  # where the state was last said
        while True:
            heads = [self.zero + head for head in simulation.heads]
            recalls = tuple(self._recall(t, head) for t, head in enumerate(heads))
            if self.machine.tapes > 1:
                recalls = (*recalls, Recall("state", -1, -1, taken, ""))
            step = simulation.step()
            self.last += 1
            if step is None:
                yield (f"{STUCK[:-1]}@{heads[0]}>" if self.machine.tapes == 1 else STUCK), recalls
                return
            yield self._transition(step, heads), recalls
            if self.machine.tapes == 1:
                self.written[0][heads[0]] = (self.last, step.transition.writes[0])
                over = self._place(step, heads, 0) == "edge"
            elif simulation.outcome is None:
                taken = self.last
                over = False
                for t in range(self.machine.tapes):
                    self.last += 1
                    yield self._part(step, heads, t), self._known(taken, placed[t], t)
                    self.written[t][heads[t]] = (self.last, step.transition.writes[t])
                    placed[t] = self.last
                    if over := self._place(step, heads, t) == "edge":
                        break
            else:
                over = True
            if over or simulation.outcome is not None:
                return

    def _recall(self, t: int, cell: int) -> Recall:
        position, symbol = self.written[t].get(cell, (0, self.machine.blank))
        return Recall("cell", t, cell, position, symbol)

    def _known(self, taken: int, placed: int, t: int) -> tuple[Recall, ...]:
        """Return what the token of a tape recalls: the transition, and where the head is."""
        return (Recall("transition", t, -1, taken, ""), Recall("head", t, -1, placed, ""))

    def _transition(self, step: Step, heads: list[int]) -> str:
        to = step.transition
        acts = [escape(w) + m for w, m in zip(to.writes, to.moves, strict=True)]
        place = f"@{self._place(step, heads, 0)}" if self.machine.tapes == 1 else ""
        return f"{','.join(acts)}>{escape(to.state)}{place}"

    def _part(self, step: Step, heads: list[int], t: int) -> str:
        to = step.transition
        return f"tape{t}:{escape(to.writes[t])}{to.moves[t]}>{self._place(step, heads, t)}"

    def _place(self, step: Step, heads: list[int], t: int) -> str:
        after = heads[t] + OFFSET[step.transition.moves[t]]
        return str(after) if 0 <= after < self.cells else "edge"
