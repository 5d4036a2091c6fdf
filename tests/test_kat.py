"""Known-answer tests: how tokens are compared with the answers, engines, and the command."""

import json
import os
from dataclasses import replace

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from click.testing import CliRunner

pytest.importorskip("tokenizers", reason="checkpoints come with a tokenizer")

from tests.kat_suites import PADDING, RECENCY, Oracle, answers_of_each_family, small_suite
from tm2tf.cli import group
from tm2tf.errors import (
    ExtraError,
    InputError,
    NotFoundError,
    Tm2tfError,
)
from tm2tf.kat import answers as known
from tm2tf.kat import checking, diagnosis, suite
from tm2tf.kat.cases import named
from tm2tf.kat.engine import HIDDEN, SamplingSession, SilentError, UnsupportedError
from tm2tf.kat.engines import ENGINES, engine_called, weights_for

TWO_TAPES = "two-tapes-gpt2-bfloat16"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_suite(tmp_path_factory.mktemp("kat") / "suite")


@pytest.fixture(scope="module")
def every():
    return answers_of_each_family()


# --- comparing


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
