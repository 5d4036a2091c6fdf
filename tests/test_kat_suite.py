"""Known-answer tests: the suite, its answers and the folder that holds them."""

import json
import os
import re

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

pytest.importorskip("tokenizers", reason="checkpoints come with a tokenizer")

from tests.kat_suites import PADDING, RECENCY, Oracle, answers_of_each_family, small_suite
from tm2tf import api
from tm2tf.errors import (
    ArtifactError,
    ExtraError,
    InputError,
    InternalError,
    NotFoundError,
)
from tm2tf.export.bundle import Bundle
from tm2tf.kat import answers as known
from tm2tf.kat import checking, suite
from tm2tf.kat.cases import CASES, FAMILIES, MACHINES, named
from tm2tf.kat.spelling import spell
from tm2tf.machine.simulator import run as simulate
from tm2tf.machine.spec import Tape

TWO_TAPES = "two-tapes-gpt2-bfloat16"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_suite(tmp_path_factory.mktemp("kat") / "suite")


@pytest.fixture(scope="module")
def every():
    return answers_of_each_family()


# --- the answers


def test_a_run_in_tokens():
    machine = api.load("binary-increment")
    found = spell(machine, machine.initial(["1"]), 16, 3, 99)
    assert found.prompt == ("<bos>", "1@3", "<start@3>")
    assert found.tokens == ("1R>right@4", "_L>carry@3", "0L>carry@2", "1L>done@1")
    assert [[r.position for r in recalls] for recalls in found.recalls] == [[1], [0], [3], [0]]
    assert [recalls[0].symbol for recalls in found.recalls] == ["1", "_", "1", "_"]
    assert found.over
    assert spell(machine, machine.initial(["1"]), 16, 3, 2).tokens == found.tokens[:2]


def test_a_run_of_two_tapes_in_tokens():
    machine = api.load("matching")
    found = spell(machine, machine.initial(["#"]), 8, 1, 99)
    assert found.prompt == ("<bos>", "tape0:#@1", "<head:0@1>", "<head:1@1>", "<start>")
    assert found.tokens == (
        *("#R,_L>rewind", "tape0:#R>2", "tape1:_L>0"),
        *("_S,_R>compare", "tape0:_S>2", "tape1:_R>1"),
        "_S,_S>yes",
    )
    assert [r.position for r in found.recalls[1]] == [5, 2]
    assert [r.position for r in found.recalls[3]] == [0, 0, 5]
    assert [r.position for r in found.recalls[-1]] == [9, 7, 8]


def test_runs_that_have_no_rule_or_leave_the_tape():
    machine = api.load(MACHINES["dwell"])
    found = spell(machine, machine.initial([Tape(("b",), 0, 0)]), 8, 2, 99)
    assert found.tokens == ("<stuck@2>",)
    machine = api.load("copy")
    assert spell(machine, machine.initial(["aaa"]), 3, 0, 99).tokens[-1] == "aR>right@edge"


def test_a_run_that_is_over_before_it_begins_is_refused():
    machine = api.load("start: done\nhalt: done\nrules:\n  go:\n    _: R\n")
    with pytest.raises(InputError, match="over before"):
        spell(machine, machine.initial([]), 8, 2, 9)


def test_answers_on_which_simulator_and_weights_differ_are_no_answers(monkeypatch):
    right = Bundle.expected

    def wrong(self, prompt, count):
        found = right(self, prompt, count)
        return [*found[:-1], found[-1] ^ 1]

    monkeypatch.setattr(Bundle, "expected", wrong)
    with pytest.raises(InternalError, match="simulator and weights differ"):
        suite.answers_of(named([PADDING])[0], suite.compiled(named([PADDING])[0]))


def test_what_is_recalled_is_the_latest_token_with_the_address(every):
    """Found again from the words of the tokens alone: `1R>B@5` writes where its forerunner was."""
    far = 0
    for name, answers in every.items():
        if answers.tapes > 1:
            continue
        for run in answers.runs:
            words = [answers.token(i) for i in run.tokens]
            head = [re.search(r"@(\d+|edge)>?$", word) for word in words]
            at = [None if m is None else m[1] for m in head]
            begin = len(run.prompt)
            wrote = [at[i] if i < begin - 1 else at[i - 1] for i in range(len(words))]
            wrote[begin - 1] = None  # <start@5> writes nothing
            for i, recalls in enumerate(run.recalls, begin):
                places = [j for j in range(1, i) if wrote[j] == at[i - 1]]
                assert recalls[0].position == max(places, default=0), name
                assert recalls[0].cell == int(at[i - 1])
                far = max(far, i - max(places, default=i))
    assert far > 8000


def test_the_answers_end_where_the_simulator_does(every):
    case = named([PADDING])[0]
    machine = api.load(case.family.machine)
    for start, run in zip(case.family.starts, every["padding"].runs, strict=True):
        ended = simulate(machine, machine.initial(start.inputs))
        assert len(run.expected) == ended.steps
        assert every["padding"].token(run.expected[-1]).split("@")[0].endswith(">done")


def test_every_case_stresses_something_and_is_made_within_its_bounds(every):
    assert len({case.name for case in CASES}) == len(CASES)
    words = " ".join(family.stresses for family in FAMILIES)
    for stress in ("long-range recall", "recency", "exact copying", "many heads", "left padding"):
        assert stress in words
    for stress in ("cache reuse", "mid-run"):
        assert stress in words
    assert {case.architecture for case in CASES} == {"gpt2", "llama"}
    assert {case.dtype for case in CASES} == {"float32", "float16", "bfloat16"}
    kinds = {item.kind for answers in every.values() for item in answers.items}
    assert kinds == {"generate", "batch", "continue", "reuse", "score", "sample"}
    tokens = sum(len(run.expected) for answers in every.values() for run in answers.runs)
    assert 10_000 < tokens < 20_000


def test_some_runs_fill_their_context(every):
    answers = every["counting"]
    assert len(answers.runs[0].tokens) == answers.positions + 1


def test_answers_survive_their_file(every, tmp_path):
    for answers in every.values():
        (tmp_path / known.FILE).write_bytes(known.dump(answers))
        assert known.load(tmp_path) == answers
        plain = json.loads((tmp_path / known.FILE).read_text(encoding="utf-8"))
        words = plain["vocabulary"]
        for run in plain["runs"]:
            for part in ("prompt", "expected"):
                assert " ".join(words[i] for i in run[part]) == run[f"{part}_text"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda v: v.pop("stop"),
        lambda v: v["runs"][0]["recalls"].pop(),
        lambda v: v["items"][0]["rows"][0].update(count=0),
        lambda v: v["items"][0]["rows"][0].update(count=10**6),
        lambda v: v["items"][0]["rows"][0].update(given=1),
        lambda v: v["items"][0]["rows"][0].update(run=99),
        lambda v: v["items"][0].update(kind="guess"),
        lambda v: v["items"][0].update(rows=[]),
        lambda v: v["items"][0]["rows"][0].update(given=6.5),
        lambda v: v.update(items=[]),
        lambda v: v["runs"][0]["recalls"][0].clear(),
        lambda v: v["runs"][0]["recalls"][0][0].__setitem__(3, None),
        lambda v: v["runs"][0]["recalls"][0][0].__setitem__(3, 999),
        lambda v: v["runs"][0]["expected"].__setitem__(0, "0@0"),
        lambda v: v["runs"][0]["prompt"].__setitem__(0, 10**6),
        lambda v: v["stop"].append(-1),
        lambda v: v["vocabulary"].__setitem__(0, None),
        *(
            lambda v, name=name, bad=bad: v.update({name: bad})
            for name in ("begin", "pad", "default", "positions", "tapes", "vocabulary")
            for bad in (None, -1, "x", [1], {}, True, 1.5)
        ),
    ],
)
def test_damaged_answers_are_refused(every, tmp_path, damage):
    value = json.loads(known.dump(every["padding"]))
    damage(value)
    (tmp_path / known.FILE).write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        known.load(tmp_path)


# --- the folder


def test_a_suite_says_what_it_holds(small):
    value = json.loads((small.folder / suite.FILE).read_text(encoding="utf-8"))
    assert [case["name"] for case in value["cases"]] == [RECENCY, PADDING]
    for case in value["cases"]:
        assert case["stresses"]
        assert set(case["files"]) == {"model.safetensors", known.FILE}
        there = {path.name for path in (small.folder / case["name"]).iterdir()}
        assert there >= {"config.json", "tokenizer.json", "README.md", *case["files"]}
    assert [entry.name for entry in small.cases] == [RECENCY, PADDING]


def test_a_suite_replaces_an_earlier_one_and_nothing_else(tmp_path):
    cases = named([PADDING])
    folder = tmp_path / "suite"
    first = suite.make(folder, cases, ["hf"])
    assert first.suite == suite.make(folder, cases, ["hf"]).suite
    assert first.bytes < 2e6
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(ArtifactError, match="something else"):
        suite.make(other, cases)
    assert [path.name for path in other.iterdir()] == ["letter.txt"]


def test_formats_that_cannot_be_written(tmp_path, monkeypatch):
    def missing(name, made):
        raise ExtraError(f"format {name}", name, name)

    monkeypatch.setattr(suite, "_written", missing)
    cases = named([PADDING])
    made = suite.make(tmp_path / "a", cases)
    assert set(made.left_out) == {"gguf", "onnx"}
    assert "tm2tf[gguf]" in made.left_out["gguf"]
    with pytest.raises(ExtraError, match=r"tm2tf\[onnx\]"):
        suite.make(tmp_path / "b", cases, ["hf", "onnx"])
    with pytest.raises(ArtifactError, match="not finished"):
        suite.load(tmp_path / "b")
    with pytest.raises(NotFoundError, match="unknown format 'tflite'"):
        suite.make(tmp_path / "c", cases, ["tflite"])


def test_weights_for_other_engines(tmp_path):
    pytest.importorskip("gguf", reason="writes the file of llama.cpp")
    pytest.importorskip("onnx", reason="writes the graph")
    made = suite.make(tmp_path, named(["padding-llama"]))
    files = {case.name: set(case.files) for case in made.suite.cases}
    assert files["padding-llama-float32"] >= {"model.gguf", "model.onnx"}
    assert not files["padding-llama-float16"] & {"model.gguf", "model.onnx"}
    again = suite.make(tmp_path, named(["padding-llama"]), ["hf"])
    assert all("model.gguf" not in case.files for case in again.suite.cases)
    assert not (tmp_path / PADDING / "model.gguf").exists()


def test_a_changed_suite_is_refused(tmp_path):
    made = suite.make(tmp_path, named([PADDING]), ["hf"]).suite
    weights = tmp_path / PADDING / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="not the file that was made"):
        checking.run(made, Oracle())
    weights.unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        checking.run(made, Oracle())
    index = tmp_path / suite.FILE
    text = index.read_text(encoding="utf-8")
    for broken, said in (
        (text.replace('"version": 1', '"version": 2'), "has version 2"),
        (text.replace('"positions"', '"places"'), "damaged"),
        (text[:40], "damaged"),
    ):
        index.write_text(broken, encoding="utf-8")
        with pytest.raises(ArtifactError, match=said):
            suite.load(tmp_path)
    with pytest.raises(ArtifactError, match="is no suite"):
        suite.load(tmp_path / "nowhere")


INDEX = [
    *(("name", bad) for bad in (None, -1, [1], {}, "", "..", "a/b", "a\\b", "c:")),
    *(("positions", bad) for bad in (None, "x", [1], {}, True, 1.5)),
    *(("greatest_score", bad) for bad in (None, "x", [1], {})),
    *(("dtype", bad) for bad in (None, -1, [1], {})),
    *(("files", bad) for bad in (None, -1, "x", [1], {})),
    ("files", {"answers.json": "0"}),
    ("files", {"model.safetensors": "0"}),
    ("files", {"answers.json": "0", "model.safetensors": None}),
    ("files", {"answers.json": "0", "model.safetensors": "0", "../a": "0"}),
]


def test_a_damaged_index_is_refused(small, tmp_path):
    index = json.loads((small.folder / suite.FILE).read_text(encoding="utf-8"))
    case = index["cases"][0]
    damaged = [{**index, "cases": [{**case, name: bad}]} for name, bad in INDEX]
    damaged += [{**index, "format": bad} for bad in (None, "x", {})]
    damaged += [{**index, "cases": bad} for bad in (None, -1, "x", [1])]
    damaged += [{k: v for k, v in index.items() if k != "format"}, [], None, 5]
    for value in damaged:
        (tmp_path / suite.FILE).write_text(json.dumps(value), encoding="utf-8")
        with pytest.raises(ArtifactError, match="damaged"):
            suite.load(tmp_path)


def test_cases_that_are_not_made_again_are_removed(tmp_path, monkeypatch):
    folder = tmp_path / "suite"
    both = suite.make(folder, named(["padding-llama"]), ["hf"])
    (folder / "notes").mkdir()
    one = suite.make(folder, named([PADDING]), ["hf"])
    assert {path.name for path in folder.iterdir()} == {suite.FILE, PADDING, "notes"}
    assert one.bytes < both.bytes

    def breaks(case, made):
        raise InternalError("stop here")

    with monkeypatch.context() as broken:
        broken.setattr(suite, "answers_of", breaks)
        with pytest.raises(InternalError):
            suite.make(folder, named([RECENCY]), ["hf"])
    suite.make(folder, named([RECENCY]), ["hf"])
    assert {path.name for path in folder.iterdir()} == {suite.FILE, RECENCY, "notes"}


def test_an_index_leads_to_nothing_outside_its_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("{}", encoding="utf-8")
    folder = tmp_path / "suite"
    suite.make(folder, named([PADDING]), ["hf"])
    (folder / "link").symlink_to(outside, target_is_directory=True)
    index = json.loads((folder / suite.FILE).read_text(encoding="utf-8"))
    index["cases"] += [{"name": name} for name in ("../outside", "link", "..", "absent")]
    (folder / suite.FILE).write_text(json.dumps(index), encoding="utf-8")
    suite.make(folder, named([PADDING]), ["hf"])
    assert (outside / "config.json").is_file()
    assert (folder / "link").is_symlink()
