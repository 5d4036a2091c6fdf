"""Engines with one fault each: the known answers catch every one, and name it."""

import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

pytest.importorskip("transformers", reason="the broken engines are transformers' own")

from tests import broken_engines as broken
from tm2tf.kat import checking, diagnosis, suite
from tm2tf.kat.cases import CASES, named
from tm2tf.kat.engines import http
from tm2tf.kat.engines.http import HttpEngine
from tm2tf.kat.engines.transformers_engine import TransformersEngine

RECENCY = ("recency-gpt2-float32", "recency-llama-float32")
PADDING = ("padding-gpt2-float32", "padding-llama-float32")
LONG = ("recall-llama-float32",)
FAR = ("far-llama-float32",)
HALF = ("copying-gpt2-float16",)
TABLE = [
    (broken.OFF_BY_ONE_IN_DECODE, RECENCY, diagnosis.OFF_BY_ONE, "same position"),
    (broken.GAP_IN_DECODE, RECENCY, diagnosis.OFF_BY_ONE, "a position past it"),
    (broken.OFF_BY_ONE, PADDING, diagnosis.OFF_BY_ONE, "do not begin at 0"),
    (broken.PADDING_COUNTED, PADDING, diagnosis.PADDING_COUNTED, "Llamas"),
    (broken.PADDING_ATTENDED, PADDING, diagnosis.PADDING_ATTENDED, "`<pad>`"),
    (broken.CUT, (*RECENCY, *LONG), diagnosis.WINDOW, "between 512 and 514 tokens"),
    (broken.CUT_SHORT, (*RECENCY, *LONG), diagnosis.WINDOW, "between 128 and 130 tokens"),
    *(
        (
            broken.SLIDING[size],
            (*RECENCY, *FAR),
            diagnosis.WINDOW,
            f"between {right:,} and {lost:,} t",
        )
        for size, right, lost in ((2048, 2046, 4094), (4096, 4094, 8190))
    ),
    (broken.FIRST_KEY_LOST, PADDING, diagnosis.FIRST_KEY_LOST, "never written"),
    (broken.BLOCK_LOST, (*RECENCY, *LONG), diagnosis.PART_LOST, "position 255"),
    (broken.GOES_ON, PADDING, diagnosis.STOP_IGNORED, "goes on after"),
    (broken.DRAWS_ON, PADDING, diagnosis.STOP_IGNORED, "goes on after"),
    (broken.TOO_MANY, RECENCY[1:], diagnosis.COUNT_IGNORED, "does not stop"),
    (broken.SWAPPED, PADDING, diagnosis.ROWS_SWAPPED, "another prompt"),
    (broken.FLOAT16_SCORES, (*RECENCY, *LONG), diagnosis.SCORES, "65,504"),
    (broken.BFLOAT16_SCORES, (RECENCY[0], "heads"), diagnosis.SCORES, "bits"),
    (broken.EAGER, (*HALF, PADDING[0]), diagnosis.SCORES, "only checkpoints in half precision"),
    (broken.NOT_CAUSAL, RECENCY, diagnosis.NO_CAUSAL_MASK, "what comes after"),
    (broken.STALE, RECENCY, diagnosis.STALE_CACHE, "an earlier one"),
    (broken.HOT, RECENCY[1:], diagnosis.SAMPLING, "64 nats"),
]
NAMES = (*RECENCY, *PADDING, *LONG, *FAR, *HALF, "heads")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kat") / "suite"
    return suite.make(folder, named(NAMES), ["hf"]).suite


@pytest.mark.parametrize("engine", [TransformersEngine(), broken.SOUND], ids=lambda e: e.name)
def test_sound_engines_pass(small, engine):
    report = checking.run(small, engine, set(NAMES) - set(FAR) if engine is broken.SOUND else NAMES)
    assert report.good
    assert not report.of("skipped")
    assert diagnosis.suspected(report) is None
    assert report.tokens > 3000
    assert 0 < report.doubt < 1e-9


@pytest.mark.parametrize(
    ("engine", "cases", "name", "because"), TABLE, ids=[row[0].name for row in TABLE]
)
def test_a_fault_is_caught_and_named(small, engine, cases, name, because):
    report = checking.run(small, engine, cases)
    assert not report.good
    fault = diagnosis.suspected(report)
    assert fault.name == name
    assert because in fault.because
    first = report.first_wrong
    assert first.wrong is not None or first.reason


def test_what_a_cut_cache_has_lost_is_said(small):
    wrong = checking.run(small, broken.CUT, LONG).first_wrong.wrong
    assert wrong.position - wrong.distance > 0
    assert wrong.distance == 514  # 512 keys and the one before: distances here are even
    assert "written 514 tokens before, at position 46, by `" in wrong.recalls
    assert wrong.got != wrong.expected


def test_every_fault_that_has_a_name_is_told_of_some_engine():
    texts = {n: v for n, v in vars(diagnosis).items() if n.isupper() and isinstance(v, str)}
    names = set(texts.values())
    assert {row[2] for row in TABLE} == names - {diagnosis.UNKNOWN, diagnosis.PADDING}


# --- through a server


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("shows_end", [False, True])
def test_a_sound_server_passes(small, as_text, shows_end):
    case = PADDING[1]
    folder = small.folder / case
    session = TransformersEngine().load(folder)
    served = broken.Completions(session, folder, shows_end=shows_end, refuses=("ids",) * as_text)
    with broken.serving(served, models=(f"/models/{case}/model.gguf",)) as url:
        report = checking.run(small, HttpEngine(url, as_text=as_text), [case])
    assert report.good
    assert not report.of("skipped")
    assert report.doubt == pytest.approx(1e-12)
    assert {body["model"] for body in served.asked} == {f"/models/{case}/model.gguf"}


def test_a_server_that_takes_one_text_at_a_time(small):
    """As llama-cpp-python's does: ids are tried once, batches are left out."""
    case = PADDING[1]
    folder = small.folder / case
    session = TransformersEngine().load(folder)
    served = broken.Completions(session, folder, refuses=("ids", "batch"))
    with broken.serving(served, models=(case,)) as url:
        report = checking.run(small, HttpEngine(url), [case])
    assert report.good
    assert {result.kind for result in report.of("skipped")} == {"batch"}
    assert sum(not isinstance(body["prompt"], str) for body in served.asked) < len(served.asked) / 2


def test_a_broken_server_is_found_out(small):
    case = RECENCY[1]
    folder = small.folder / case
    served = broken.Completions(broken.OFF_BY_ONE_IN_DECODE.load(folder), folder)
    with broken.serving(served, models=(case,)) as url:
        report = checking.run(small, HttpEngine(url), [case])
    assert not report.good
    assert diagnosis.suspected(report).name == diagnosis.OFF_BY_ONE


def test_a_server_that_does_not_answer_in_time(small, monkeypatch):
    case = PADDING[1]

    class Slow(broken.Completions):
        def answer(self, body):
            self.asked.append(body)
            time.sleep(0.6)
            return 200, {}

    monkeypatch.setattr(http, "SECONDS", 0.2)
    served = Slow(None, small.folder / case)
    with broken.serving(served, models=(case,)) as url:
        report = checking.run(small, HttpEngine(url), [case])
    assert len(served.asked) == len(report.of("failed")) == 1
    assert "no answer from" in report.of("failed")[0].reason
    assert len(report.of("skipped")) == len(report.results) - 1


def test_what_a_server_refuses_is_skipped(small):
    case = PADDING[1]
    folder = small.folder / case
    session = TransformersEngine().load(folder)
    served = broken.Completions(session, folder, refuses=("batch", "echo"))
    with broken.serving(served, models=None) as url:
        report = checking.run(small, HttpEngine(url), [case])
    assert report.good
    assert {result.kind for result in report.of("skipped")} == {"batch", "score"}
    assert "several prompts in one request are refused" in report.of("skipped")[0].reason


def test_a_server_without_the_case_is_asked_nothing(small):
    case = PADDING[1]
    served = broken.Completions(None, small.folder / case)
    with broken.serving(served) as url:
        report = checking.run(small, HttpEngine(url), [case])
        assert not report.good
        assert len(report.of("skipped")) == len(report.results)
        assert "--case and --model" in report.results[0].reason
    assert served.asked == []


# --- all of it


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return suite.make(tmp_path_factory.mktemp("kat") / "suite", CASES, ["hf"]).suite


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_suite_passes(whole):
    report = checking.run(whole, TransformersEngine())
    assert report.good
    assert not report.of("skipped")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("engine", "name"), [(row[0], row[2]) for row in TABLE], ids=[row[0].name for row in TABLE]
)
def test_the_whole_suite_names_every_fault(whole, engine, name):
    report = checking.run(whole, engine)
    assert not report.good
    assert diagnosis.suspected(report).name == name


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_compile(small):
    from tm2tf.kat.engines.torch_compile import TorchCompileEngine

    report = checking.run(small, TorchCompileEngine(), PADDING[1:])
    assert report.good
    assert not report.of("skipped")
