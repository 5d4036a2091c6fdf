"""Machines as tapes for the bundled machine `universal`, and its tapes back as results.

The file machines/universal/universal.yaml says what such a tape holds.
"""

from __future__ import annotations

from tm2tf.machine.spec import Machine, Tape

SIMULATED = ("b", "0", "1")


def encode(machine: Machine, word: str = "") -> str:
    """Return the tape on which `universal` runs a one-tape machine on `word`.

    The machine's blank becomes b; its other symbols can only be 0 and 1. An undefined
    transition becomes one that halts and changes nothing.
    """
    names = {"0": "0", "1": "1", machine.blank: "b"}
    originals = {name: symbol for symbol, name in names.items()}
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    number = {state: place for place, state in enumerate(running, start=1)}

    def entry(state: str, name: str) -> str:
        to = machine.transitions.get((state, (originals.get(name, ""),)))
        if to is None:
            return f",{name}S"
        return f",{names[to.writes[0]]}{to.moves[0]}" + "i" * number.get(to.state, 0)

    blocks = ["q"] + ["q" + "".join(entry(state, name) for name in SIMULATED) for state in running]
    current = number.get(machine.start, 0)
    blocks[current] = "Q" + blocks[current][1:]
    return "".join(blocks) + "#" + "".join(names[symbol] for symbol in machine.split(word))


def decode(tape: Tape) -> tuple[int, Tape]:
    """Return the number of the current state (0: halted) and the simulated tape, trimmed."""
    border = tape.contents.index("#")
    states = [symbol for symbol in tape.contents[:border] if symbol in ("q", "Q")]
    simulated = Tape(tape.contents[border + 1 :], 0, tape.head - tape.origin - border - 1)
    return states.index("Q"), simulated.trimmed("b")
