"""The command line: one file a command, each imported only when it is called.

A thin skin over `tm2tf.api`. Results go to stdout (with `--json` one JSON value and nothing
else), progress and messages to stderr. Exit codes: 0 good, 1 a check failed, 2 usage or bad input,
130 interrupted (Ctrl-C).
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any

import click

from tm2tf import __version__
from tm2tf.cli.lazy import LazyGroup
from tm2tf.errors import InternalError, Tm2tfError

COMMANDS = {
    "machines": "List the bundled machines, or show one.",
    "compile": "Turn a machine into the weights of a transformer.",
    "run": "Run a machine as a transformer.",
    "verify": "Check every step of the weights against the machine.",
    "sweep": "Check many machines, and keep a row for each run.",
    "compare": "Set constructions side by side on one machine.",
    "bench": "Measure speed and growth, and write it down.",
    "inspect": "Show the weights, with a name for everything in them.",
    "diagram": "Draw a run as a space-time diagram.",
    "graph": "Draw a machine's states, or a program's layers.",
    "plot": "Draw weights, attention or the residual stream.",
    "step": "Step through a run in the terminal, forward and back.",
    "view": "Make a page that shows a machine and runs its weights.",
    "export": "Write a machine as a checkpoint for other programs.",
    "kat": "Test inference engines with runs whose answer is known.",
    "learn": "Compare fine-tuning with examples in the prompt.",
    "convert": "Write a machine in another format.",
    "examples": "List or run the worked examples.",
}


INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


NO_COLOR = "--no-color"


class Commands(LazyGroup):
    """The group of all commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `--no-color` wherever it stands: it is the same as NO_COLOR=1 in the environment."""
        if NO_COLOR in args:
            before = os.environ.get("NO_COLOR")
            os.environ["NO_COLOR"] = "1"
            ctx.call_on_close(lambda: _restore(before))
        return super().parse_args(ctx, [word for word in args if word != NO_COLOR])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; our own errors become one message and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            if not _stdout_is_closed():
                raise
            _drop_stdout()  # its reader (`head`, say) has what it wanted; click would exit with 1
            ctx.exit(0)
        except Tm2tfError as error:
            click.echo(f"error: {error}", err=True)
            if isinstance(error, InternalError):
                click.echo("this is a fault of tm2tf: please report it with the command", err=True)
                ctx.exit(1)
            ctx.exit(2)


@click.group(
    cls=Commands,
    table=COMMANDS,
    module="tm2tf.cli.{}_command",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="MACHINE is a file, a bundled name (bb5), a bbchallenge code (1RB1LB_1LA1RZ), or a "
    "folder that `tm2tf compile` wrote. `tm2tf COMMAND --help` shows an example of each.",
)
@click.option(NO_COLOR, is_flag=True, expose_value=False, help="No colours; it may stand anywhere.")
@click.version_option(__version__, prog_name="tm2tf")
def group() -> None:
    """Compile Turing machines into transformers, run the weights, check every step."""


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell (>&-)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):  # what its encoding lacks must not end it
            stream.reconfigure(errors="backslashreplace")
    # A code such as ---1RB_1LA1RB is no option: a blank before it says so, and is dropped later.
    arguments = [" " + word if word.startswith("---") else word for word in sys.argv[1:]]
    try:
        group(arguments, prog_name="tm2tf")
    except OSError as error:
        _cannot_write(error)
    finally:
        _flush()


def _restore(no_color: str | None) -> None:
    """Set NO_COLOR in the environment to what it was before a command."""
    if no_color is None:
        os.environ.pop("NO_COLOR", None)
    else:
        os.environ["NO_COLOR"] = no_color


def _stdout_is_closed() -> bool:
    """Return whether stdout is a pipe that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows, where pipes cannot be asked
        return True
    asked = select.poll()
    asked.register(sys.stdout.fileno(), select.POLLOUT)
    return any(events & select.POLLERR for _, events in asked.poll(0))


def _flush() -> None:
    """Write out what stdout still holds."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has what it wanted
        _drop_stdout()
    except OSError as error:
        _cannot_write(error)


def _cannot_write(error: OSError) -> None:
    """Say that stdout takes nothing more, and exit with 2."""
    click.echo(f"error: cannot write the output: {error.strerror}", err=True)
    _drop_stdout()
    sys.exit(2)


def _drop_stdout() -> None:
    """Forget what stdout still holds, which Python would try to write once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
