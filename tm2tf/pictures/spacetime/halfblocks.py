"""Space-time diagrams in the terminal: space goes across, time goes down, one panel a tape.

Three forms, made of rich's texts:

- `lettered`: each cell with its symbol, the head's in brackets; coloured, or plain;
- `blocks`: half blocks, two rows a line, for colours;
- `dense`: one character a column, for plain text: a symbol, or how many cells are not blank.

All need a history that has measured what `measures` returns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from tm2tf.machine.spec import Machine
from tm2tf.pictures import palette
from tm2tf.pictures.palette import RGB
from tm2tf.pictures.spacetime.drawing import colours, image
from tm2tf.pictures.spacetime.history import History, Row
from tm2tf.pictures.spacetime.words import MEAN, Words, caption, clipped, nice_step

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2
"""Characters between panels, and between a row's label and its first cell."""

WIDEST = 72
"""Characters that cells are drawn wider for: four characters a cell at most, in so many."""

RAMP = " .:-=+*#%@"
"""From no cell that is not blank, through shares, to all cells."""

HEAD: RGB = (0, 0, 0)
"""The colour of the head."""

EVERY = 4
"""Of so many lines of half blocks, one says at which step it is."""

BETWEEN = 10
"""Characters from one address on the scale to the next, at the least."""


def measures(machine: Machine) -> Float[np.ndarray, "symbols four"]:
    """Return what is measured by symbol: its colour, and 1 unless it is the blank."""
    found = colours(machine.symbols, machine.blank)
    other = np.array([[symbol != machine.blank] for symbol in machine.symbols])
    return np.hstack([found, other]).astype(np.float64)


def room(machine: Machine, steps: int, width: int, stated: bool) -> int:
    """Return how many columns fit into lines of `width` characters, in all panels together.

    `stated` is whether rows say their state, as in `dense`.
    """
    states = 1 + max(len(clipped(state)) for state in machine.states) if stated else 0
    return max(0, width - _step_width(steps) - states - GAP * machine.tapes)


def fits_lettered(history: History, width: int) -> bool:
    """Return whether all cells fit into lines of `width` characters with their symbols."""
    if history.bin > 1:
        return False
    columns = sum(last - first + 1 for first, last in history.reach)
    label = _step_width(history.steps) + 1 + _state_width(history)
    gaps = GAP * history.machine.tapes
    return label + gaps + columns * _cell_width(history.machine) <= width


def lettered(history: History, words: Words, width: int) -> list[Text]:
    """Return a diagram in which each cell shows its symbol; bins must be one cell wide."""
    from rich.text import Text

    wide, states = _cell_width(history.machine), _state_width(history)
    machine = history.machine
    tapes = range(machine.tapes)
    found = [history.symbols(t) for t in tapes]
    faces = [palette.of_symbols(machine.symbols, machine.blank)[s] for s in machine.symbols]
    lines = _header(words, [Text(f"[ ] {_heads(machine)}")], width)
    lines += _scales(history, wide, _step_width(history.steps) + 1 + states, wide // 2)
    for number, row in enumerate(history.rows):
        line = Text(f"{row.step:>{_step_width(history.steps)},} ")
        line.append(_padded(clipped(machine.states[row.state]), states))
        for t in tapes:
            line.append(" " * GAP)
            head = row.heads[t] - history.reach[t][0]
            for column, symbol in enumerate(found[t][number]):
                word = _padded(machine.symbols[symbol], wide - 2, centred=True)
                here = column == head
                line.append(f"[{word}]" if here else f" {word} ", _style(faces[symbol], here))
        lines.append(line)
    return lines + _footer(caption(history, MEAN, spans=False), width)


def blocks(history: History, words: Words, width: int) -> list[Text]:
    """Return a diagram of half blocks that is at most `width` characters wide."""
    from rich.text import Text

    machine, steps = history.machine, _step_width(history.steps)
    columns = sum(last - first + 1 for first, last in history.reach)
    space = min(WIDEST, width - steps - GAP * machine.tapes)
    scale = max(1, min(4, space // columns))
    panels = [_pixels(history, tape, scale) for tape in range(machine.tapes)]
    lines = _header(words, _legend(history), width)
    lines += _scales(history, scale, steps, scale // 2)
    for number in range(0, len(history.rows), 2):
        said = f"{history.rows[number].step:,}" if number // 2 % EVERY == 0 else ""
        line = Text(f"{said:>{steps}}")
        for pixels in panels:
            line.append(" " * GAP)
            _append_blocks(line, pixels[number : number + 2])
        lines.append(line)
    return lines + _footer(caption(history, MEAN), width)


def dense(history: History, words: Words, width: int) -> list[Text]:
    """Return a diagram with one character a column, for plain text."""
    from rich.text import Text

    machine, steps, states = history.machine, _step_width(history.steps), _state_width(history)
    named = history.bin == 1 and _cell_width(machine) == 3
    heads = f"^ {_heads(machine)}"
    if history.stride > 1:
        heads = f"< > how far {_heads(machine)} went; ^ in one column"
    lines = _header(words, [Text(heads)], width)
    lines += _scales(history, 1, steps + 1 + states, 0)
    panels = [_characters(history, tape, named) for tape in range(machine.tapes)]
    for number, row in enumerate(history.rows):
        line = Text(f"{row.step:>{steps},} ")
        line.append(_padded(clipped(machine.states[row.state]), states))
        for tape, characters in enumerate(panels):
            line.append(" " * GAP + _with_head(history, row, tape, characters[number]))
        lines.append(line)
    column = f"how many are not blank, none and then {RAMP[1:-1]} up to {RAMP[-1]} for all of them"
    said = caption(history, column)
    if history.bin == 1 and not named:
        said += f"{' ' if said else ''}{RAMP[-1]} is a cell that is not blank."
    return lines + _footer(said, width)


def _characters(history: History, tape: int, named: bool) -> list[list[str]]:
    if named:
        names = history.machine.symbols
        return [[names[number] for number in row] for row in history.symbols(tape)]
    share = history.means(tape)[:, :, 3]
    # only an empty bin has the first character, only a full one the last
    level = np.where(share <= 0, 0, 1 + np.floor(share * (len(RAMP) - 2) + 1e-6)).astype(np.int64)
    return [[RAMP[number] for number in row] for row in np.minimum(level, len(RAMP) - 1)]


def _with_head(history: History, row: Row, tape: int, characters: Sequence[str]) -> str:
    """Return a row's characters with marks where its head was."""
    first = history.reach[tape][0]
    low, high = (history.column(a) - first for a in (row.lows[tape], row.highs[tape]))
    marked = list(characters)
    marked[low], marked[high] = ("<", ">") if low < high else ("^", "^")
    return "".join(marked)


def _pixels(history: History, tape: int, scale: int) -> np.ndarray:
    """Return the colours of a tape's half blocks, `scale` a column, with the head's marks."""
    found = np.repeat(image(history, tape), scale, axis=1)
    first, marked = history.reach[tape][0], max(1, scale // 2)
    for number, row in enumerate(history.rows):
        for address in (row.lows[tape], row.highs[tape]):
            at = (history.column(address) - first) * scale + (scale - marked) // 2
            found[number, at : at + marked] = HEAD
    return found


def _append_blocks(line: Text, pair: np.ndarray) -> None:
    """Append one row or two of pixels as half blocks."""
    begun, count = "", 0
    for top, *bottom in zip(*pair, strict=True):
        style = palette.hexadecimal(tuple(top))
        style += f" on {palette.hexadecimal(tuple(bottom[0]))}" if bottom else ""
        if style != begun:
            line.append("▀" * count, begun)
            begun, count = style, 0
        count += 1
    line.append("▀" * count, begun)


def _header(words: Words, legend: Sequence[Text], width: int) -> list[Text]:
    """Return title, subtitle, the legend's entries side by side, and an empty line."""
    from rich.text import Text

    lines = [Text(line, style="bold") for line in textwrap.wrap(words.title, width)]
    lines += [Text(line) for line in textwrap.wrap(words.subtitle, width)]
    entries = [legend[0]]
    for entry in legend[1:]:
        if entries[-1].cell_len + 3 + entry.cell_len <= width:
            entries[-1] = Text.assemble(entries[-1], "   ", entry)
        else:
            entries.append(entry)
    return [*lines, *entries, Text("")]


def _footer(said: str, width: int) -> list[Text]:
    from rich.text import Text

    lines = textwrap.wrap(said, width)
    return [Text(line) for line in ("", *lines)] if lines else []


def _legend(history: History) -> list[Text]:
    from rich.text import Text

    machine = history.machine
    found = []
    for symbol, colour in palette.of_symbols(machine.symbols, machine.blank).items():
        blank = " (blank)" if symbol == machine.blank else ""
        patch = Text("  ", style=f"on {palette.hexadecimal(colour)}")
        found.append(Text.assemble(patch, f" {clipped(symbol)}{blank}"))
    patch = Text("  ", style=f"on {palette.hexadecimal(HEAD)}")
    heads = _heads(machine)
    return [
        *found,
        Text.assemble(patch, f" {heads}" if history.stride == 1 else f" how far {heads} went"),
    ]


def _heads(machine: Machine) -> str:
    return "the heads" if machine.tapes > 1 else "the head"


def _scales(history: History, wide: int, label: int, middle: int) -> list[Text]:
    """Return the names of the panels, if there are several, and the scale of addresses.

    A bar stands above the column of the address behind it. `label` is the width of rows' labels,
    `wide` that of a column, `middle` the place of its middle.
    """
    from rich.text import Text

    names, scale = " " * label, " " * label
    for tape, (first, last) in enumerate(history.reach):
        size = (last - first + 1) * wide
        names += " " * GAP + f"tape {tape}"[:size].ljust(size)
        scale += " " * GAP + _scale(history, first, last, wide, middle).ljust(size)
    shown = [names, scale] if history.machine.tapes > 1 else [scale]
    return [Text(line.rstrip()) for line in shown if line.strip()]


def _scale(history: History, first: int, last: int, wide: int, middle: int) -> str:
    low, high, size = first * history.bin, (last + 1) * history.bin, (last - first + 1) * wide
    longest = max(len(f"|{low:,}"), len(f"|{high:,}")) + 1
    step = nice_step(max(longest, BETWEEN) * history.bin / wide)
    found = ""
    for address in range(-(-low // step) * step, high, step):
        at = (address // history.bin - first) * wide + middle
        word = f"|{address:,}"
        if at >= len(found) and at + len(word) <= size:
            found = found.ljust(at) + word
    return found


def _style(colour: RGB, here: bool) -> str:
    dark = sum(a * b for a, b in zip(colour, (0.299, 0.587, 0.114), strict=True)) < 128
    ink = "#ffffff" if dark else "#000000"
    return f"{'bold ' if here else ''}{ink} on {palette.hexadecimal(colour)}"


def _cell_width(machine: Machine) -> int:
    from rich.cells import cell_len

    return 2 + max(cell_len(symbol) for symbol in machine.symbols)


def _step_width(steps: int) -> int:
    return len(f"{steps:,}")


def _state_width(history: History) -> int:
    from rich.cells import cell_len

    states = history.machine.states
    return max(cell_len(clipped(states[row.state])) for row in history.rows)


def _padded(word: str, width: int, centred: bool = False) -> str:
    from rich.cells import cell_len

    missing = width - cell_len(word)
    before = missing // 2 if centred else 0
    return " " * before + word + " " * (missing - before)
