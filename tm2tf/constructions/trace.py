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

from tm2tf.errors import ConfigurationError
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Machine, Transition
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Row, Table
from tm2tf.program.program import Layer, Program, Token, Unembed

BEGIN, START, STUCK = "<bos>", "<start>", "<stuck>"


def program(machine: Machine) -> Program:
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
            f"tape{t}.read",
            query=f"tape{t}.head",
            key=f"tape{t}.address",
            value=f"tape{t}.write",
            where=f"tape{t}.writes",
            default=machine.blank,
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


def prompt(machine: Machine, configuration: Configuration) -> list[str]:
    """Return the tokens that put the program into a start configuration.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    if configuration.state != machine.start:
        raise ConfigurationError(
            f"a run begins in the start state {machine.start!r}, not in {configuration.state!r}"
        )
    tokens = [BEGIN]
    for t, tape in enumerate(configuration.tapes):
        if not tape.contents:
            continue
        first = tape.origin - tape.head
        tokens += [_left(machine, t)] * max(0, -first)
        cells = (machine.blank,) * max(0, first) + tape.contents
        tokens += [_input(machine, t, symbol) for symbol in cells]
    return [*tokens, START]


def step_token(machine: Machine, transition: Transition) -> str:
    """Return the token of a transition, such as `1R>B`, or `1R,0S>B` for two tapes."""
    acts = (
        escape(symbol) + move
        for symbol, move in zip(transition.writes, transition.moves, strict=True)
    )
    return f"{','.join(acts)}>{escape(transition.state)}"


def escape(word: str) -> str:
    r"""Return a word with a backslash before what means something in a token, spaces as `\s`."""
    for mark in "\\<>,:":
        word = word.replace(mark, "\\" + mark)
    return "".join("\\s" if character.isspace() else character for character in word)


def _each(machine: Machine, pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(t) for t in range(machine.tapes))


def _cells(to: Transition) -> tuple[str, ...]:
    return (to.state, *to.writes, *to.moves)


def _input(machine: Machine, t: int, symbol: str) -> str:
    return escape(symbol) if machine.tapes == 1 else f"tape{t}:{escape(symbol)}"


def _left(machine: Machine, t: int) -> str:
    return "<left>" if machine.tapes == 1 else f"<left:{t}>"


def _prompt_tokens(machine: Machine) -> list[Token]:
    tokens = [Token(BEGIN, "begin", {})]
    for t in range(machine.tapes):
        tokens.append(Token(_left(machine, t), "prompt", {f"tape{t}.fill": -1}))
        tokens += [
            Token(
                _input(machine, t, symbol),
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
