"""Known-answer tests: the suite, what its answers say, how they are compared, the command."""

import json
import os
import re
from dataclasses import replace

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from click.testing import CliRunner

pytest.importorskip("tokenizers", reason="checkpoints come with a tokenizer")

from tm2tf import api
from tm2tf.cli import group
from tm2tf.errors import (
    ArtifactError,
    ExtraError,
    InputError,
    InternalError,
    NotFoundError,
    Tm2tfError,
)
from tm2tf.export.bundle import Bundle
from tm2tf.kat import answers as known
from tm2tf.kat import checking, diagnosis, suite
from tm2tf.kat.cases import CASES, FAMILIES, MACHINES, named
from tm2tf.kat.engine import HIDDEN, Sampled, SamplingSession, SilentError, UnsupportedError
from tm2tf.kat.engines import ENGINES, engine_called, weights_for
from tm2tf.kat.spelling import spell
from tm2tf.machine.simulator import run as simulate
from tm2tf.machine.spec import Tape

RECENCY, PADDING = "recency-llama-float32", "padding-llama-float32"
TWO_TAPES = "two-tapes-gpt2-bfloat16"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kat") / "suite"
    return suite.make(folder, named([RECENCY, PADDING]), ["hf"]).suite


@pytest.fixture(scope="module")
def every():
    """The answers of each family, without its checkpoints."""
    cases = [next(case for case in CASES if case.family is family) for family in FAMILIES]
    return {case.family.name: suite.answers_of(case, suite.compiled(case)) for case in cases}


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


# --- comparing


class Oracle:
    """Knows the answers; `spoil` changes what it gives, by the kind of the call."""

    name = "oracle"

    def __init__(self, spoil=lambda kind, rows: rows):
        self.spoil = spoil

    def load(self, folder):
        return OracleSession(known.load(folder), self.spoil)


class OracleSession:
    def __init__(self, answers, spoil):
        self.answers, self.spoil = answers, spoil

    def _rest(self, prompt):
        for run in self.answers.runs:
            if run.tokens[: len(prompt)] == tuple(prompt):
                return list(run.tokens[len(prompt) :])
        raise LookupError("no such run")

    def generate(self, prompts, count, stop):
        rows = [self._rest(prompt)[:count] for prompt in prompts]
        return self.spoil("batch" if len(prompts) > 1 else "one", rows)

    def score(self, tokens):
        return self.spoil("score", [[*tokens[1:], self._rest(tokens)[0]]])[0]

    def sample(self, prompt, count, stop, seed):
        return Sampled(self.spoil("sample", [self._rest(prompt)[:count]])[0], 2e-28)


def test_who_knows_the_answers_passes(small):
    report = checking.run(small, Oracle())
    assert report.good
    assert not report.of("skipped")
    assert report.first_wrong is None
    assert report.doubt == 2e-28
    assert isinstance(Oracle().load(small.folder / PADDING), SamplingSession)
    counts = [sum(row.count for row in item.rows) for item in _answers(small, PADDING).items]
    assert report.tokens > sum(counts)


def _answers(made, name):
    return known.load(made.folder / name)


def _result(report, case, item):
    return next(r for r in report.results if (r.entry.name, r.item) == (case, item))


def test_the_first_wrong_token_and_what_it_recalls(small):
    def spoil(kind, rows):
        if kind == "one" and len(rows[0]) == 8:  # the run of 1011
            rows[0][6] = 0
        return rows

    report = checking.run(small, Oracle(spoil), [PADDING])
    result = report.first_wrong
    assert (result.entry.name, result.item, result.tokens) == (PADDING, "alone 0", 6)
    wrong = result.wrong
    assert (wrong.row, wrong.position, wrong.index, wrong.given) == (0, 12, 6, 6)
    assert (wrong.expected, wrong.got) == ("0L>carry@4", "<bos>")
    assert wrong.recalls == (
        "what tape 0 has in cell 5: `1`, written 4 tokens before, at position 8, by `1R>right@6`"
    )
    assert (wrong.distance, wrong.from_begin, wrong.at_seam) == (4, False, False)
    assert len(report.of("failed")) == 1


def test_what_was_never_written_is_recalled_from_the_begin_token(small):
    def spoil(kind, rows):
        return [[0, *row[1:]] for row in rows] if kind == "one" and len(rows[0]) == 2 else rows

    wrong = checking.run(small, Oracle(spoil), [PADDING]).first_wrong.wrong
    assert wrong.from_begin
    assert wrong.recalls == (
        "what tape 0 has in cell 3: `_`, never written, so the blank that the begin token says, "
        "2 tokens before, at position 0"
    )


def test_what_several_tapes_recall_is_said(every):
    answers = every["two-tapes"]
    run = answers.runs[0]
    begin = len(run.prompt)
    said = [
        checking.described(answers, run, recall, begin + i)
        for i, recalls in enumerate(run.recalls[:4])
        for recall in recalls
    ]
    assert "the state, 1 token before" in said[2]
    assert said[3].startswith("what the step does on tape 0, 1 token before")
    assert said[4].endswith("tape 0 is, 4 tokens before, at position 10, by `<head:0@1>`")
    assert said[-1].endswith("by `0R,0R>copy`")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda kind, rows: [row[:-1] for row in rows], ""),
        (lambda kind, rows: rows[1:], "rows came for"),
        (lambda kind, rows: 1 // 0, "ZeroDivisionError"),
    ],
    ids=["short", "rows", "raises"],
)
def test_missing_rows_and_tokens_and_what_is_raised_are_failures(small, spoil, reason):
    generated = ("one", "batch")
    report = checking.run(small, Oracle(lambda k, r: spoil(k, r) if k in generated else r))
    assert not report.good
    for result in report.of("failed"):
        assert reason in result.reason
        assert reason or result.wrong.got == "nothing"


def test_tokens_after_the_end_are_wrong(small):
    def go_on(kind, rows):
        return rows if kind == "score" else [[*row, 0] for row in rows]

    report = checking.run(small, Oracle(go_on), [PADDING])
    assert {result.kind for result in report.of("failed")} == {"generate", "batch", "sample"}
    wrong = _result(report, PADDING, "alone 0").wrong
    assert wrong.surplus
    assert (wrong.index, wrong.expected, wrong.got) == (
        8,
        "nothing, the run is over",
        "<bos>",
    )
    assert diagnosis.suspected(report).name == diagnosis.STOP_IGNORED
    # one that is not shown is none too many
    hidden = Oracle(lambda kind, rows: [[*row, HIDDEN] if kind != "score" else row for row in rows])
    assert checking.run(small, hidden, [PADDING]).good


def test_more_tokens_than_were_asked_for_are_wrong(small):
    class TooMany(Oracle):
        def load(self, folder):
            session = super().load(folder)
            generate = session.generate
            session.generate = lambda prompts, count, stop: generate(prompts, count + 3, stop)
            return session

    report = checking.run(small, TooMany())
    assert {result.kind for result in report.of("failed")} == {"continue", "reuse"}
    assert report.first_wrong.wrong.expected == "nothing, no more tokens were asked for"
    assert diagnosis.suspected(report).name == diagnosis.COUNT_IGNORED


def test_rows_of_another_order_are_named(small):
    spoil = Oracle(lambda kind, rows: rows[::-1] if kind == "batch" else rows)
    report = checking.run(small, spoil)
    assert all(result.swapped for result in report.of("failed"))
    assert diagnosis.suspected(report).name == diagnosis.ROWS_SWAPPED


def test_an_engine_that_only_scores_is_no_pass(small, monkeypatch):
    def refuse(kind, rows):
        if kind != "score":
            raise UnsupportedError("only scores here")
        return rows

    report = checking.run(small, Oracle(refuse))
    assert report.of("passed")
    assert not report.of("failed")
    assert not report.good
    monkeypatch.setattr("tm2tf.kat.engines.engine_called", lambda *a, **k: Oracle(refuse))
    shown = tm2tf("kat", "run", str(small.folder), "--engine", "oracle")
    assert shown.exit_code == 1
    assert "skipped (generate, continue, reuse, sample, batch); " in shown.stdout
    assert "no tokens were generated: this is no pass" in shown.stdout


def test_an_engine_that_falls_silent_is_asked_no_more_of_the_case(small):
    asked = []

    def fall_silent(kind, rows):
        asked.append(kind)
        raise SilentError("no answer in 600 seconds")

    report = checking.run(small, Oracle(fall_silent))
    assert len(asked) == len(small.cases)
    assert len(report.of("failed")) == len(small.cases)
    assert "no answer in time" in report.of("skipped")[0].reason


def test_a_token_that_is_not_shown_counts_where_a_run_ends(small):
    def hide(kind, rows):
        return rows if kind == "score" else [[*row[:-1], HIDDEN] for row in rows]

    report = checking.run(small, Oracle(hide))
    assert not _result(report, PADDING, "alone 0").wrong
    wrong = _result(report, RECENCY, "whole").wrong  # ends with its context, not with its run
    assert wrong.got == "the end of the run"


def test_what_an_engine_refuses_is_skipped_and_no_pass(small):
    def refuse(kind, rows):
        raise UnsupportedError("batches are padded on the right here")

    some = checking.run(small, Oracle(lambda k, r: refuse(k, r) if k == "batch" else r))
    assert some.good
    assert {result.kind for result in some.of("skipped")} == {"batch"}
    assert "padded on the right" in some.of("skipped")[0].reason
    assert not checking.run(small, Oracle(refuse)).good


def test_a_folder_that_an_engine_cannot_load_is_skipped(small):
    class Other(Oracle):
        def load(self, folder):
            raise InputError(f"{folder} has no model.xyz")

    report = checking.run(small, Other())
    assert not report.good
    assert {result.reason for result in report.results} == {"the case has no model.xyz"}

    class Missing(Oracle):
        def load(self, folder):
            raise ExtraError("this engine", "xyz", "xyz")

    with pytest.raises(ExtraError):
        checking.run(small, Missing())


def test_a_session_need_not_score_or_sample(small):
    class Plain(Oracle):
        def load(self, folder):
            session = super().load(folder)

            class Only:
                generate = session.generate

                def score(self, tokens):
                    return None

            return Only()

    report = checking.run(small, Plain())
    assert report.good
    assert {result.kind for result in report.of("skipped")} == {"score", "sample"}
    assert report.doubt is None


def test_a_fault_of_no_known_pattern_has_no_name(small):
    report = checking.run(small, Oracle(lambda kind, rows: [[0] * len(row) for row in rows]))
    assert diagnosis.suspected(report).name == diagnosis.UNKNOWN
    assert diagnosis.suspected(replace(report, results=())) is None


def test_what_is_drawn_rightly_by_luck_is_no_pass(small):
    class Unsure(Oracle):
        def load(self, folder):
            session = super().load(folder)
            drawn = session.sample
            session.sample = lambda *a: replace(drawn(*a), doubt=1e-8)
            return session

    report = checking.run(small, Unsure())
    assert not report.good
    assert "1 - p = 1.0e-08; expected: below 1e-09" in report.first_wrong.reason
    assert diagnosis.suspected(report).name == diagnosis.SAMPLING


def test_batches_that_fail_in_no_known_way_are_named_as_such(small):
    def spoil(kind, rows):
        return [row[::-1] for row in rows] if kind == "batch" else rows

    fault = diagnosis.suspected(checking.run(small, Oracle(spoil)))
    assert fault.name == diagnosis.PADDING


# --- engines and the command


def test_engines_by_name():
    for kind in ENGINES:
        assert engine_called(kind.name)
        assert weights_for(kind.name) in suite.FORMATS
    with pytest.raises(NotFoundError, match="did you mean 'transformers'"):
        engine_called("transformer")
    with pytest.raises(InputError, match="no server answers at"):
        engine_called("http://127.0.0.1:9/v1")
    assert weights_for("http://127.0.0.1:9/v1") == "hf"
    with pytest.raises(InputError, match="are for servers"):
        engine_called("transformers", as_text=True)
    with pytest.raises(InputError, match="runs on the CPU"):
        engine_called("llama.cpp", device="cuda")
    with pytest.raises(InputError, match="itself"):
        engine_called("http://127.0.0.1:9/v1", device="cuda")


def test_transformers_passes(small):
    pytest.importorskip("transformers", reason="the engine")
    engine = engine_called("transformers")
    report = checking.run(small, engine)
    assert report.good
    assert not report.of("skipped")
    assert 1e-29 < report.doubt < 1e-27
    with pytest.raises(InputError, match=r"no config\.json"):
        engine.load(small.folder)
    with pytest.raises(InputError, match="unknown device 'mars'"):
        engine_called("transformers", device="mars").load(small.folder / PADDING)


@pytest.mark.parametrize(("engine", "package"), [("onnxruntime", "onnx"), ("llama.cpp", "gguf")])
def test_other_engines_pass(tmp_path, engine, package):
    module = "llama_cpp" if engine == "llama.cpp" else engine
    pytest.importorskip(module, reason="the engine")
    pytest.importorskip(package, reason="writes its weights")
    made = suite.make(tmp_path, named([PADDING, RECENCY]), [weights_for(engine)]).suite
    report = checking.run(made, engine_called(engine))
    assert report.good
    assert len(report.of("passed")) > 15


def tm2tf(*arguments):
    return CliRunner(catch_exceptions=False).invoke(group, arguments)


def test_the_command(tmp_path):
    pytest.importorskip("transformers", reason="the engine")
    folder = str(tmp_path / "kat")
    made = tm2tf("kat", "make", "-o", folder, "--case", "padding-llama", "--formats", "hf")
    assert (made.exit_code, made.stderr) == (0, "")
    assert "2 cases, " in made.stdout
    told = tm2tf("kat", "make", "-o", folder, "--case", PADDING, "--formats", "hf", "--json")
    assert json.loads(told.stdout)["cases"][0]["name"] == PADDING
    ran = tm2tf("kat", "run", folder, "--engine", "transformers", "--json")
    assert (ran.exit_code, ran.stderr) == (0, "")
    value = json.loads(ran.stdout)
    assert value["good"]
    assert (value["failed"], value["skipped"], value["first_wrong"]) == (0, 0, None)
    assert value["tokens_checked"] > 100
    assert value["suspected_faults"] == []
    assert 0 < value["sampling"]["greatest_1_minus_p"] < 1e-9


def test_the_command_tells_what_is_wrong(small, monkeypatch):
    def spoil(kind, rows):
        if kind == "batch":
            raise UnsupportedError("no batches")
        return [[*row[:-1], 0] for row in rows] if kind == "one" else rows

    monkeypatch.setattr("tm2tf.kat.engines.engine_called", lambda *a, **k: Oracle(spoil))
    folder = str(small.folder)
    shown = tm2tf("kat", "run", folder, "--engine", "oracle", "--case", PADDING)
    assert shown.exit_code == 1
    for part in (
        "first wrong token",
        "recalls   what tape 0",
        "skipped ",
        "suspected: ",
        "5 wrong",
    ):
        assert part in shown.stdout
    value = json.loads(tm2tf("kat", "run", folder, "--engine", "oracle", "--json").stdout)
    assert not value["good"]
    assert value["first_wrong"]["got"] == "<bos>"
    assert value["first_wrong"]["recalls"].startswith("what tape 0 has in cell")
    assert value["suspected_faults"][0]["name"]


def test_nothing_checked_is_no_pass(small, monkeypatch):
    def refuse(kind, rows):
        raise UnsupportedError("not here")

    monkeypatch.setattr("tm2tf.kat.engines.engine_called", lambda *a, **k: Oracle(refuse))
    shown = tm2tf("kat", "run", str(small.folder), "--engine", "oracle")
    assert shown.exit_code == 1
    assert "nothing was checked" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nowhere", "--engine", "transformers"), "is no suite"),
        (("run", "--engine", "abacus"), "unknown engine 'abacus'"),
        (("run", "--engine", "http://127.0.0.1:9/v1"), "no server answers"),
        (("run", "--engine", "http://127.0.0.1:notaport/v1"), "expected the URL of a server"),
        (("run", "--engine", "https://[::1"), "expected the URL of a server"),
        (("run", "--engine", "http://a b/v1"), "expected the URL of a server"),
        (("make", "-o", "x", "--formats", ""), "no formats are given"),
        (("run", "--engine", "transformers", "--case", "abacus"), "unknown case 'abacus'"),
        (("make", "-o", "x", "--case", "abacus"), "unknown case 'abacus'"),
        (("make", "-o", "x", "--formats", "abacus"), "unknown format 'abacus'"),
        (("run",), "Missing option '--engine'"),
    ],
)
def test_usage(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tm2tf("kat", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_all_errors_are_ours():
    assert issubclass(UnsupportedError, Tm2tfError)
