"""`--block` on the command line: run, compile, verify, inspect and machines."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.test_cli import from_json, tm2tf
from tm2tf.cli import group
from tm2tf.formats import native


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(line):
    """Run a command line that is refused; return what stderr says."""
    result = CliRunner(catch_exceptions=False).invoke(group, shlex.split(line), prog_name="tm2tf")
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


def test_run_says_base_steps_and_macro_steps():
    shown = tm2tf("run bb4 --block 12")
    assert "outcome         halted in state Z\n" in shown
    assert "steps           107 of bb4, in 14 macro steps\n" in shown
    assert re.search(r"blocks +of 12 cells; 14 rules on 15 of them, found by a first run", shown)
    assert "nonblank        13\n" in shown
    assert "tape 0          10111111111111  from -10, head at -9\n" in shown
    assert re.search(r"times +finding [\d.]+ ms, compiling [\d.]+ ms, running [\d.]+ ms", shown)


def test_run_as_json():
    plain, found = from_json("run bb4"), from_json("run bb4 --block 12")
    for key in ("machine", "outcome", "state", "steps", "nonblank", "tapes"):
        assert found[key] == plain[key]
    assert found["macro_steps"] == 14
    assert found["forward_passes"] == 14
    assert found["blocks"]["block"] == 12
    assert found["blocks"]["table"] == "run"
    assert found["blocks"]["chosen"] is None
    assert found["blocks"]["first_run"]["base_steps"] == 107
    assert found["total_seconds"] == pytest.approx(
        found["finding_seconds"] + found["compiling_seconds"] + found["seconds"], abs=1e-5
    )
    assert plain.keys() <= found.keys()


def test_run_by_closure_and_in_blocks_of_a_size_that_is_chosen():
    found = from_json("run bb4 --block 4 --table closure")
    assert (found["steps"], found["macro_steps"]) == (107, 24)
    assert found["blocks"]["table"] == "closure"
    assert found["blocks"]["first_run"] is None
    found = from_json("run bb4 --block auto")
    assert found["steps"] == 107
    sizes = found["blocks"]["chosen"]["sizes"]
    assert found["blocks"]["block"] in [each["block"] for each in sizes]
    assert len(sizes) >= 4


def test_inputs_are_cells_of_the_machine():
    line = "run binary-increment --input 1011 --origin 3 --head 3"
    plain, found = from_json(line), from_json(f"{line} --block 3 --show-prompt")
    for key in ("outcome", "state", "steps", "tapes"):
        assert found[key] == plain[key]
    assert found["prompt"] == ["<bos>", "101", "1__", "<start>"]


def test_steps_are_limited_by_base_steps():
    found = from_json("run bb4 --block 4 --max-steps 50")
    assert found["outcome"] == "step-limit"
    assert found["steps"] <= 50
    assert from_json(f"run bb4 --max-steps {found['steps']}")["tapes"] == found["tapes"]
    assert from_json("run counter --block 4 --max-steps 1000")["steps"] <= 1000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run bb4 --block 0", "error: a block has 1 to 512 cells, not 0"),
        ("run bb4 --block 513", "error: a block has 1 to 512 cells, not 513"),
        ("run bb4 --block x", "'x' is neither a number of cells nor 'auto'"),
        ("run bb4 --table run", "--table goes with --block"),
        ("run bb4 --most-rules 5", "--most-rules goes with --block"),
        ("run bb4 --block 4 --most-rules 5", "in blocks of 4 has more than 5 rules"),
        ("run bb4 --block 4 --most-rules 0", "--most-rules"),
        ("run bb4 --block auto --table closure", "take --table run, or a number"),
        ("run palindrome-2tape --block 2", "error: blocks are of one tape"),
        ("run palindrome-2tape --block auto", "error: blocks are of one tape"),
        ("run counter --block 16 --max-steps 100000000 --most-rules 100", "more than 100 rules"),
        ("run bb4 --block 4 --input 2", "symbol '2' on tape 0 is not in the alphabet"),
        ("machines --block 2", "--block goes with a machine"),
        ("machines bb4 --input 1", "--input goes with --block"),
        ("compile bb4 --input 1", "--input goes with --block"),
        ("verify bb4 --block 2 --construction all", "one construction at a time"),
        ("run nothing --block 2", "no bundled machine is called 'nothing'"),
    ],
)
def test_what_is_refused(line, said):
    assert said in refused(line)


def test_compile_and_run_the_artifact():
    shown = tm2tf("compile bb4 --block 4 -o a")
    assert "machine          bb4-blocks-of-4\n" in shown
    assert "of 4 cells; 112 rules on 16 of them, found by closure" in shown
    found = from_json("run a")
    assert (found["machine"], found["steps"], found["macro_steps"]) == ("bb4", 107, 24)
    assert from_json("run a --block 4")["steps"] == 107
    assert "was compiled with --block 4, not 5" in refused("run a --block 5")
    assert "107 steps of the machine itself" in tm2tf("verify a")
    tm2tf("compile bb4 -o b")
    assert "was compiled without --block" in refused("run b --block 4")
    facts = from_json("compile bb4 --block 4 --table run -o c")
    assert facts["blocks"]["table"] == "run"
    assert facts["blocks"]["rules"] < 112


def test_an_artifact_is_for_the_blocks_of_the_examples_or_of_an_input():
    tm2tf("compile binary-increment --block 2 -o a")
    for word in ("1011", "111"):
        plain, found = (from_json(f"run {x} --input {word}") for x in ("binary-increment", "a"))
        assert (found["steps"], found["tapes"]) == (plain["steps"], plain["tapes"])
    tm2tf("compile palindrome --block 2 --input abba -o b")
    assert from_json("run b --input abba")["outcome"] == "accepted"
    assert "is none that this block machine knows" in refused("run b --input cc")


def test_verify():
    shown = tm2tf("verify bb4 palindrome --block 3")
    assert re.search(r"\d+ macro steps unfolded to \d+ steps of the machine itself", shown)
    report = from_json("verify bb4 --block 3")
    assert (report["checked"], report["agreed"]) == (1, 1)
    (unfolded,) = report["unfolded"]
    assert (unfolded["machine"], unfolded["block"], unfolded["steps"]) == ("bb4", 3, 107)
    assert unfolded["macro_steps"] == report["steps_checked"]
    assert "unfolded" not in from_json("verify bb4")
    random = from_json("verify --random 10 --block 3")
    assert (random["checked"], random["agreed"]) == (10, 10)
    assert all(each["steps"] <= 1000 for each in random["unfolded"])


def test_a_wrong_expectation_is_a_difference_with_a_command_that_repeats_it():
    text = tm2tf("machines bb4").replace("steps: 107", "steps: 108")
    Path("wrong.yaml").write_text(text, encoding="utf-8")
    report = from_json("verify wrong.yaml --block 3", code=1)
    (part,) = report["diverged"]
    assert (part["feature"], part["expected"], part["got"]) == ("expected steps", "108", "107")
    assert "--block 3 --table run" in part["command"]
    again = json.loads(tm2tf(part["command"].removeprefix("tm2tf ") + " --json", code=1))
    assert again["diverged"][0]["got"] == "107"


def test_inspect_and_machines():
    shown = tm2tf("inspect bb4 --block 2")
    assert "bb4-blocks-of-2 as a transformer" in shown
    step = from_json("inspect binary-increment --block 3 --step 1 --input 1011")
    assert step["machine"] == "binary-increment-blocks-of-3"
    text = tm2tf("machines bb4 --block 2")
    machine = native.parse(text)
    assert machine.name == "bb4-blocks-of-2"
    assert set(machine.symbols) == {"00", "01", "10", "11"}
    facts = from_json("machines bb4 --block 2")
    assert native.parse(facts["file"]) == machine
    assert facts["rules"] == len(machine.transitions)
    assert len(native.parse(tm2tf("machines bb5 --block 24 --table run")).transitions) == 83


def test_the_list_of_machines_loads_no_numba():
    code = (
        "import sys; from tm2tf.cli import group\n"
        "group(['machines', 'bb4'], standalone_mode=False)\n"
        "assert not {'numba', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_bb5():
    found = from_json("run bb5 --block 24 --kernel folded")
    assert (found["steps"], found["macro_steps"]) == (47_176_870, 1_965_136)
    assert found["nonblank"] == 4098
    assert found["blocks"]["rules"] == 83
