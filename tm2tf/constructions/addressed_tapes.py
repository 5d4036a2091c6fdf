"""The addressed construction for k > 1 tapes: k + 1 tokens a step.

First the transition, `1R,0S>B`, with role "step"; then one token a tape, `tape0:1R>6`, with role
"part": it writes at the head's address and has the head's address after the move (`edge` where
there is none). What a token must know of others comes by recency:

- layer 0: the state, the symbols to write and the moves from the latest transition token (one
  head); where each tape's head is from that tape's latest token (k heads).
- layer 1: what was last written there (k heads by words); the transition table.

`turn`, which each token embeds, says whether a transition or a tape comes next. The prompt ends in
a token a tape that places its head, `<head:0@128>`, and `<start>`, which has the state.

The state is read as `now.state`: `state` is what the transition's token embeds, and a step is
emitted after the last tape's. A tape's token that leaves the tape has outcome "tape-full"; if the
transition halts, the run is over before it. Either way the tokens of the tapes after it are
emitted rightly, so that the step can be finished.

Sizes stand in `addressed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tm2tf.constructions.addresses import (
    EDGES,
    TAPE_FULL,
    Act,
    Addresses,
    Values,
    cell_token,
    read,
    tape_features,
    written,
)
from tm2tf.constructions.tokens import BEGIN, START, STUCK, escape
from tm2tf.constructions.transitions import MOVES, asked, each, features, results, table, unembed
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, Latest, Number
from tm2tf.program.program import Layer, Program, Token, Unembed

TRANSITION = "transition"


def program(machine: Machine, addresses: Addresses) -> Program:
    """Return the program that writes the runs of a machine of several tapes."""
    tapes = range(machine.tapes)
    numbers: list[Number | Affine] = []
    for t in tapes:
        numbers += addresses.numbers(t, f"tape{t}.now", f"tape{t}.now.edge")
    reads = tuple(read(machine, addresses, t, f"tape{t}.now") for t in tapes)
    return Program(
        name=f"{machine.name} by addressed",
        features=(
            *_features(machine, addresses),
            *(Integer(number.out) for number in numbers),
        ),
        tokens=(
            *_prompt_tokens(machine, addresses),
            Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
            *(_step(machine, name, to) for name, to in results(machine).items()),
            *(_part(machine, addresses, t, act) for t, act in _acts(machine, addresses)),
        ),
        layers=(
            Layer(_recent(machine, addresses), tuple(numbers)),
            Layer(reads, (table(machine, "now.state"),)),
        ),
        unembed=_unembed(machine, addresses),
    )


def start_tokens(heads: Sequence[int]) -> list[str]:
    """Return the tokens that place the heads at addresses and begin a run."""
    return [*(_head_token(t, head) for t, head in enumerate(heads)), START]


def sizes(machine: Machine, addresses: Addresses) -> dict[str, int]:
    """Return layers, heads, d_model, d_mlp and vocab by the formulas of `addressed`."""
    k, q, m = machine.tapes, len(machine.states), len(machine.symbols)
    t, p = len(results(machine)), len(_parts(machine))
    return {
        "layers": 2,
        "heads": 2 * k + 1,
        "d_model": 3 * q + k * (4 * m + 3 * addresses.words + 17) + 4,
        "d_mlp": len(machine.transitions),
        "vocab": t + (p + k * m + k) * addresses.cells + 3,
    }


def nonzeros(machine: Machine, addresses: Addresses) -> int:
    """Return how many weights are not 0."""
    w, d, s = addresses.cells, addresses.digits, addresses.words
    k, q, m = machine.tapes, len(machine.states), len(machine.symbols)
    t, parts = len(results(machine)), _parts(machine)
    p, moving = len(parts), sum(move != "S" for _, _, move in parts)
    steps = sum(2 * k + 3 + k - to.moves.count("S") for to in results(machine).values())
    # at one edge a word stands for the digits of the new address, if the head moves
    embedded = 4 + k * w * (m * (d + 2) + d + 1) + steps + p * w * (2 * d + 4) - moving * (d - 1)
    recent = 3 + 2 * (q + k * (m + 3)) + k * (3 + 2 * (s + 2))
    lookups = k * (2 * s + 2 * m + 4)
    rules = (3 * k + 4) * len(machine.transitions)
    return embedded + recent + lookups + rules + t * (2 * k + 3) + p * w * (d + 4) + 1


def _parts(machine: Machine) -> list[tuple[int, str, str]]:
    """Return each (tape, symbol written, move) of some transition."""
    found = [(to.writes, to.moves) for to in results(machine).values()]
    listed = ((t, w[t], m[t]) for t in range(machine.tapes) for w, m in found)
    return list(dict.fromkeys(listed))


def _acts(machine: Machine, addresses: Addresses) -> list[tuple[int, Act]]:
    """Return what a step may do on a tape, with the tape."""
    places = range(addresses.cells)
    return [(t, Act(symbol, move, a)) for t, symbol, move in _parts(machine) for a in places]


def _head_token(t: int, head: int) -> str:
    return f"<head:{t}@{head}>"


def _part_token(addresses: Addresses, t: int, act: Act) -> str:
    return f"tape{t}:{escape(act.symbol)}{act.move}>{act.place(addresses)}"


def _prompt_tokens(machine: Machine, addresses: Addresses) -> list[Token]:
    tokens = [Token(BEGIN, "begin", {})]
    for t in range(machine.tapes):
        placed: Values = {f"tape{t}.placed": 1}
        for a in range(addresses.cells):
            here = placed | addresses.values(f"tape{t}.at", a)
            tokens.append(Token(_head_token(t, a), "prompt", here))
        tokens += [
            Token(cell_token(machine, t, s, a), "prompt", written(addresses, t, s, a))
            for s in machine.symbols
            for a in range(addresses.cells)
        ]
    begin: Values = {"state": machine.start, "turn": TRANSITION, "is_transition": 1}
    return [*tokens, Token(START, "prompt", begin, machine.outcome_of(machine.start))]


def _step(machine: Machine, name: str, to: Transition) -> Token:
    values: Values = {"state": to.state, "turn": "tape0", "is_transition": 1}
    for t in range(machine.tapes):
        values[f"tape{t}.write"] = to.writes[t]
        values[f"tape{t}.way"] = to.moves[t]
        values[f"tape{t}.move"] = OFFSET[to.moves[t]]
    return Token(name, "step", values, machine.outcome_of(to.state))


def _part(machine: Machine, addresses: Addresses, t: int, act: Act) -> Token:
    turn = f"tape{t + 1}" if t + 1 < machine.tapes else TRANSITION
    values: Values = {"turn": turn, f"tape{t}.placed": 1, **act.values(addresses, t)}
    outcome = TAPE_FULL if act.leaves(addresses) else None
    return Token(_part_token(addresses, t, act), "part", values, outcome)


def _recent(machine: Machine, addresses: Addresses) -> tuple[Latest, ...]:
    """Return the heads that bring the latest transition and where each tape's head is."""
    done = ("state", *each(machine, "tape{}.write"), *each(machine, "tape{}.way"))
    transition = Latest(tuple(f"now.{name}" for name in done), done, where="is_transition")
    places = (
        Latest(
            outs=(*addresses.names(f"tape{t}.now"), f"tape{t}.now.edge"),
            values=(*addresses.names(f"tape{t}.at"), f"tape{t}.edge"),
            where=f"tape{t}.placed",
        )
        for t in range(machine.tapes)
    )
    return (transition, *places)


def _unembed(machine: Machine, addresses: Addresses) -> Unembed:
    """Return which token comes next: by turn, and by what its kind must agree with."""
    rows = {
        name: {"turn": TRANSITION} | asked(machine, to) for name, to in results(machine).items()
    }
    for t, act in _acts(machine, addresses):
        done = {f"now.tape{t}.write": act.symbol, f"now.tape{t}.way": act.move}
        here = addresses.values(f"tape{t}.now", act.address)
        rows[_part_token(addresses, t, act)] = {"turn": f"tape{t}"} | done | here
    return unembed(rows)


def _features(machine: Machine, addresses: Addresses) -> tuple[Feature, ...]:
    listed: list[Feature] = [
        Integer(POSITION, low=1),
        Categorical("state", machine.states),
        Categorical("turn", (TRANSITION, *each(machine, "tape{}"))),
        Integer("is_transition", 0, 1),
        Categorical("now.state", machine.states),
    ]
    for t in range(machine.tapes):
        listed += [
            *tape_features(machine, addresses, t),
            Categorical(f"tape{t}.way", MOVES),
            Integer(f"tape{t}.placed", 0, 1),
            Categorical(f"now.tape{t}.write", machine.symbols),
            Categorical(f"now.tape{t}.way", MOVES),
            *addresses.features(f"tape{t}.now"),
            Categorical(f"tape{t}.now.edge", EDGES),
        ]
    return (*listed, *features(machine))
