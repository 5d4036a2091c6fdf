"""The player, opened on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tm2tf.errors import ExtraError
from tm2tf.player.breakpoints import Breakpoint
from tm2tf.player.panels import given
from tm2tf.player.playback import Playback

if TYPE_CHECKING:
    from tm2tf.player.app import Player


def player(
    playback: Playback,
    *,
    at: int = 0,
    speed: float | None = None,
    breakpoints: Sequence[Breakpoint] = (),
) -> Player:
    """Return the player of a run; its `run()` takes the terminal until it is quit.

    Raises:
        ExtraError: textual is not installed.
    """
    try:
        from tm2tf.player import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise ExtraError("the terminal player", "textual", "player") from None
    machine, weights = playback.machine, playback.compiled.weights
    words = f"{machine.name} · {weights.construction} · {given(machine, playback.start.tapes)}"
    chosen = app.SPEED if speed is None else speed
    return app.Player(playback, words, at=at, speed=chosen, breakpoints=breakpoints)
