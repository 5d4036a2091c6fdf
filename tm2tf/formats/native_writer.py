"""Writing the native format: every rule spelt out, so that `native.parse` gives it back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tm2tf.machine.spec import Example, Machine, Tape

_PLAIN = re.compile(r"\w[\w.-]*(?: [\w.-]+)*", re.ASCII)


def dump(machine: Machine) -> str:
    """Return the native text of a machine, every rule spelt out; `parse` gives it back."""
    wildcard = next(mark for mark in _wildcards() if mark not in machine.symbols)
    lines = [f"name: {quoted(machine.name)}"]
    lines += [
        f"{key}: {quoted(text)}"
        for key, text in (("description", machine.description), ("source", machine.source))
        if text
    ]
    lines += [
        f"tapes: {machine.tapes}",
        f"blank: {quoted(machine.blank)}",
        f"symbols: {_list(machine.symbols)}",
        f"start: {quoted(machine.start)}",
    ]
    if machine.first:
        pairs = [f"{quoted(symbol)}: {quoted(other)}" for symbol, other in machine.first.items()]
        lines.append(f"first: {{{', '.join(pairs)}}}")
    if wildcard != "*":
        lines.append(f"wildcard: {quoted(wildcard)}")
    for kind in ("accept", "reject", "halt"):
        if getattr(machine, kind):
            lines.append(f"{kind}: {_list(getattr(machine, kind))}")
    lines += [f"undefined: {machine.undefined}", "rules:"]
    halting = (*machine.accept, *machine.reject, *machine.halt)
    running = tuple(state for state in machine.states if state not in halting)
    listed = running if machine.states == (*running, *halting) else machine.states
    rules: dict[str, list[str]] = {state: [] for state in listed}
    short = not any(set(" |") & set(word) for word in machine.symbols + machine.states)
    for (state, reads), to in machine.transitions.items():
        action = (*to.writes, *to.moves, to.state)
        rules[state].append(
            f"    {quoted(' '.join(reads))}: {quoted(' '.join(action))}"
            if short
            else f"    ? {_list(reads)}\n    : {_list(action)}"
        )
    for state, body in rules.items():
        lines.append(f"  {quoted(state)}:" + ("" if body else " {}"))
        lines += body
    if machine.examples:
        lines.append("examples:")
        lines += [_example(machine, example, wildcard) for example in machine.examples]
    return "\n".join(lines) + "\n"


def _wildcards() -> Iterator[str]:
    yield from ("*", "?", "@")
    yield from (f"any{number}" for number in range(10**9))


def quoted(text: str) -> str:
    """Return a YAML double-quoted scalar, or the bare words where that is plainly safe."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(quoted(word) for word in words) + "]"


def _word(machine: Machine, contents: Sequence[str], wildcard: str) -> str:
    word = machine.join(contents)
    if word == wildcard or machine.split(word) != tuple(contents):
        return _list(contents)
    return quoted(word)


def _input(machine: Machine, tape: Tape, wildcard: str) -> str:
    word = _word(machine, tape.contents, wildcard)
    if tape.origin == tape.head == 0 and not word.startswith("["):
        return word
    return f"{{contents: {word}, origin: {tape.origin}, head: {tape.head}}}"


def _example(machine: Machine, example: Example, wildcard: str) -> str:
    tapes = list(example.tapes)
    while tapes and tapes[-1] == Tape():
        tapes.pop()
    fields = [f"input: [{', '.join(_input(machine, tape, wildcard) for tape in tapes)}]"]
    if example.note:
        fields.append(f"note: {quoted(example.note)}")
    if example.max_steps is not None:
        fields.append(f"max_steps: {example.max_steps}")
    wanted = example.expected
    for key in ("outcome", "state", "steps", "nonblank"):
        value = getattr(wanted, key)
        if value is not None:
            fields.append(f"{key}: {quoted(str(value))}")
    if wanted.tapes is not None:
        words = [
            quoted(wildcard) if tape is None else _word(machine, tape, wildcard)
            for tape in wanted.tapes
        ]
        fields.append(f"tapes: [{', '.join(words)}]")
    return "  - " + "\n    ".join(fields)
