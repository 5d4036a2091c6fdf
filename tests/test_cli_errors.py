"""Bad input: exit code 2, one message on stderr that says what to do, nothing on stdout."""

import shlex

import pytest
from click.testing import CliRunner

from tm2tf import api
from tm2tf.cli import group
from tm2tf.errors import InternalError
from tm2tf.machine.spec import Machine
from tm2tf.verify import lockstep

UNKNOWN_STATE = """\
name: x
start: a
halt: z
rules:
  a:
    _: 1 R zz
"""
NEVER_STATED = "start: a\nrules: {a: {_: R}}\nexamples:\n  - {input: '', %s}\n"
LONG = "1RB" * 10
CASES = {  # a command line: what its message must say
    # what MACHINE may be
    "run nope.yaml": "no such file: nope.yaml",
    "run folder/bb2": "no such file: folder/bb2",
    "run bb44": "'bb44'; did you mean 'bb4'? (`tm2tf machines` lists the bundled ones)",
    "machines palindrom": "did you mean 'palindrome'?",
    "run ''": "no file and no bundled machine is called ''",
    "verify ''": "no file and no bundled machine is called ''",
    f"run {'x' * 300}": "no file and no bundled machine",
    "run random:1": "no bundled machine is called 'random:1'",
    f"run random:0:{'1' * 5000}": "no file and no bundled machine",
    "compile state.yaml": "state.yaml:6:5: unknown state 'zz'; did you mean 'z'?\n    6 |",
    "run 1RB1LB_1LA1R": "1:8: row 2 has 5 characters; expected 6",
    "run 1RB1LB_1LA1RZ1": "1:8: row 2 has 7 characters; expected 6",
    f"run {LONG}_1RB": "1:32: row 2 has 3 characters; expected 30",
    "run binary.yaml": "binary.yaml: not a text in UTF-8",
    "run nul.yaml": "nul.yaml:1:1: this is no machine in a format that tm2tf knows",
    "run empty.yaml": "empty.yaml:1:1: this is no machine",
    "verify --corpus bytes.tsv": "the corpus bytes.tsv is not a text in UTF-8",
    # folders
    "run folder": "folder: expected manifest.json and model.safetensors, found []",
    "compile folder": "folder: expected manifest.json and model.safetensors, found []",
    "run hugging": "this looks like a Hugging Face model",
    "run damaged": "it was edited or damaged",
    "verify bb2 damaged": "it was edited or damaged",
    "inspect damaged": "it was edited or damaged",
    "run cut": "expected manifest.json and model.safetensors, found ['manifest.json']",
    "compile bb2 -o hugging": "expected an empty folder or an artifact",
    "compile bb2 -o empty.yaml": "Directory 'empty.yaml' is a file",
    "compile bb2 -o empty.yaml/x": "cannot be written",
    "convert bb2 --to native -o empty.yaml/x": "cannot write empty.yaml/x",
    # inputs
    "run bb2 --input 1 --input 1": "--input is given 2 times, but machine 'bb2' has 1 tape",
    "run palindrome-2tape --head 1 --head 2 --head 3": "--head is given 3 times",
    "run bb2 --input 012": "symbol '2' on tape 0 is not in the alphabet of machine 'bb2'",
    "run bb2 --head 1.5": "'1.5' is not a valid integer",
    "run bb2 --input 1 --head 99999999999": "tape 0 begins too far out",
    f"verify bb2 --head {'9' * 30}": "tape 0 begins too far out",
    "inspect bb2 --step 1 --input 1 --head-at -99999999999": "tape 0 begins too far out",
    "verify far.yaml": "tape 0 begins too far out",
    "verify bb2 bb3 --input 1": "--input goes with one MACHINE",
    "verify --random 1 --head 1": "--input goes with one MACHINE",
    "run bb2 --max-steps -1": "-1 is not in the range",
    "verify bb2 --max-steps -1": "-1 is not in the range",
    "verify below.yaml": "max_steps must be 0 or more, got -3",
    # names
    "run bb2 --construction trac": "unknown construction 'trac'; known: trace, universal,",
    "verify --random 2 --construction x": "unknown construction 'x'",
    "compile bb2 --target hart": "unknown target 'hart'; known: hard, tracr; did you mean 'hard'?",
    "verify bb2 --runtime kernle": "unknown runtime 'kernle'; known: kernel, torch; did you mean",
    "run bb2 --device gpu": "'gpu' is not one of 'auto', 'cpu', 'cuda'",
    "run bb2 --device cuda": "the kernel runs on the CPU; for CUDA take --runtime torch",
    "convert bb2 --to nativ": "unknown format 'nativ'; known: native, bbchallenge,",
    "convert palindrome --to bbchallenge": "a bbchallenge code cannot say: accepting or rejecting",
    "examples 99": "no example '99'; there are 01-",
    "examples 01-helo-machine": "did you mean '01-hello-machine'?",
    # constructions
    "run bb4 --construction addressed --tape 8": "in step 59 a head left the tape of 8 cells that "
    "construction 'addressed' was compiled with; compile with --tape 16",
    "verify bb4 --construction queue --tape 8": "in step 59 a head left the tape of 8 cells",
    "run palindrome --construction addressed --tape 4 --input abcba": "head and contents of the "
    "start take 5 cells, and the tape has 4; compile with --tape 5 or more",
    "run bb4 --construction looped --window 4 --fixed-window": "in step 4 a head leaves the window "
    "of 4 cells; compile with --window 8, or let the window grow",
    "run universal --construction universal": "take --states 40 --symbols 15",
    "verify bb2 --construction universal --states 1": "has 2 running states (room for 1)",
    "verify --random 3 --construction universal --symbols 1": "of 300 random machines only 0 can",
    "run matching-3tape --construction queue": "takes machines of one tape, and this one has 3",
    "run bb2 --tape 8": "construction 'trace' has no option 'tape'",
    "run bb2 --construction queue --tape 1": "tape is 1; it must be from 2 to 65,536",
    "compile bb2 --construction universal --states 1000000": "must be from 1 to 500",
    "run bb2 --dtype float32": "float32 has 24 significant bits",
    "run bb2 --construction queue --dtype float8": "unknown dtype 'float8'; known: float64,",
    "verify bb4 --construction all --tape 6": "compile with --tape 12 (by: tm2tf verify bb4",
    "compare bb4 --tape 1": "tape is 1; it must be from 2 to 65,536",
    "run bb2 --fixed-window": "construction 'trace' has no window: leave --fixed-window out",
    "compare bb2 --max-steps 0": "0 is not in the range",
    "compare nosuch": "no bundled machine is called 'nosuch'",
    # verify, and usage
    "verify": "name a MACHINE, or give --random N or --corpus FILE.tsv",
    "verify --random 0": "name a MACHINE",
    "verify --random -1": "-1 is not in the range",
    "verify --corpus no.tsv": "cannot read the corpus no.tsv",
    "verify --corpus folder": "File 'folder' is a directory",
    "verify --corpus short.tsv": "short.tsv:2:1: expected a code, its steps and its nonblank cells",
    "verify --corpus words.tsv": "words.tsv:1:1: expected a code, its steps and its nonblank cells",
    "verify --corpus code.tsv": "code.tsv:3:8: row 2 has 5 characters",
    "run": "Missing argument 'MACHINE'",
    "convert bb2": "Missing option '--to'",
    "run bb2 --nonsense": "No such option '--nonsense'",
    "verfy bb2": "no such command: 'verfy'; did you mean 'verify'?",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with files that are wrong in all kinds of ways."""
    at = tmp_path_factory.mktemp("bad")
    texts = {
        "state.yaml": UNKNOWN_STATE,
        "empty.yaml": "",
        "far.yaml": NEVER_STATED.replace("''", "{head: 99999999999}") % "steps: 1",
        "below.yaml": NEVER_STATED % "steps: 1, max_steps: -3",
        "short.tsv": "# two fields\n1RB1LB_1LA1RZ\t6\n",
        "words.tsv": "1RB1LB_1LA1RZ\tsix\tfour\n",
        "code.tsv": "# a code\n\n1RB1LB_1LA1R\t6\t4\n",
    }
    for name, text in texts.items():
        (at / name).write_text(text, encoding="utf-8")
    (at / "binary.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    (at / "nul.yaml").write_bytes(b"\x00\x01\x02\n")
    (at / "bytes.tsv").write_bytes(b"\xff\xfe\t6\t4\n")
    for name in ("folder", "hugging"):
        (at / name).mkdir()
    (at / "hugging" / "config.json").write_text("{}", encoding="utf-8")
    for name in ("damaged", "cut"):
        api.compile("bb2").save(at / name)
    weights = at / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + bytes(7) + b"\x01")
    (at / "cut" / "model.safetensors").unlink()
    return at


def tm2tf(line):
    """Run a command line; exceptions that reach click, which are tracebacks, pass through."""
    return CliRunner(catch_exceptions=False).invoke(group, shlex.split(line), prog_name="tm2tf")


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("line", CASES, ids=lambda line: line[:60])
def test_one_message_says_what_is_wrong(line, json, place, monkeypatch):
    monkeypatch.chdir(place)
    result = tm2tf(f"{line} --json" if json else line)
    assert (result.exit_code, result.stdout) == (2, "")
    assert CASES[line] in result.stderr
    assert result.stderr.lower().count("error:") == 1
    assert "Traceback" not in result.stderr


def test_nothing_was_written(place):
    assert not list(place.glob("*.tm2tf"))
    assert not list((place / "folder").iterdir())


def test_cuda_is_asked_for_where_there_is_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = tm2tf("run bb2 --runtime torch --device cuda")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: torch finds no CUDA device; take --device cpu\n"


def test_a_contradiction_in_tm2tf_itself_is_exit_code_1(monkeypatch):
    def contradict(*_):
        raise InternalError("the simulator says 1, the interpreter 2")

    monkeypatch.setattr(lockstep, "check_reference", contradict)
    result = tm2tf("verify bb2 --json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: the simulator says 1, the interpreter 2",
        "this is a fault of tm2tf: please report it with the command",
    ]


def test_what_looks_odd_but_is_fine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "rules: {a: {_: 1 R z}}\nstart: a\nhalt: z\n"
    (tmp_path / "mark.yaml").write_text("\ufeff" + text, encoding="utf-8")
    for line in (
        "run mark.yaml",
        f"run {'_'.join([LONG] * 25)} --max-steps 3",
        "run bb2 --max-steps 99999999999999999999",
        "verify bb2 --max-steps 99999999999999999999",
        "verify bb2 --head 10000000 --max-steps 3",
        "run bb2 --max-steps 0",
        "verify bb2 --max-steps 0",
    ):
        assert (tm2tf(line).exit_code, line) == (0, line)
    assert api.load(tmp_path / "mark.yaml") == Machine(
        "mark", ("_", "1"), "_", ("a", "z"), "a", api.load(text).transitions, halt=("z",)
    )
