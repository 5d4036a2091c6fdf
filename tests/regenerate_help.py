"""Writes tests/golden/help again: `python -m tests.regenerate_help`, then look at the diff."""

from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from tm2tf.cli import COMMANDS, group

FOLDER = Path(__file__).resolve().parent / "golden" / "help"


def help_texts() -> Iterator[tuple[str, str]]:
    """Yield (name of the file, what --help prints) for the group and every command, 80 columns."""
    for name, arguments in (("tm2tf", []), *((command, [command]) for command in COMMANDS)):
        result = CliRunner().invoke(
            group, [*arguments, "--help"], prog_name="tm2tf", terminal_width=80
        )
        if result.exit_code != 0 or result.stderr:
            raise SystemExit(f"{name} --help failed:\n{result.output}")
        yield f"{name}.txt", result.stdout


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
