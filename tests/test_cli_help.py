"""What the command line says of itself, what it loads, and what it writes into a pipe."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.regenerate_help import FOLDER, LEAVES, file_of, help_texts
from tm2tf import __version__
from tm2tf.cli import group

HEAVY = {"numpy", "torch", "numba", "rich"}
TEXTS = dict(help_texts())
SLOW = ("learn report", "learn bounds", "learn retrieval", "bb5.png", "--library")
"""What is in examples that take half a minute."""

SCREENS = ("step",)
"""Commands that need a terminal, but for `--json`."""

pytestmark = pytest.mark.usefixtures("shapes_unchecked")


def tm2tf(*arguments, loaded=False, **environment):
    """Run the command line as a process; with `loaded`, stderr ends in what it loaded."""
    program = ["-m", "tm2tf"]
    if loaded:
        script = (
            "import runpy, sys\n"
            "try: runpy.run_module('tm2tf', run_name='__main__', alter_sys=True)\n"
            f"finally: print(*sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
        )
        program = ["-c", script]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "80", **environment},
        timeout=100,
        check=False,
    )


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_help_is_the_golden_text(name):
    """After a change that is meant: `python -m tests.regenerate_help`."""
    assert TEXTS[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_there_is_a_golden_text_of_each_command_and_no_other():
    assert {path.name for path in FOLDER.iterdir()} == TEXTS.keys()


def examples(command):
    """Return the lines of a command's help that show it in use."""
    lines = TEXTS[file_of(command)].splitlines()
    return [line.strip() for line in lines if line.startswith("    tm2tf ")]


@pytest.mark.parametrize("command", LEAVES)
def test_each_command_has_help_an_example_and_json(command):
    text = TEXTS[file_of(command)]
    assert text.startswith(f"Usage: tm2tf {command} ")
    assert "  --json " in text
    parent, _, name = command.rpartition(" ")
    assert f"  {name} " in TEXTS[file_of(parent or "tm2tf")]
    assert examples(command)
    assert all(line.startswith(f"tm2tf {command}") for line in examples(command))
    short = CliRunner().invoke(
        group, [*command.split(), "-h"], prog_name="tm2tf", terminal_width=80
    )
    assert short.stdout == text


def lines():
    for command in LEAVES:
        for line in examples(command):
            slow = [pytest.mark.slow, pytest.mark.timeout(900)]
            yield pytest.param(line, marks=slow if any(word in line for word in SLOW) else [])


@pytest.mark.parametrize("line", list(lines()))
def test_the_examples_in_the_help_work(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tm2tf.bench.compare.LONG_ENOUGH", 0)
    words = shlex.split(line)[1:]
    for more in (["--json"],) if words[0] in SCREENS else ([], ["--json"]):
        result = CliRunner(catch_exceptions=False).invoke(group, words + more)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.strip()
        if more:
            json.loads(result.stdout)


def test_the_version():
    result = CliRunner().invoke(group, ["--version"], prog_name="tm2tf")
    assert result.stdout == f"tm2tf, version {__version__}\n"


# --- processes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        [],
        ["nonsense"],
        *([*command.split(), "--help"] for command in ("learn", *LEAVES)),
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments):
    result = tm2tf(*arguments, loaded=True)
    assert result.stderr.splitlines()[-1] == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["run", "bb2"], ["verify", "bb2"], ["machines"]], ids=" ".join
)
def test_torch_is_loaded_only_where_it_is_asked_for(arguments):
    result = tm2tf(*arguments, loaded=True)
    assert result.returncode == 0
    assert "numpy" in result.stderr.split()
    assert "torch" not in result.stderr.split()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["machines"], 0),
        (["run", "palindrome", "--input", "abba"], 0),
        (["verify", "bb2", "bb3"], 0),
        (["inspect", "bb2"], 0),
        (["examples"], 0),
        (["run", "nothing"], 2),
        (["run"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_pipe_gets_plain_text(arguments, code):
    result = tm2tf(*arguments, TERM="xterm-256color", COLORTERM="truecolor")
    assert result.returncode == code
    assert "\x1b" not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr
    assert (result.stderr == "", result.stdout == "") == ((True, False), (False, True))[code == 2]


def test_a_stdout_without_the_symbols_is_no_traceback(tmp_path):
    machine = tmp_path / "é.yaml"
    machine.write_text("start: a\nhalt: z\nrules: {a: {_: é R z}}\n", encoding="utf-8")
    for more in ([], ["--json"]):
        result = tm2tf("run", str(machine), *more, PYTHONIOENCODING="ascii")
        assert (result.returncode, result.stderr) == (0, "")
        said = json.loads(result.stdout)["tapes"][0]["contents"] if more else result.stdout
        assert "\\xe9" in said or "é" in said


def test_a_reader_that_goes_away_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "tm2tf", "inspect", "gcd", "--dense", "W_E"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(100) in (0, 1)
