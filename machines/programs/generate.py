"""Writes the YAML file of every program in this folder: `python machines/programs/generate.py`.

A program is a Python file whose `build()` returns a machine, written with the structured
assembler (`tm2tf.machine.builder`). The file that is written is called after the machine. It
needs tm2tf installed, or the project's root on PYTHONPATH.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from tm2tf.formats import native_writer

FOLDER = Path(__file__).resolve().parent


def generated() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every file to write."""
    for program in sorted(FOLDER.glob("*.py")):
        if program.name == Path(__file__).name:
            continue
        spec = importlib.util.spec_from_file_location(program.stem, program)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        machine = module.build()
        comment = f"# Generated from {program.name}: change that, then run generate.py.\n"
        yield FOLDER / f"{machine.name}.yaml", comment + native_writer.dump(machine)


if __name__ == "__main__":
    for path, text in generated():
        path.write_text(text, encoding="utf-8")
        print(path)
