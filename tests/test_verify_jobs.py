"""`tm2tf verify --jobs`: several processes say what one does, in its order."""

import json

import pytest
from click.testing import CliRunner

from tm2tf.cli import group, verify_command
from tm2tf.cli.processes import by_processes
from tm2tf.errors import InternalError

CORPUS = """\
1RB1LB_1LA1RZ\t6\t4
1RB1LB_1LA1RZ\t7\t4
1RB1RB_1RA1RA\t9\t9
1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA\t47176870\t4098
"""


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return what runs `tm2tf verify` on a corpus and random machines; a few runs are many now."""
    monkeypatch.setattr(verify_command, "MANY", 4)
    path = tmp_path / "corpus.tsv"
    path.write_text(CORPUS)

    def run(*arguments, count=10):
        given = ["--random", str(count), "--corpus", str(path), "--max-steps", "50", "--json"]
        return CliRunner().invoke(group, ["verify", *given, *arguments])

    return run


def test_processes_say_what_one_says(asked):
    one, two = asked("--jobs", "1"), asked("--jobs", "2")
    assert one.exit_code == two.exit_code == 1
    found, other = json.loads(one.stdout), json.loads(two.stdout)
    del found["seconds"], other["seconds"]
    assert found == other
    assert found["checked"] == 14
    steps = [(part["machine"], part["feature"]) for part in found["diverged"]]
    assert steps == [
        ("1RB1LB_1LA1RZ", "expected steps"),
        ("1RB1RB_1RA1RA", "expected outcome"),
    ]


@pytest.mark.slow
def test_what_a_construction_does_not_take_is_told_in_order(asked):
    arguments = ("--construction", "all", "--max-steps", "4")
    one, two = (json.loads(asked(*arguments, "--jobs", n, count=1).stdout) for n in "12")
    assert one["skipped"] == two["skipped"] != []
    assert one["constructions"] == two["constructions"]


def test_an_error_of_a_process_is_told_as_ever(asked):
    arguments = ("--construction", "addressed", "--tape", "16")
    one, two = asked(*arguments, "--jobs", "1"), asked(*arguments, "--jobs", "2")
    assert one.exit_code == two.exit_code == 2
    assert one.stderr == two.stderr
    assert "a head left the tape of 16 cells" in one.stderr


def test_results_come_in_order():
    assert list(by_processes(abs, range(-50, 50), 2)) == [abs(n) for n in range(-50, 50)]


def test_an_error_and_the_rest_is_not_begun():
    with pytest.raises(ZeroDivisionError):
        list(by_processes((1).__truediv__, [1, 0, *[1] * 1000], 2))


def test_a_process_that_is_ended():
    import os

    with pytest.raises(InternalError, match="one of 2 processes ended unexpectedly"):
        list(by_processes(os._exit, [3] * 9, 2))
