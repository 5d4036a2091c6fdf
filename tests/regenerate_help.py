"""Writes tests/golden/help again: `python -m tests.regenerate_help`, then look at the diff."""

from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from tm2tf.cli import COMMANDS, group
from tm2tf.cli.kat_command import STEPS
from tm2tf.cli.learn_command import EXPERIMENTS
from tm2tf.cli.plot_command import PICTURES

FOLDER = Path(__file__).resolve().parent / "golden" / "help"


GROUPS = ("learn", "kat", "plot")
LEAVES = (
    *(command for command in COMMANDS if command not in GROUPS),
    *(f"learn {experiment}" for experiment in EXPERIMENTS),
    *(f"kat {command}" for command in STEPS),
    *(f"plot {picture}" for picture in PICTURES),
)
"""The commands that do something, as they are typed."""


def file_of(command: str) -> str:
    """Return the file that holds a command's help."""
    return command.replace(" ", "-") + ".txt"


def help_texts() -> Iterator[tuple[str, str]]:
    """Yield (name of the file, what --help prints) for groups and commands, 80 columns."""
    for command in ("", *GROUPS, *LEAVES):
        result = CliRunner().invoke(
            group, [*command.split(), "--help"], prog_name="tm2tf", terminal_width=80
        )
        if result.exit_code != 0 or result.stderr:
            raise SystemExit(f"{command} --help failed:\n{result.output}")
        yield file_of(command or "tm2tf"), result.stdout


def main() -> None:
    """Write the files, and remove those of commands that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = dict(help_texts())
    for path in set(FOLDER.iterdir()) - {FOLDER / name for name in texts}:
        path.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
