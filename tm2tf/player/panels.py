"""What the player says, as texts of a given width: the step, the pass behind it, the rules."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from tm2tf.inspect.forms import printable
from tm2tf.inspect.heads import HeadSummary
from tm2tf.inspect.sections import Section
from tm2tf.machine.spec import Machine, Tape
from tm2tf.player.history import Rule
from tm2tf.player.playback import Now
from tm2tf.player.styles import DIM, RULE, SECTION, STATE, TOKEN

WAYS = {"L": "left", "S": "nowhere", "R": "right"}

FEW_RULES = 12
"""Rules that a table has all of; of a machine with more it has those of the state."""

NARROWEST = 5
"""Columns that a name in a table of rules has at least, and `state` and `write` need."""

BAR = 24
"""Columns of the bar of the greatest logit."""


def section(title: str, width: int) -> Text:
    """Return the line that begins a part of a panel."""
    line = Text().append(f"{title} ", style=SECTION)
    line.append("─" * max(0, width - cell_len(line.plain)), style=DIM)
    return line


def hanging(head: Text, body: str, width: int, indent: int, style: str = "none") -> Text:
    """Return a text after another, its lines wrapped and indented."""
    lines = textwrap.wrap(
        printable(body),
        max(width, indent + 16),
        initial_indent=" " * cell_len(head.plain),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )
    found = head.copy()
    for i, line in enumerate(lines):
        found.append("\n" if i else "").append(line if i else line.lstrip(" "), style=style)
    return found


def joined(parts: Iterable[Text]) -> Text:
    """Return texts below each other."""
    return Text("\n").join(parts)


def given(machine: Machine, tapes: Sequence[Tape]) -> str:
    """Return a start in a few words."""
    words = []
    for tape in tapes:
        word = printable(machine.join(tape.contents)) or "(blank)"
        origin = f" from {tape.origin}" if tape.contents and tape.origin else ""
        words.append(word + origin + (f", head at {tape.head}" if tape.head else ""))
    return " | ".join(words)


def title(left: str, right: str, width: int) -> Text:
    """Return a line with something at either end; what is left is cut if there is no room."""
    room = max(0, width - cell_len(right) - 3)
    line = Text(f" {left}", style="bold")
    line.truncate(room, overflow="ellipsis", pad=True)
    return line.append(f"  {right} ")


def deed(rule: Rule) -> str:
    """Return what happens in a step in words: `in state B reads 1: writes 0, moves left, ...`."""
    reads, writes = (", ".join(map(printable, words)) for words in (rule.reads, rule.writes))
    moves = [WAYS[move] for move in rule.moves]
    said = "stays" if set(rule.moves) == {"S"} else f"moves {', '.join(moves)}"
    apart = "; " if len(moves) > 1 else ", "
    state, after = printable(rule.state), printable(rule.next_state)
    same = "stays in" if rule.state == rule.next_state else "enters"
    return f"in state {state} reads {reads}: writes {writes}{apart}{said}{apart}{same} {after}"


def sentence(now: Now, ended: str | None, width: int) -> Text:
    """Return what happens next, or how the run ended, in at most two lines."""
    if now.next is not None:
        head = Text().append(f"step {now.step + 1:,} ", style=STATE)
        return hanging(head, deed(now.next), width, cell_len(head.plain))
    if ended is None:
        return Text("what comes next is not known yet", style=DIM)
    return hanging(Text().append("the end ", style=STATE), ended, width, 8)


def scrubber(at: int, known: int, total: int | None, width: int) -> Text:
    """Return a bar that shows where in the run the cursor is; dots stand for what is not known."""
    inner = max(4, width - 2)
    whole = total if total is not None else max(known + 1, known * 4 // 3)
    place = min(inner - 1, round((inner - 1) * at / whole)) if whole else 0
    end = inner if total is not None else min(inner, round(inner * known / whole))
    line = Text().append("├", style=DIM)
    line.append("━" * place, style=STATE).append("●", style=STATE)
    rest = max(end, place + 1)
    line.append("─" * (rest - place - 1), style=DIM).append("┄" * (inner - rest), style=DIM)
    return line.append("┤" if total is not None else "┈", style=DIM)


def neurons(parts: dict[str, Section], width: int) -> Text:
    """Return the neurons that fired, and what each does."""
    rows = parts["Neurons that fired"].rows
    names = max((len(row[0]) for row in rows), default=0)
    amounts = max((len(row[1]) for row in rows), default=0)
    found = [section("Neurons that fired", width)]
    for name, activation, text in rows:
        head = Text().append(f"{name:<{names}} ", style=TOKEN)
        head.append(f"{activation:>{amounts}}  ")
        found.append(hanging(head, text, width, names + amounts + 3))
    return joined(found if rows else [*found, Text("none", style=DIM)])


def logits(parts: dict[str, Section], width: int) -> Text:
    """Return the greatest logits as bars."""
    rows = parts["Greatest logits"].rows
    names = min(width // 2, max(cell_len(printable(row[0])) for row in rows))
    most = max(abs(_value(row[1])) for row in rows) or 1.0
    room = max(4, min(BAR, width - names - 10))
    found = [section("Greatest logits", width)]
    for i, (name, value) in enumerate(rows):
        line = Text().append(printable(name), style=TOKEN if i == 0 else "none")
        line.truncate(names, overflow="ellipsis", pad=True)
        bar = "█" * round(room * max(0.0, _value(value)) / most)
        line.append(f" {bar:<{room}} ", style=TOKEN if i == 0 else DIM)
        found.append(line.append(f"{_value(value):.6g}"))
    return joined(found)


def _value(text: str) -> float:
    """Return the number that `inspect.forms.number` wrote."""
    sign, _, power = text.partition("2^")
    return (-1.0 if sign == "-" else 1.0) * 2.0 ** int(power) if power else float(text)


def facts(found_section: Section, step: int, now: Now, width: int) -> Text:
    """Return what there is to say of the pass of a step as a whole."""
    rows = found_section.rows
    indent = max(len(row[0]) for row in rows) + 2
    last = ", the last" if now.next is None and step == now.step else ""
    found = [section(f"Pass of step {step:,}{last}", width)]
    for row in rows:
        found.append(
            hanging(Text().append(f"{row[0]:<{indent}}", style=DIM), row[1], width, indent)
        )
    return joined(found)


def heads(
    parts: dict[str, Section], summaries: Sequence[HeadSummary], strip: Text, width: int
) -> Text:
    """Return what each head looked for, where it looked, and what it brought."""
    found = [section("Attention", width)]
    for row, summary in zip(parts["Heads"].rows, summaries, strict=True):
        number, name, attended, score, margin, brought = row
        head = Text().append(f"{number} ", style=TOKEN).append(f"{printable(name)}  ", style="bold")
        scores = [f"{w} {n}" for w, n in (("score", score), ("margin", margin)) if n]
        looked = attended + (f"; {', '.join(scores)}" if scores else "")
        found.append(hanging(head, looked, width, 6))
        if summary.kind != "uniform":  # of these all is said by the mean
            found.append(hanging(Text("    looks for "), summary.attends, width, 14, DIM))
            found.append(hanging(Text("    brought "), brought, width, 12, DIM))
    if strip.plain:
        found.append(strip)
    return joined(found)


def rules(machine: Machine, now: Now, width: int, most: int) -> Text:
    """Return the machine's rules, or those of the present state, the one that fires marked.

    At most so many: those around that one.
    """
    every = list(machine.transitions.items())
    some = every
    if len(every) > FEW_RULES:
        some = [item for item in every if item[0][0] == now.state]
    fires = (now.state, now.reads)
    at = next((i for i, (key, _) in enumerate(some) if key == fires), 0)
    first = max(0, min(at - most // 2, len(some) - most))
    name = "Rules" if some is every else f"Rules of state {printable(now.state)}"
    if len(some) < len(every):
        name += f" ({len(some)} of {len(every):,})"
    rows = []
    for (state, reads), to in some[first : first + most]:
        words = (state, " ".join(reads), " ".join(to.writes), " ".join(to.moves), to.state)
        rows.append(tuple(map(printable, words)))
    headings = ("state", "read", "write", "move", "next")
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    widths = _narrowed(widths, width - 2 - 2 * (len(widths) - 1))
    found = [section(name, width), Text("  " + _row(headings, widths), style=DIM, no_wrap=True)]
    for i, row in enumerate(rows, start=first):
        here = some[i][0] == fires
        mark = "▸ " if here else "  "
        found.append(Text(mark + _row(row, widths), style=RULE if here else "none", no_wrap=True))
    hidden = len(some) - first - len(rows)
    if first or hidden:
        text = f"… {first} before, {hidden} after"
        found.append(Text().append(f"  {text}", style=DIM))
    if fires not in machine.transitions:
        what = f"state {printable(now.state)}"
        halts = machine.outcome_of(now.state) is not None
        none = f"{what} ends the run" if halts else f"no rule for {what} reading these"
        found.append(hanging(Text("▸ ", style=RULE), none, width, 2, RULE))
    return joined(found)


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Return widths of columns that fit: the widest give way first, down to `NARROWEST` each."""
    found = list(widths)
    while sum(found) > room and max(found) > NARROWEST:
        found[found.index(max(found))] -= 1
    return found


def _row(words: Sequence[str], widths: Sequence[int]) -> str:
    cells = [Text(word) for word in words]
    for cell, wide in zip(cells, widths, strict=True):
        cell.truncate(wide, overflow="ellipsis", pad=True)
    return "  ".join(cell.plain for cell in cells).rstrip()
