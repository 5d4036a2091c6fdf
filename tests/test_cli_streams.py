"""Streams that are closed or full, codes that look like options, interrupted runs."""

import os
import signal
import subprocess
import sys
import time
from functools import cache

import pytest
from click.testing import CliRunner

from tm2tf.cli import group

TM2TF = f"{sys.executable} -m tm2tf"


def shell(command):
    return subprocess.run(
        ["bash", "-c", command.replace("tm2tf", TM2TF)], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("more", ["", " --json"])
@pytest.mark.parametrize("stream", [">&-", "2>&-"])
def test_a_closed_stream_changes_nothing_else(stream, more):
    done = shell(f"tm2tf run bb2{more} {stream}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("more", ["", " --json"])
def test_a_full_disk_is_one_message(more):
    done = shell(f"tm2tf run bb2{more} >/dev/full")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_code_that_begins_with_an_undefined_transition():
    done = shell("tm2tf run ---1RB_1LA1RB --json")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"machine": "---1RB_1LA1RB"' in done.stdout


@pytest.mark.parametrize(
    ("command", "shown"),
    [("run counter", "interrupted in state"), ("verify antihydra --max-steps 3000000000", "")],
)
def test_ctrl_c(command, shown):
    for _ in range(2):  # the first time may compile what is not yet in numba's cache
        began = time.monotonic()
        shell(f"tm2tf {command.split()[0]} bb2")
        warm = time.monotonic() - began
    process = subprocess.Popen(
        [sys.executable, "-m", "tm2tf", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(warm + 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown in out
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["machines", "graph gcd", "inspect universal --layer 2"])
def test_a_reader_that_has_enough_is_no_failure(command):
    """Exit code 1 would say that a check failed."""
    done = shell(f"tm2tf {command} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


# --- colours --------------------------------------------------------------------------------


@cache
def coloured():
    return shell("FORCE_COLOR=1 COLORTERM=truecolor COLUMNS=80 tm2tf diagram bb4").stdout


@pytest.mark.parametrize(
    "command",
    [
        "diagram bb4 --no-color",
        "--no-color diagram bb4",
        "diagram --no-color bb4",
    ],
)
def test_no_color_may_stand_anywhere(command):
    """With FORCE_COLOR a pipe is taken for a terminal; the option is stronger."""
    assert "\x1b[38;" in coloured()
    plain = shell(f"FORCE_COLOR=1 COLORTERM=truecolor COLUMNS=80 tm2tf {command}")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert "\x1b[38;" not in plain.stdout
    assert "\x1b[48;" not in plain.stdout


def test_no_color_ends_with_the_command(monkeypatch):
    """The environment of a program that calls the command line is as before."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for before in (None, "1", ""):
        if before is not None:
            monkeypatch.setenv("NO_COLOR", before)
        done = CliRunner().invoke(group, ["run", "bb2", "--no-color"])
        assert done.exit_code == 0
        assert os.environ.get("NO_COLOR") == before
