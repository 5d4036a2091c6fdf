"""The player (textual): what keys do, and what is done meanwhile. `stage` draws."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tm2tf.errors import InputError, NotFoundError, Tm2tfError
from tm2tf.player.breakpoints import Breakpoint, number_of, parse
from tm2tf.player.details import Details, Pass
from tm2tf.player.help import Help
from tm2tf.player.playback import Playback, Work
from tm2tf.player.stage import Stage
from tm2tf.player.styles import STATE, WRONG

TICK = 1 / 30
"""Seconds between two looks at what is to be done."""

SPEEDS = (0.5, 1, 2, 5, 10, 20, 50, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Steps a second that + and - choose among."""

SPEED = 5.0
"""Steps a second at first: one can still follow them."""

SHARE, FOLLOWED = 0.5, 100
"""How much of the time passes may be looked at while playing, and up to how many steps a second:
so many tokens can be read meanwhile. Else passes are shown in a pause."""

AHEAD = 2.0
"""Seconds spent on looking for a run's end unasked: most runs are that short."""


class Player(App[None]):
    """A run of weights, step by step.

    Attributes:
        playback: the run and its cursor; `details`: its passes.
        speed: steps a second, while `playing`.
        message: what is said above the keys, until the next one is pressed.
    """

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None  # keys are for the player unless it asks for something
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "forward"),
        Binding("left,h", "step_back"),
        Binding("space", "play"),
        Binding("plus,equals_sign", "speed(1)"),
        Binding("minus", "speed(-1)"),
        Binding("home", "home"),
        Binding("end", "end"),
        Binding("g", "ask('go to step')"),
        Binding("b", "ask('breakpoint')"),
        Binding("n", "next"),
        Binding("N,p", "previous"),
        Binding("up", "scroll(-1)"),
        Binding("down", "scroll(1)"),
        Binding("pageup", "scroll(-10)"),
        Binding("pagedown", "scroll(10)"),
        Binding("question_mark", "help"),
        Binding("escape", "stop"),
        Binding("q,ctrl+c", "quit", priority=False),
    ]

    def __init__(
        self,
        playback: Playback,
        words: str,
        *,
        at: int = 0,
        speed: float = SPEED,
        breakpoints: Sequence[Breakpoint] = (),
    ) -> None:
        super().__init__()
        self.playback, self._stage = playback, Stage(words, playback.machine.tapes)
        self.details = Details(playback.compiled, playback.start)
        playback.breakpoints += breakpoints
        self.speed, self.playing, self.message = speed, False, Text()
        self._work: Work | None = playback.going_to(at) if at else None
        self._owed, self._ticked = 0.0, time.monotonic()
        self._shown: int | None = None  # the step whose pass is shown, None if another is due
        self._pass: Pass | str = ""
        self._asking = ""
        self._drawable, self._ahead = False, AHEAD

    def compose(self) -> ComposeResult:
        """Yield what the screen consists of."""
        yield self._stage

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do, but to look ahead."""
        return self._work is None and not self.playing and self._shown is not None

    def on_mount(self) -> None:
        """Begin to look at what is to be done."""
        self._drawable = True
        self.set_interval(TICK, self._tick)
        self._draw()

    def on_resize(self) -> None:
        """Fit what is shown to the screen; how tall the details are is known only after that."""
        self._draw()
        self.call_after_refresh(self._draw)

    # --- what is to be done ---

    def _tick(self) -> None:
        """Do a part of what takes long, or take the steps that are due."""
        now = time.monotonic()
        elapsed, self._ticked = now - self._ticked, now
        if self._work is not None:
            self._do_work()
        elif self.playing:
            self._play(min(elapsed, 1.0))
        elif self._shown is None:
            self._show_pass()
        elif self._ahead > 0 and not self.playback.history.over:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Look for the run's end for a while, so that one sees how far it is."""
        began = time.perf_counter()
        self.playback.read_on()
        self._ahead -= time.perf_counter() - began
        if self.playback.history.over or self._ahead <= 0:
            self._draw()

    def _do_work(self) -> None:
        assert self._work is not None
        try:
            known = next(self._work)
            self.message = Text(f"reading the run: {known:,} steps so far (esc stops)")
            self._stage.draw_message(self.message)
            return
        except StopIteration:
            self.message = Text()
        except Tm2tfError as error:
            self._say(error)
        self._work = None
        self._arrive()

    def _play(self, elapsed: float) -> None:
        self._owed += elapsed * self.speed
        count, self._owed = int(self._owed), self._owed % 1
        if count:
            self.playing = self.playback.forward(count)
            self._arrive(paused=not self.playing)
            often = min(self.speed, 1 / TICK)
            if self.playing and self.speed <= FOLLOWED and self.details.cost * often < SHARE:
                self._show_pass()
            elif self.playing and not isinstance(self._pass, str):
                self._pass = "it plays too fast for the passes to be looked at; space pauses"

    def _arrive(self, paused: bool = True) -> None:
        """Say where the cursor is now, and draw all but the pass."""
        met = self.playback.met() if paused else []
        if met:
            self.message = (
                Text().append("breakpoint ", style=STATE).append(", ".join(b.text for b in met))
            )
        self._shown = None
        if paused and self._drawable:
            self._look()
        self._draw()

    def _say(self, what: object) -> None:
        self.message = Text(str(what), style=WRONG if isinstance(what, Tm2tfError) else "none")

    def _now(self, work: Work) -> None:
        """Begin what may take long, and do its first part at once."""
        self.playing, self.message, self._work = False, Text(), work
        self._do_work()

    def _show_pass(self) -> None:
        """Look at the pass that makes the next step, and draw it."""
        self._look()
        self._draw_pass()

    def _look(self) -> None:
        """Look at the pass that makes the next step, if it was read so far; else read on."""
        step, details = self.playback.at + 1, self.details
        try:
            if not details.reach(step):
                self._pass = f"reading the context: {details.known:,} of {step:,} steps"
                return
            self._pass = details.look(step)
        except NotFoundError:
            self._pass = self._last_pass()
        except Tm2tfError as error:
            self._pass = f"{error}. Tapes, states and rules are shown all the same."
        self._shown = step

    def _last_pass(self) -> Pass | str:
        """Return the pass of the last step, where there is no next one."""
        at = self.playback.at
        found = self.details.whole(at) if at else None
        return "the run is over before any pass" if found is None else found

    def _draw(self) -> None:
        """Draw it all."""
        if self._drawable:
            self._stage.draw(self.playback)
            self._stage.draw_status(self.playback, self.speed, self.playing)
            self._stage.draw_message(self.message)
            self._draw_pass()

    def _draw_pass(self) -> None:
        """Draw the pass that was looked at last."""
        summaries = () if isinstance(self._pass, str) else self.details.summaries
        self._stage.draw_pass(self.playback, self._pass, summaries)

    # --- what keys do ---

    def action_forward(self) -> None:
        """Take a step."""
        if self._work is None:
            self._now(self._one_on())

    def _one_on(self) -> Work:
        """Take one step, if there is one."""
        history, at = self.playback.history, self.playback.at
        while not history.over and history.steps < at + 1:
            yield self.playback.read_on()
        self.playback.at = min(at + 1, history.steps)
        if self.playback.at >= history.steps and not history.over:
            self.playback.read_on()  # whether it is over is known a step later

    def action_step_back(self) -> None:
        """Take a step back."""
        self._leave()
        self.playback.back()
        self._arrive()

    def action_home(self) -> None:
        """Go to the beginning."""
        self._leave()
        self.playback.at = 0
        self._arrive()

    def action_end(self) -> None:
        """Go to the end."""
        self._now(self.playback.going_to_end())

    def action_next(self) -> None:
        """Go to the next breakpoint."""
        self._now(self.playback.going_to_next())

    def action_previous(self) -> None:
        """Go to the breakpoint before."""
        self._leave()
        try:
            self.playback.to_previous()
        except InputError as error:
            self._say(error)
        self._arrive()

    def _leave(self) -> None:
        """Stop whatever goes on, and what was said."""
        self.playing, self._work, self.message = False, None, Text()

    def action_play(self) -> None:
        """Play, or pause."""
        playing = not self.playing
        self._leave()
        history = self.playback.history
        self.playing = playing and not (history.over and self.playback.at == history.steps)
        self._owed = 1.0 if self.playing else 0.0  # the first step at once
        self._arrive(paused=not self.playing)

    def action_speed(self, way: int) -> None:
        """Play faster (1) or slower (-1)."""
        others = [s for s in SPEEDS if (s - self.speed) * way > 0]
        if others:
            self.speed = min(others) if way > 0 else max(others)
        self._stage.draw_status(self.playback, self.speed, self.playing)

    def action_scroll(self, lines: int) -> None:
        """Scroll what does not fit."""
        self._stage.scroll_details(lines)

    def action_help(self) -> None:
        """Show all keys."""
        self.playing = False
        self.push_screen(Help())

    def action_stop(self) -> None:
        """Stop what goes on, or the question."""
        self._leave()
        self._stage.answered()
        self._arrive(paused=False)

    def action_ask(self, what: str) -> None:
        """Ask for a step or a breakpoint."""
        self._leave()
        self._asking = what
        self._stage.ask(what)
        self._stage.draw_message(self.message)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the step, or set the breakpoint."""
        text = event.value.strip()
        self._stage.answered()
        if not text:
            return
        try:
            if self._asking == "go to step":
                self._now(self.playback.going_to(number_of(text)))
                return
            if text == "clear":
                self.playback.breakpoints.clear()
            else:
                self.playback.toggle(parse(text, self.playback.machine))
        except InputError as error:
            self._say(error)
        self._draw()
