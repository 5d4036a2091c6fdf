"""A group of commands that imports a command's module when the command is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from tm2tf.errors import did_you_mean


class LazyGroup(click.Group):
    """A group that knows its commands by name and summary alone.

    Args:
        table: the summary of each command by name, in the order in which one meets them.
        module: the module of a command; `{}` stands for its name, `-` in it becomes `_`. It holds
            the command as `command`.
        others: what `click.Group` takes.
    """

    def __init__(self, *, table: Mapping[str, str], module: str, **others: Any) -> None:
        super().__init__(**others)
        self.table = table
        self.module = module

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one meets them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(self.module.format(cmd_name.replace("-", "_")))
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, or say which name is near."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            ctx.fail(f"no such command: {args[0]!r}" + did_you_mean(args[0], self.table))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))
