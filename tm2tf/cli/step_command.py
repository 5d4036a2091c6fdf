"""`tm2tf step`: a run in the terminal, step by step, forward and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tm2tf.cli.common import (
    Asked,
    compile_options,
    input_options,
    json_option,
    model_of,
    print_json,
    progress,
    starts,
    tape_json,
)
from tm2tf.errors import InputError

if TYPE_CHECKING:
    from tm2tf.player.playback import Playback


@click.command(name="step")
@click.argument("machine")
@input_options
@compile_options
@click.option(
    "--at", type=click.IntRange(min=0), default=0, help="Begin after so many steps (default 0)."
)
@click.option(
    "--break",
    "breaks",
    multiple=True,
    metavar="WHERE",
    help="Set a breakpoint: 'state B', 'read 1', 'tape 1 read a' (tapes count from 0) or "
    "'step 100'. May be given again.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True, max=1_000_000),
    help="Steps a second when it plays (default 5; + and - change it).",
)
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    asked: Asked,
    at: int,
    breaks: tuple[str, ...],
    speed: float | None,
    as_json: bool,
) -> None:
    """Step through a run of MACHINE in the terminal, forward and back.

    It shows the tapes, the state, the rule that comes next, and the forward pass behind it: where
    each head attended, which neurons fired. What is shown is what the weights do. Keys stand at
    the bottom, ? shows all, q quits. With --json: what stands at step --at, without a screen.

    \b
    Examples:
      tm2tf step bb4
      tm2tf step binary-increment --input 1011 --break 'state carry'
      tm2tf step palindrome-2tape --input 0110 --at 5 --json
    """  # noqa: D301
    if not as_json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(
            "the player needs a terminal, and stdin or stdout is none; take --json, or "
            f"`tm2tf inspect {machine} --step {at + 1}` for the text of one pass"
        )
    model = model_of(machine, asked)
    start = model.start(*starts(model.machine, inputs, origins, heads))
    from tm2tf.player.breakpoints import parse
    from tm2tf.player.play import player
    from tm2tf.player.playback import Playback

    breakpoints = [parse(text, model.machine) for text in breaks]
    playback = Playback(model.compiled, start)
    if as_json:
        playback.breakpoints += breakpoints
        with progress(model.machine.name, at) as update:
            for known in playback.going_to(at):
                if update is not None:
                    update(known)
        print_json(_json(playback))
    else:
        player(playback, at=at, speed=speed, breakpoints=breakpoints).run()


def _json(playback: Playback) -> dict[str, object]:
    """Return what stands where the cursor is."""
    from tm2tf.inspect.forms import to_json
    from tm2tf.inspect.recording import Recording

    now, history = playback.now(), playback.history
    over = history.over and now.step == history.steps
    view, refused = None, None
    try:
        view = Recording(playback.compiled, playback.start).view(now.step + 1)
    except InputError as error:
        refused = str(error)
    return {
        "machine": playback.machine.name,
        "construction": playback.compiled.weights.construction,
        "step": now.step,
        "state": now.state,
        "reads": list(now.reads),
        "tapes": [tape_json(playback.machine, t) for t in playback.configuration().tapes],
        "next": None if now.next is None else to_json(now.next),
        "last": None if now.last is None else to_json(now.last),
        "outcome": history.outcome if over else None,
        "trouble": history.trouble if over else None,
        "breakpoints": [b.text for b in playback.breakpoints],
        "met": [b.text for b in playback.met()],
        "pass": to_json(view),
        "no_pass": refused,
    }
