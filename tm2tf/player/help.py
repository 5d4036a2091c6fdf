"""What keys do, as it is said at the bottom and by `?`."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tm2tf.player.breakpoints import FORMS
from tm2tf.player.styles import STATE

KEYS = (
    ("→ ←  l h", "one step forward, one step back"),
    ("home end", "to the beginning, to the end"),
    ("space", "play, or pause"),
    ("+ -", "play faster, slower"),
    ("g", "go to a step"),
    ("b", "set a breakpoint, or take it away"),
    ("n N", "to the next breakpoint, to the one before"),
    ("↑ ↓ pgup pgdn", "scroll what does not fit"),
    ("esc", "stop what takes long"),
    ("q", "quit"),
)

HELP = f"""\
Breakpoints are {FORMS}. A run stops where one is met: in the state, with the symbol under a \
head, after so many steps. The same again takes it away, and `clear` all of them.

The cursor stands between two steps: so many were taken, and the next is about to be. Below the \
tape stands the forward pass that makes this next step, run by the weights: where each head \
attended, which neurons fired, and what they write. The tapes, too, are what the weights said."""

HINTS = {
    "go to step": "100",
    "breakpoint": "state B, read 1, tape 1 read a, step 100, or clear",
}
"""What is to be written where something is asked for."""

FOOTER = (
    ("←→", "step"), ("space", "play"), ("+-", "speed"), ("g", "go to"), ("b", "break"),
    ("n N", "to breaks"), ("?", "help"), ("q", "quit"),
)  # fmt: skip


def footer(roomy: bool) -> Text:
    """Return the keys in a line; `roomy`: with blanks around them."""
    line, pad = Text(), " " * roomy
    for key, does in FOOTER:
        line.append(f"{pad}{key}{pad}", style="reverse").append(f" {does}  ")
    return line


class Help(ModalScreen[None]):
    """All keys, and what is seen."""

    CSS = """
    Help { align: center middle; }
    #help { width: 76; max-width: 96%; height: auto; max-height: 100%; border: round $primary;
            padding: 0 1; background: $surface; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,space", "dismiss", "close")
    ]

    def compose(self) -> ComposeResult:
        """Yield the one box there is."""
        text, wide = Text(), max(len(keys) for keys, _ in KEYS) + 2
        for keys, does in KEYS:
            text.append(f"{keys:<{wide}}", style=STATE).append(f"{does}\n")
        text.append("\n").append(HELP)
        with VerticalScroll(id="help"):
            yield Static(text)
