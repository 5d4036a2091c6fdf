"""The contract of each command: what `--json` prints, which exit code, what people read."""

import json
import shlex

import pytest
from click.testing import CliRunner

from tests.faults import with_weight
from tm2tf import api, formats
from tm2tf.cli import group
from tm2tf.machine import library
from tm2tf.verify.cases import of_machine
from tm2tf.weights import folder

EVALUATORS = ("weights", "compiled_simulator", "reference_simulator", "interpreter")
WRONG_STEPS = """
start: a
halt: z
rules:
  a: {0: 1 R a, 1: 0 R a, _: _ L z}
examples:
  - {input: "01", steps: 3, outcome: halted, tape: "10"}
  - {input: "0", steps: 3}
"""
CORPUS = """\
# code, steps, nonblank; published but for the lines marked
1RB1LB_1LA1RZ\t6\t4\tbb2
1RB1RZ_1LB0RC_1LC1LA\t21\t5

1RB---_1LA---\t2\t2\tends in a missing transition
1RB1LB_1LA0LC_1RZ1LD_1RD0RA\t107\t12\twrong: 13 nonblank
1RB1LB_1LA0LC_1RZ1LD_1RD0RA\t106\t13\twrong: 107 steps
1RB---_1RA---\t9\t9\twrong: never halts
1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA\t47176870\t4098
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tm2tf(line, code=0):
    """Run a command line; return its stdout. Nothing may be on stderr, and exceptions pass."""
    result = CliRunner(catch_exceptions=False).invoke(group, shlex.split(line), prog_name="tm2tf")
    assert (result.exit_code, result.stderr) == (code, "")
    return result.stdout


def from_json(line, code=0):
    return json.loads(tm2tf(f"{line} --json", code))


def save_edited(path):
    """Save bb2 with the move of the token 1L>A turned round in its embedding."""
    model = api.compile("bb2")
    W_E, ids = model.weights.W_E, model.weights.ids()
    places = list(zip(W_E.rows().tolist(), W_E.columns.tolist(), strict=True))
    number = places.index((ids["1L>A"], model.weights.directions.index("tape0.move")))
    folder.save(path, with_weight(model.weights, "W_E", number, -1), model.machine)


# --- machines, convert, examples, inspect ---------------------------------------------------


def test_machines():
    rows = from_json("machines")
    assert [row["name"] for row in rows] == [entry.name for entry in library.entries()]
    row = from_json("machines palindrome-2tape")
    assert row in rows
    machine = api.load("palindrome-2tape")
    counted = ("states", "symbols", "transitions", "examples")
    assert row == {
        "name": "palindrome-2tape",
        "topic": "two-tapes",
        "description": machine.description,
        "source": machine.source,
        "tapes": 2,
        **{name: len(getattr(machine, name)) for name in counted},
        "path": str(library.find("palindrome-2tape").path),
    }
    assert tm2tf("machines bb4") == library.find("bb4").path.read_text(encoding="utf-8")
    table = tm2tf("machines")
    assert all(row["name"] in table for row in rows)


def test_convert(tmp_path):
    code = "1RB1LB_1LA1RZ"
    assert tm2tf("convert bb2 --to bbchallenge") == f"{code}\n"
    facts = {"machine": "bb2", "format": "bbchallenge", "path": None, "text": code, "notes": []}
    assert from_json("convert bb2 --to bbchallenge") == facts
    assert tm2tf(f"convert {code} --to native -o out.yaml") == ""
    written = (tmp_path / "out.yaml").read_text(encoding="utf-8")
    assert written == tm2tf("convert out.yaml --to native")
    assert formats.parse(written) == formats.parse(code)
    assert from_json("convert bb2 --to native -o out.yaml")["path"] == "out.yaml"


def test_examples():
    listed = from_json("examples")
    assert [row["name"][:2] for row in listed] == [f"{i + 1:02}" for i in range(len(listed))]
    table = tm2tf("examples")
    assert all(row["about"] in table for row in listed)
    source = tm2tf("examples 01 --show")
    assert source == (library.data_folder("examples") / f"{listed[0]['name']}.py").read_text()
    assert from_json("examples 01 --show") == {**listed[0], "source": source}
    assert from_json(f"examples {listed[0]['name']}")["output"] == tm2tf("examples 01")


def test_inspect_names_machine_and_view():
    found = from_json("inspect bb2")
    assert (found["machine"], found["view"], found["d_model"]) == ("bb2", "overview", 28)


# --- compile --------------------------------------------------------------------------------


def test_compile(tmp_path):
    facts = from_json("compile bb2 -o build/bb2")
    weights = api.compile("bb2").weights
    assert facts == {
        "machine": "bb2",
        "construction": "trace",
        "target": "hard",
        "options": {},
        "dtype": "float64",
        "layers": 3,
        "heads": 3,
        "d_model": 28,
        "d_mlp": 6,
        "vocab": 10,
        "parameters": weights.parameters,
        "nonzeros": weights.nonzeros,
        "tokens_per_step": 1,
        "path": "build/bb2",
        "weights_sha256": api.open_model(tmp_path / "build" / "bb2").weights_sha256,
    }
    assert from_json("compile build/bb2 -o again") == {**facts, "path": "again"}
    text = tm2tf("compile bb2 -o build/bb2")
    assert all(word in text for word in (facts["weights_sha256"], f"{facts['parameters']:,}"))


@pytest.mark.parametrize(
    ("machine", "name"),
    [("bb2", "bb2.tm2tf"), ("random:3:1", "random-3-1.tm2tf"), ("1RB1LB_1LA1RZ", None)],
)
def test_compile_names_its_folder_after_the_machine(tmp_path, machine, name):
    facts = from_json(f"compile {machine}")
    assert facts["path"] == (name or f"{machine}.tm2tf")
    assert (tmp_path / facts["path"] / "manifest.json").is_file()


# --- run ------------------------------------------------------------------------------------


def test_run():
    facts = from_json("run bb2")
    assert facts.pop("seconds") >= 0
    assert facts == {
        "machine": "bb2",
        "construction": "trace",
        "target": "hard",
        "runtime": "kernel",
        "device": "cpu",
        "dtype": "float64",
        "kernel": "evaluated",
        "reason": None,
        "attention": "index",
        "outcome": "halted",
        "state": "Z",
        "steps": 6,
        "forward_passes": 6,
        "tokens_per_step": 1.0,
        "peak_context": 8,
        "widened": 0,
        "nonblank": 4,
        "tapes": [{"contents": "1111", "origin": -2, "head": 0}],
        "interrupted": False,
        "weights_sha256": api.compile("bb2").weights_sha256,
    }
    other = from_json("run bb2 --runtime torch --device cpu")
    own = {"runtime": "torch", "kernel": None, "attention": "argmax over the prefix"}
    assert other == {**facts, **own, "seconds": other["seconds"]}
    tm2tf("compile bb2 -o here")
    assert from_json("run here") | {"seconds": 0} == {**facts, "seconds": 0}
    text = tm2tf("run bb2")
    assert "halted in state Z" in text
    assert "1111  from -2, head at 0" in text


def test_run_puts_inputs_where_they_belong():
    facts = from_json("run binary-addition-2tape --input 110 --input 11")
    assert facts["outcome"] == "halted"
    assert facts["tapes"][1]["contents"] == "1001"
    moved = from_json(
        "run binary-addition-2tape --input 110 --input 11 --origin 5 --origin -7 --head 5 --head -7"
    )
    for tape, other, shift in zip(facts["tapes"], moved["tapes"], (5, -7), strict=True):
        origin, head = tape["origin"] + shift, tape["head"] + shift
        assert other == {**tape, "origin": origin, "head": head}
    assert from_json("run palindrome --input aba")["outcome"] == "accepted"
    assert from_json("run palindrome --input 'a b'")["outcome"] == "rejected"


@pytest.mark.parametrize("runtime", ["kernel", "torch"])
@pytest.mark.parametrize(("limit", "outcome"), [(5, "step-limit"), (6, "halted"), (7, "halted")])
def test_run_at_the_limit_and_around_it(limit, outcome, runtime):
    facts = from_json(f"run bb2 --max-steps {limit} --runtime {runtime}")
    assert (facts["outcome"], facts["steps"]) == (outcome, min(limit, 6))
    assert facts["forward_passes"] == facts["steps"]
    checked = from_json(f"verify bb2 --max-steps {limit} --runtime {runtime}")
    assert (checked["agreed"], checked["steps_checked"]) == (1, min(limit, 6))


def test_symbols_that_look_like_markup_are_shown_as_they_are(tmp_path):
    text = 'name: "[/b]:x:"\nstart: s\nhalt: z\nrules: {s: {"[": "/ R s", a: R s, _: "] R z"}}\n'
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    assert "/a/a]  from 0, head at 5" in tm2tf("run m.yaml --input [a[a")
    assert "[/b]:x:" in tm2tf("verify m.yaml --input [a[a")


# --- verify ---------------------------------------------------------------------------------


def test_verify():
    facts = from_json("verify bb2 binary-increment")
    assert facts.pop("seconds") >= 0
    count = 1 + len(api.load("binary-increment").examples)
    steps = facts["steps_checked"]
    assert facts == {
        "checked": count,
        "agreed": count,
        "diverged": [],
        "skipped": [],
        "stopped": [],
        "constructions": {"trace": {"checked": count, "agreed": count, "steps": steps}},
        "shared_weights_sha256": [],
        "steps_checked": steps,
        "forward_passes": steps,
        "evaluators": dict.fromkeys(EVALUATORS, steps),
    }
    assert f"{count} of {count} runs agree" in tm2tf("verify bb2 binary-increment")


def test_verify_takes_random_machines_in_any_number():
    few = from_json("verify --random 5 --seed 3 --max-steps 20")
    assert (few["checked"], few["agreed"]) == (5, 5)
    assert from_json("verify --random 5 --seed -3 --max-steps 20")["agreed"] == 5
    assert "random:3:4" in tm2tf("verify --random 5 --seed 3 --max-steps 20")
    assert tm2tf("verify --random 41 --max-steps 5").startswith("41 of 41 runs agree")


def test_verify_finds_edited_weights(tmp_path):
    save_edited(tmp_path / "edited folder")
    (found,) = from_json("verify 'edited folder'", code=1)["diverged"]
    again = found.pop("command")
    assert found == {
        "machine": "bb2",
        "construction": "trace",
        "input": [""],
        "step": 3,
        "layer": "embedding",
        "feature": "tape0.move",
        "expected": "-1",
        "got": "1",
    }
    assert again.startswith("tm2tf verify 'edited folder' --input ''")
    (same,) = from_json(again.removeprefix("tm2tf "), code=1)["diverged"]
    assert same == {**found, "command": again}
    text = tm2tf("verify 'edited folder'", code=1)
    assert "bb2: step 3, embedding, feature tape0.move" in text
    assert f"again:   {again}\n" in text
    assert "0 of 1 runs agree" in text
    (slow,) = from_json("verify 'edited folder' --runtime torch --max-steps 50", code=1)["diverged"]
    assert slow == {**same, "command": f"{again} --max-steps 50 --runtime torch"}


def test_verify_finds_a_wrong_expectation(tmp_path):
    (tmp_path / "wrong.yaml").write_text(WRONG_STEPS, encoding="utf-8")
    facts = from_json("verify wrong.yaml", code=1)
    (found,) = facts["diverged"]
    assert (facts["checked"], facts["agreed"]) == (2, 1)
    assert (found["feature"], found["expected"], found["got"]) == ("expected steps", "3", "2")
    assert (found["machine"], found["input"], found["layer"]) == ("wrong", ["0"], "")
    assert from_json(found["command"].removeprefix("tm2tf "), code=1)["diverged"] == [found]
    assert from_json("verify wrong.yaml --max-steps 2")["agreed"] == 2  # cut: nothing is asked for


def test_verify_of_one_start_knows_the_example_with_its_limit():
    """`counter` never halts; its examples from a blank tape state how far they go."""
    facts = from_json("verify counter --input ''")
    assert (facts["agreed"], facts["steps_checked"]) == (1, 36)
    assert from_json("verify counter --input '' --max-steps 3988")["steps_checked"] == 3988
    cases = list(of_machine("counter", api.load("counter"), (), None, given=False))
    assert cases[2].command == "tm2tf verify counter --input '' --max-steps 3988"


def test_verify_of_machines_that_never_halt(tmp_path):
    """A word in place of numbers: the machine must still run at the limit; one here does not."""
    text = "# code\twhy\n1RB1LB_1LA1RA\tCycler\n1RB---_1RB---\tWalks\n1RB1LB_1LA1RZ\twrong\n"
    (tmp_path / "never.tsv").write_text(text, encoding="utf-8")
    facts = from_json("verify --corpus never.tsv --max-steps 500", code=1)
    assert (facts["checked"], facts["agreed"], facts["stopped"]) == (3, 2, [])
    assert facts["steps_checked"] == 500 + 500 + 6
    (wrong,) = facts["diverged"]
    assert (wrong["machine"], wrong["feature"]) == ("1RB1LB_1LA1RZ", "expected outcome")
    assert (wrong["expected"], wrong["got"]) == ("step-limit", "halted")


def test_verify_says_which_runs_were_too_long(tmp_path):
    text = "1RB1LB_1LA1RZ\t6\t4\n1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA\t47176870\t4098\n"
    (tmp_path / "two.tsv").write_text(text, encoding="utf-8")
    facts = from_json("verify --corpus two.tsv --max-steps 2000")
    assert (facts["agreed"], facts["steps_checked"]) == (2, 2006)
    (stopped,) = facts["stopped"]
    assert (stopped["steps"], stopped["ends_after"]) == (2000, 47_176_870)
    shown = CliRunner().invoke(group, ["verify", "--corpus", "two.tsv", "--max-steps", "2000"])
    assert "1 of the runs were stopped at the limit of steps" in shown.output.replace("\n", " ")


def test_verify_of_a_corpus(tmp_path):
    (tmp_path / "corpus.tsv").write_text(CORPUS, encoding="utf-8")
    facts = from_json("verify --corpus corpus.tsv --max-steps 1000", code=1)
    assert (facts["checked"], facts["agreed"]) == (7, 4)
    told = [(d["feature"], d["expected"], d["got"]) for d in facts["diverged"]]
    assert told == [
        ("expected nonblank", "12", "13"),
        ("expected steps", "106", "107"),
        ("expected outcome", "halted", "step-limit"),
    ]
    assert facts["steps_checked"] >= 6 + 21 + 2 + 1000
    right = "\n".join(line for line in CORPUS.splitlines() if "wrong: " not in line)
    (tmp_path / "corpus.tsv").write_text(right, encoding="utf-8")
    assert from_json("verify bb2 --corpus corpus.tsv --max-steps 30")["agreed"] == 5
