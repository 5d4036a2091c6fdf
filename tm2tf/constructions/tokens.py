"""What tokens are called, alike in all constructions that have them."""

from __future__ import annotations

from tm2tf.errors import ConfigurationError
from tm2tf.machine.spec import Configuration, Machine, Transition

BEGIN, START, STUCK = "<bos>", "<start>", "<stuck>"


def step_token(machine: Machine, transition: Transition) -> str:
    """Return the token of a transition, such as `1R>B`, or `1R,0S>B` for two tapes."""
    acts = (
        escape(symbol) + move
        for symbol, move in zip(transition.writes, transition.moves, strict=True)
    )
    return f"{','.join(acts)}>{escape(transition.state)}"


def input_token(machine: Machine, t: int, symbol: str) -> str:
    """Return the token of an input cell on tape `t`: `1`, or `tape0:1` where tapes are several."""
    return escape(symbol) if machine.tapes == 1 else f"tape{t}:{escape(symbol)}"


def left_token(machine: Machine, t: int) -> str:
    """Return the token that shifts the place of tape `t`'s first input cell to the left."""
    return "<left>" if machine.tapes == 1 else f"<left:{t}>"


def escape(word: str) -> str:
    r"""Return a word with a backslash before what means something in a token, spaces as `\s`."""
    if word.isalnum():  # as most are
        return word
    for mark in "\\<>,:":
        word = word.replace(mark, "\\" + mark)
    if not any(map(str.isspace, word)):
        return word
    return "".join("\\s" if character.isspace() else character for character in word)


def require_start(machine: Machine, configuration: Configuration) -> None:
    """Raise `ConfigurationError` where a configuration's state is not the start state."""
    if configuration.state != machine.start:
        raise ConfigurationError(
            f"a run begins in the start state {machine.start!r}, not in {configuration.state!r}"
        )
