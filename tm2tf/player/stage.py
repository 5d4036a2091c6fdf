"""What is where on the player's screen, and how it is drawn there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.widgets import Input, Static

from tm2tf.inspect import sections
from tm2tf.inspect.heads import HeadSummary
from tm2tf.player import panels, tape_view
from tm2tf.player.details import Pass
from tm2tf.player.help import HINTS, footer
from tm2tf.player.playback import Playback
from tm2tf.player.strip import strip
from tm2tf.player.styles import DIM, STATE

WIDE = 100
"""Columns from which on rules and logits stand beside attention and neurons, not below."""

TALL = 30
"""Lines from which on one is left empty above the tapes."""

BELOW = 12
"""Lines that are kept for what is below the tapes."""

LEAST_RULES, BESIDE = 12, 13
"""Rules that are listed at least, and lines that are kept free for what stands beside them."""


class Stage(Container):
    """All that is seen, from the title to the keys."""

    DEFAULT_CSS = """
    Stage #title { height: 1; text-style: reverse; }
    Stage #tapes { height: auto; padding: 1 0 0 0; }
    Stage #tapes.low { padding: 0; }
    Stage #now, Stage #status, Stage #message { height: auto; }
    Stage #keys { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Stage #details { height: 1fr; overflow-y: auto; scrollbar-size-vertical: 1; }
    Stage #left, Stage #right {
        height: auto; width: 1fr; overflow-y: hidden; scrollbar-size-vertical: 1;
    }
    Stage.wide #details { layout: horizontal; overflow-y: hidden; }
    Stage.wide #left { width: 3fr; height: 100%; overflow-y: auto; }
    Stage.wide #right { width: 2fr; height: 100%; overflow-y: auto; padding: 0 0 0 2; }
    Stage #ask { height: 1; border: none; padding: 0; display: none; }
    """

    def __init__(self, words: str, tapes: int) -> None:
        super().__init__()
        self._words_shown = words
        self._firsts: list[int | None] = [None] * tapes

    def compose(self) -> ComposeResult:
        """Yield the parts, from top to bottom."""
        yield Static(id="title")
        yield Static(id="tapes")
        yield Static(id="now")
        yield Static(id="status")
        with Container(id="details"):
            yield VerticalScroll(Static(id="behind"), id="left", can_focus=False)
            yield VerticalScroll(Static(id="aside"), id="right", can_focus=False)
        yield Static(id="message")
        yield Input(id="ask", select_on_focus=False)
        yield Static(id="keys")

    def _put(self, name: str, text: Text) -> None:
        self.query_one(name, Static).update(text)

    def draw(self, playback: Playback) -> None:
        """Draw where the cursor stands: title, tapes, what comes next, keys."""
        size = self.app.size
        now, total = playback.now(), playback.total
        self.set_class(size.width >= WIDE, "wide")
        known = playback.history.steps
        of = f"of {total:,}" if total is not None else f"of {known:,} or more"
        title = panels.title(self._words_shown, f"step {now.step:,} {of}", size.width)
        self._put("#title", title)
        self._draw_tapes(playback, now.heads, now.state)
        self._put("#now", panels.sentence(now, playback.ended(), size.width))
        self._put("#keys", footer(size.width >= WIDE))

    def _draw_tapes(self, playback: Playback, heads: Sequence[int], state: str) -> None:
        size, count = self.app.size, len(heads)
        fit = tape_view.frame(playback.machine, size.width)
        room = size.height // 3 // count
        lines = min(3, max(1, room)) if size.height > 3 * count + BELOW else 1
        drawn = []
        for t, head in enumerate(heads):
            first = tape_view.follow(self._firsts[t], head, fit.count)
            self._firsts[t] = first
            symbols = playback.window(t, first, fit.count)
            named = state if t == 0 else None
            drawn.append(
                tape_view.tape_text(t, symbols, first, head, fit, state=named, lines=lines)
            )
        if lines == 1:
            where = ", ".join(map(str, heads))
            text = Text().append("state ", style=DIM).append(state, style=STATE)
            text.append(f", head{'' if count == 1 else 's'} at {where}", style=DIM)
            drawn.append(text)
        self.query_one("#tapes").set_class(size.height < TALL, "low")
        self._put("#tapes", panels.joined(drawn))

    def draw_status(self, playback: Playback, speed: float, playing: bool) -> None:
        """Draw where in the run the cursor is, how it plays, and the breakpoints."""
        width = self.app.size.width
        mode = f"{'▶' if playing else '❚❚'} {speed:,.{int(speed < 1)}f} steps/s"
        room = width - len(mode) - 1
        line = panels.scrubber(playback.at, playback.history.steps, playback.total, room)
        found = [line.append(f" {mode}", style=STATE if playing else DIM)]
        if playback.breakpoints:
            words = "  ".join(f"◆ {b.text}" for b in playback.breakpoints)
            text = Text().append("stops at  ", style=DIM).append(words)
            text.truncate(width, overflow="ellipsis")
            found.append(text)
        self._put("#status", panels.joined(found))

    def draw_message(self, message: Text) -> None:
        """Draw what is said above the keys; nothing at all takes no line."""
        self.query_one("#message").display = bool(message.plain)
        self._put("#message", message)

    def draw_pass(
        self, playback: Playback, found: Pass | str, summaries: Sequence[HeadSummary]
    ) -> None:
        """Draw a pass, or why there is none, and the rules."""
        width, now = self.app.size.width, playback.now()
        wide = width >= WIDE
        # beside a scroll bar, and not touching it
        left = width * 3 // 5 - 2 if wide else width - 2
        right = width - left - 6 if wide else left
        tall = self.query_one("#details").size.height
        rules = panels.rules(playback.machine, now, right, max(LEAST_RULES, tall - BESIDE))
        if isinstance(found, str):
            self._put("#behind", Text(found, style=DIM))
            self._put("#aside", rules)
            return
        listed = sections.step(found.view)
        parts = {part.title: part for part in listed}
        marks = strip(found.attention, found.view.heads, found.view.fed.position, left)
        behind = [
            panels.facts(listed[0], found.view.step, now, left),
            panels.heads(parts, summaries, marks, left),
            panels.neurons(parts, left),
        ]
        self._put("#behind", panels.joined(behind))
        self._put("#aside", panels.joined([rules, Text(), panels.logits(parts, right)]))

    def scroll_details(self, lines: int) -> None:
        """Scroll what does not fit."""
        names = ("#left", "#right") if self.has_class("wide") else ("#details",)
        for name in names:
            self.query_one(name).scroll_relative(y=lines, animate=False)

    def ask(self, what: str) -> None:
        """Ask for something that `HINTS` has."""
        line = self.query_one("#ask", Input)
        line.value, line.display = "", True
        line.placeholder = f"{what}, such as {HINTS[what]}"
        line.focus()

    def answered(self) -> None:
        """Ask no more."""
        self.query_one("#ask").display = False
        self.screen.set_focus(None)
