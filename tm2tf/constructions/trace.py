"""The trace construction: a decoder writes the machine's run, one token a step.

A token is the transition just taken (next state, symbols written, moves). The prompt is
`<bos>`, the input cells of each tape, `<start>`. Then, at every position:

- layer 0: a head's address is the causal sum of its moves; an input cell's address is the
  causal sum of the cells filled so far. The address that this token writes is
  `head - move` for a step, `filled - 1` for an input cell.
- layer 1: `Latest` looks up the symbol last written at the head's address, one lookup a tape;
  a table over (state, symbols read) is the transition function; its row is the next token.

Addresses count from where a head begins, so a start configuration needs no moving of heads:
`<left>` tokens shift the place at which the first input cell is filled in.

Cost: one token a step; context = prompt + steps; tape and time unbounded as far as the target
carries integers. Source: after Pérez, Barceló & Marinković (2021), Theorem 6, who recompute the
head's position by summing moves and find the last write by attention; one token for state,
symbol and move together as in Merrill & Sabharwal (2024). Gated input cells and `<left>` are
original.
"""

from __future__ import annotations

from tm2tf.constructions.construction import Construction, Options, Prompt
from tm2tf.constructions.tokens import (
    BEGIN,
    START,
    STUCK,
    input_token,
    left_token,
    require_start,
    step_token,
)
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed


def program(machine: Machine, options: Options) -> Program:
    """Return the program that writes the runs of `machine`."""
    tapes = range(machine.tapes)
    steps = {step_token(machine, to): to for to in dict.fromkeys(machine.transitions.values())}
    outputs = (
        "next.state",
        *_each(machine, "next.tape{}.write"),
        *_each(machine, "next.tape{}.move"),
    )
    table = Table(
        "transitions",
        inputs=("state", *_each(machine, "tape{}.read")),
        outputs=outputs,
        rows=tuple(
            Row((state, *reads), _cells(to)) for (state, reads), to in machine.transitions.items()
        ),
    )
    addresses = tuple(
        Affine(
            f"tape{t}.address",
            (
                (1, f"tape{t}.head"),
                (-1, f"tape{t}.move"),
                (1, f"tape{t}.filled"),
                (-1, f"tape{t}.is_input"),
            ),
        )
        for t in tapes
    )
    heads = tuple(CausalSum(f"tape{t}.head", f"tape{t}.move") for t in tapes)
    filled = tuple(
        CausalSum(f"tape{t}.filled", f"tape{t}.fill", when=f"tape{t}.is_input") for t in tapes
    )
    lookups = tuple(
        Latest(
            outs=(f"tape{t}.read",),
            values=(f"tape{t}.write",),
            where=f"tape{t}.writes",
            key=(f"tape{t}.address",),
            query=(f"tape{t}.head",),
            defaults=(machine.blank,),
        )
        for t in tapes
    )
    return Program(
        name=f"{machine.name} by trace",
        features=_features(machine),
        tokens=(
            *_prompt_tokens(machine),
            Token(STUCK, "end", {}, UNDEFINED_OUTCOME[machine.undefined]),
            *(_step(machine, name, to) for name, to in steps.items()),
        ),
        layers=(Layer((*heads, *filled), addresses), Layer(lookups, (table,))),
        unembed=Unembed(outputs, {name: _cells(to) for name, to in steps.items()}, STUCK),
    )


def prompt(machine: Machine, configuration: Configuration, options: Options) -> Prompt:
    """Return the tokens that put the program into a start configuration.

    Addresses count from the heads: where a head begins is address 0.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    require_start(machine, configuration)
    tokens = [BEGIN]
    for t, tape in enumerate(configuration.tapes):
        if not tape.contents:
            continue
        first = tape.origin - tape.head
        tokens += [left_token(machine, t)] * max(0, -first)
        cells = (machine.blank,) * max(0, first) + tape.contents
        tokens += [input_token(machine, t, symbol) for symbol in cells]
    return Prompt((*tokens, START), tuple(tape.head for tape in configuration.tapes))


def sizes(machine: Machine, options: Options) -> dict[str, int]:
    """Return the sizes on the hard target, for k tapes, Q states, G symbols and r transitions.

    Three layers: sums, squares, lookup and table. A tape has three heads (its address, the input
    cells filled, the lookup); 2 G + 4 directions for what is written, read and the four integers
    that tokens embed, 2 + 2 for two sums and their means, 3 of the parabola; and G + 3 for what
    is written and moved next. Both the state and the next one have Q, and `begin` and `position`
    one each. The widest layer has r neurons, or 6 a tape for the squares.
    """
    k, states, symbols = machine.tapes, len(machine.states), len(machine.symbols)
    steps = len(set(machine.transitions.values()))
    return {
        "layers": 3,
        "heads": 3 * k,
        "d_model": 2 + 2 * states + k * (3 * symbols + 14),
        "d_mlp": max(len(machine.transitions), 6 * k),
        "vocab": 3 + k * (symbols + 1) + steps,
    }


def _each(machine: Machine, pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(t) for t in range(machine.tapes))


def _cells(to: Transition) -> tuple[str, ...]:
    return (to.state, *to.writes, *to.moves)


def _prompt_tokens(machine: Machine) -> list[Token]:
    tokens = [Token(BEGIN, "begin", {})]
    for t in range(machine.tapes):
        tokens.append(Token(left_token(machine, t), "prompt", {f"tape{t}.fill": -1}))
        tokens += [
            Token(
                input_token(machine, t, symbol),
                "prompt",
                {
                    f"tape{t}.fill": 1,
                    f"tape{t}.is_input": 1,
                    f"tape{t}.writes": 1,
                    f"tape{t}.write": symbol,
                },
            )
            for symbol in machine.symbols
        ]
    state: dict[str, str | int] = {"state": machine.start}
    return [*tokens, Token(START, "prompt", state, machine.outcome_of(machine.start))]


def _step(machine: Machine, name: str, to: Transition) -> Token:
    values: dict[str, str | int] = {"state": to.state}
    for t in range(machine.tapes):
        values[f"tape{t}.write"] = to.writes[t]
        values[f"tape{t}.move"] = OFFSET[to.moves[t]]
        values[f"tape{t}.writes"] = 1
    return Token(name, "step", values, machine.outcome_of(to.state))


def _features(machine: Machine) -> tuple[Feature, ...]:
    features: list[Feature] = [Integer(POSITION, low=1), Categorical("state", machine.states)]
    for t in range(machine.tapes):
        features += [
            Categorical(f"tape{t}.write", machine.symbols),
            Integer(f"tape{t}.move", -1, 1),
            Integer(f"tape{t}.fill", -1, 1),
            Integer(f"tape{t}.is_input", 0, 1),
            Integer(f"tape{t}.writes", 0, 1),
            Integer(f"tape{t}.head"),
            Integer(f"tape{t}.filled"),
            Integer(f"tape{t}.address"),
            Categorical(f"tape{t}.read", machine.symbols),
        ]
    features.append(Categorical("next.state", machine.states))
    features += [Categorical(name, machine.symbols) for name in _each(machine, "next.tape{}.write")]
    moves = ("L", "S", "R")
    features += [Categorical(name, moves) for name in _each(machine, "next.tape{}.move")]
    return tuple(features)


CONSTRUCTION = Construction(
    name="trace",
    summary="decoder-only, one token a step, unbounded tapes",
    source="after Pérez, Barceló & Marinković 2021 (arXiv 1901.03429), "
    "Merrill & Sabharwal 2024 (arXiv 2310.07923)",
    program=program,
    prompt=prompt,
    sizes=sizes,
)
