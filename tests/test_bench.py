"""`tm2tf bench`: the table, what is printed and written, and what exits with 1.

Most of it is tried with made-up benchmarks; the real ones run with tiny sizes.
"""

import json
import math
import re
import sys

import pytest
from click.testing import CliRunner

from tests import tracr_stand_in
from tm2tf.bench import (
    blocks,
    growth_constructions,
    growth_memory,
    growth_rules,
    growth_steps,
    looped,
    one_stream,
    peers,
    registry,
    startup,
    verifying,
)
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.results import Entry, Goal, Growth, Left, Outcome, Race, Series
from tm2tf.bench.statistics import Spread
from tm2tf.cli import group
from tm2tf.errors import ExtraError, InternalError, NotFoundError

QUICK = Settings(quick=True, repeat=1)
SPREAD = {"median", "low", "high", "count"}


def certain(value):
    return Spread(value, value, value, 3)


def an_outcome(ratio=2.0, wrong="", size=100.0):
    entries = (
        Entry("plain", "no weights", 10, certain(1.0), certain(1.0)),
        Entry(
            "fast | kernel", "weights", 10, certain(2.0), certain(ratio), {"kernel": "fast"},
            Goal(most=2.2), wrong,
        ),
    )  # fmt: skip
    values = (certain(1.0), certain(size))
    series = Series("it", (10, 1000), values, "1", Goal(most=1.1, of="slope"))
    return Outcome(
        races=(Race("Race", "this and that", "steps", entries, (Left("peer", "not there"),)),),
        growths=(Growth("Growth", "more and more", "rules", "bytes", (series,)),),
        notes=("a note",),
    )


@pytest.fixture
def bench(monkeypatch):
    """Return what runs `tm2tf bench` with made-up benchmarks in place of the real ones."""

    def run(*words, first=None, second=None):
        makers = {"first": first or an_outcome, "first-more": second or Outcome}
        made = tuple(
            Benchmark(name, f"{name} against it", lambda _, make=make: make())
            for name, make in makers.items()
        )
        monkeypatch.setattr(registry, "BENCHMARKS", made)
        return CliRunner().invoke(group, ["bench", *map(str, words)])

    return run


# --- the table ------------------------------------------------------------------------------


def test_the_table():
    names = [benchmark.name for benchmark in registry.BENCHMARKS]
    assert len(set(names)) == len(names) >= 12
    for benchmark in registry.BENCHMARKS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", benchmark.name)
        assert 20 < len(benchmark.about) < 110


def test_names_choose_benchmarks_in_the_order_of_the_table():
    everything = registry.chosen(())
    assert everything == registry.BENCHMARKS
    grown = [benchmark.name for benchmark in registry.chosen(["growth"])]
    assert grown == [it.name for it in everything if it.name.startswith("growth-")]
    both = registry.chosen(["verify", "one-stream", "verify"])
    assert [it.name for it in both] == ["one-stream", "verify"]
    with pytest.raises(
        NotFoundError, match=r"unknown benchmark 'verfy'; known: one-stream.*verify"
    ):
        registry.chosen(["verfy"])


def test_an_error_in_one_does_not_end_the_others():
    def absent(_):
        raise ExtraError("this", "nothing-like-it", "bench")

    def fails(_):
        raise InternalError("it broke")

    made = [
        Benchmark("absent", "", absent),
        Benchmark("fails", "", fails),
        Benchmark("fine", "", lambda _: an_outcome()),
    ]
    absent, fails, fine = registry.measure(made, QUICK)
    assert "tm2tf[bench]" in absent.absent
    assert (absent.wrong, fails.wrong) == ((), ("fails: it broke",))
    assert fine.outcome.races[0].title == "Race"


# --- the command ----------------------------------------------------------------------------


def test_the_list():
    told = CliRunner().invoke(group, ["bench", "--list"])
    listed = CliRunner().invoke(group, ["bench", "growth", "--list", "--json"])
    assert (told.exit_code, listed.exit_code) == (0, 0)
    names = [benchmark.name for benchmark in registry.BENCHMARKS]
    assert [line.split()[0] for line in told.stdout.splitlines()] == names
    assert [it["name"] for it in json.loads(listed.stdout)] == [
        name for name in names if name.startswith("growth-")
    ]


def test_json_has_everything(bench):
    result = bench("--json", "--quick", "--repeat", 5)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["settings"] == {"quick": True, "rounds": 5}
    assert {"date", "cpu", "cores", "python", "numpy", "numba", "torch", "gpu"} <= set(
        found["host"]
    )
    assert found["host"]["python"] == ".".join(map(str, sys.version_info[:3]))
    first, second = found["benchmarks"]
    assert (first["name"], second["name"]) == ("first", "first-more")
    (race,) = first["races"]
    assert (race["baseline"], race["unit"]) == ("plain", "steps")
    assert race["left_out"] == [{"name": "peer", "reason": "not there"}]
    plain, fast = race["entries"]
    assert set(plain["seconds"]) == set(plain["ratio"]) == SPREAD
    assert (plain["goal"], plain["wrong"]) == (None, None)
    assert fast["goal"] == {"most": 2.2, "least": None, "of": "ratio"}
    assert (fast["rate"], fast["facts"]) == (5.0, {"kernel": "fast"})
    (series,) = first["growths"][0]["series"]
    assert series["slope"] == pytest.approx(1.0)
    assert series["points"][0]["size"] == 10
    assert [(it["figure"], it["met"]) for it in found["goals"]] == [
        ("Race: fast | kernel", True), ("Growth: it", True),
    ]  # fmt: skip
    assert (found["wrong"], found["written"]) == ([], [])


def test_no_number_is_null_in_json(bench):
    def nothing():
        none = Spread(math.nan, math.nan, math.nan, 0)
        entries = (Entry("plain", "", 1, certain(1), none),)
        series = Series("one size", (10,), (certain(1),), goal=Goal(most=1, of="slope"))
        growths = (Growth("Growth", "", "x", "y", (series,)),)
        return Outcome(races=(Race("Race", "", "steps", entries),), growths=growths)

    result = bench("--json", first=nothing)
    found = json.loads(result.stdout, parse_constant=pytest.fail)
    assert found["benchmarks"][0]["races"][0]["entries"][0]["ratio"] is None
    assert found["benchmarks"][0]["growths"][0]["series"][0]["slope"] is None
    assert bench(first=nothing).exit_code == 0


def test_people_read_tables(bench):
    result = bench()
    assert (result.exit_code, result.stderr) == (0, "")
    told = result.stdout
    for expected in (
        "first: first against it", "Race: this and that", "times plain", "2.00 (2.00 to 2.00)",
        "at most 2.2", "left out: peer: not there", "Growth (bytes): more and more", "slope",
        "1.00", "a note", "Race: fast | kernel", "numba",
    ):  # fmt: skip
        assert expected in told
    assert "\x1b" not in told
    assert "\r" not in told


def test_a_wrong_result_is_exit_code_1(bench):
    result = bench(first=lambda: an_outcome(wrong="7 steps, expected 6"))
    assert result.exit_code == 1
    assert "WRONG: Race, fast | kernel: 7 steps, expected 6" in result.stdout
    found = json.loads(bench("--json", first=lambda: an_outcome(wrong="so")).stdout)
    assert found["wrong"] == ["Race, fast | kernel: so"]
    assert [it["figure"] for it in found["goals"]] == ["Growth: it"]


def test_a_benchmark_that_fails_is_exit_code_1(bench):
    def fails():
        raise InternalError("it broke")

    result = bench(second=fails)
    assert result.exit_code == 1
    assert "WRONG: first-more: it broke" in result.stdout


def test_check_complains_of_what_is_three_times_worse(bench):
    near, far = (lambda: an_outcome(6.5)), (lambda: an_outcome(6.7))
    assert bench("--check", first=near).exit_code == 0
    assert bench(first=far).exit_code == 0
    result = bench("--check", first=far)
    assert result.exit_code == 1
    assert result.stderr == "far from its goal: first, Race: fast | kernel: 6.7\n"
    assert "NO, far from it" in result.stdout
    steep = bench("--check", "--json", first=lambda: an_outcome(size=10_000.0))
    assert steep.exit_code == 1
    assert "Growth: it" in steep.stderr
    assert json.loads(steep.stdout)["goals"][1]["fails"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "unknown benchmark 'nothing'; known: first, first-more"),
        (["--repeat", "0"], "repeat must be from 1 to 1,000, got 0"),
        (["--write", "a/b.md"], "no such folder: a (make it first)"),
        (["--write", "b.txt"], "the document is Markdown: name it FILE.md, not 'b.txt'"),
        (["--write", "folder.md"], "folder.md is a folder: name a file in it"),
        (["first", "--write", "b.md"], "--write writes the whole document"),
    ],
)
def test_what_cannot_be_done(words, message, bench, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="plots are drawn with the extra draw")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.md").mkdir()
    result = bench(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


# --- the document ---------------------------------------------------------------------------


def test_the_document(bench, tmp_path):
    pytest.importorskip("matplotlib", reason="plots are drawn with the extra draw")
    path = tmp_path / "benchmarks.md"
    result = bench("--write", path, first=lambda: an_outcome(wrong="not | so"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == f"wrote {path}"
    text = path.read_text(encoding="utf-8")
    picture = tmp_path / "images" / "bench-first.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "![first](images/bench-first.png)" in text
    assert not (tmp_path / "images" / "bench-first-more.png").exists()
    for expected in (
        "# Benchmarks", "feed-forward layers and argmax computed on every pass", "layer sums kept",
        "what depends on finitely many cases is computed once and remembered", "## Goals",
        "## first", "### Race", "**WRONG**: Race, fast | kernel: not | so", "| CPU |",
        r"| fast \| kernel | weights |", "| slope | 1.00 |", "Left out: peer. Not there.",
    ):  # fmt: skip
        assert expected in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


def test_the_folder_of_a_document_cannot_be_written(bench, tmp_path):
    pytest.importorskip("matplotlib", reason="plots are drawn with the extra draw")
    (tmp_path / "images").write_text("no folder")
    result = bench("--write", tmp_path / "b.md")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr


def test_without_matplotlib_nothing_is_measured_in_vain(bench, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = bench("--write", tmp_path / "b.md", first=lambda: pytest.fail("measured"))
    assert result.exit_code == 2
    assert "tm2tf[draw]" in result.stderr


# --- the real ones, tiny --------------------------------------------------------------------


def checked(outcome):
    """Require that all was right and something was measured."""
    assert outcome.wrong == ()
    for race in outcome.races:
        assert race.entries[0].ratio.median == 1
        assert all(entry.ratio.median > 0 for entry in race.entries)
    for growth in outcome.growths:
        assert all(len(series.sizes) >= 2 for series in growth.series)
    return outcome


def test_one_stream(monkeypatch):
    monkeypatch.setattr(one_stream, "QUICK_STEPS", 20_000)
    monkeypatch.setattr(
        one_stream, "MOST", {"dense": 500, "sparse": 2_000, "torch": 20, "simulator": 500}
    )
    outcome = checked(one_stream.measure(QUICK))
    names = {entry.name: entry for entry in outcome.races[0].entries}
    assert names["plain"].amount == 20_000
    assert (names["torch"].amount, names["simulator"].amount) == (20, 500)
    assert names["plain"].rate > names["simulator"].rate > names["torch"].rate


def test_verifying(monkeypatch):
    monkeypatch.setattr(verifying, "QUICK_STEPS", 2_000)
    (race,) = checked(verifying.measure(QUICK)).races
    assert [entry.amount for entry in race.entries] == [2_000, 2_000]


def test_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "MACHINE", "bb4")
    monkeypatch.setattr(blocks, "QUICK_SIZES", (4,))
    monkeypatch.setattr(blocks, "CLOSED", 2)
    monkeypatch.setattr(blocks, "ALONE", 3)
    (race,) = checked(blocks.measure(QUICK)).races
    assert {entry.amount for entry in race.entries} == {107}
    assert race.entries[1].facts["macro steps"] < 107


def test_growths(monkeypatch):
    monkeypatch.setattr(growth_steps, "QUICK_SIZES", (100, 1_000))
    monkeypatch.setattr(growth_rules, "QUICK_RULES", (20, 80))
    monkeypatch.setattr(growth_constructions, "QUICK_BATCHES", (1, 3))
    monkeypatch.setattr(growth_constructions, "BATCH_STEPS", 10)
    checked(growth_steps.measure(QUICK))
    sizes = checked(growth_rules.measure(QUICK)).growths[-1]
    assert all(series.slope > 0.3 for series in sizes.series)
    checked(growth_constructions.batches(QUICK))
    checked(growth_constructions.universal(QUICK))
    _, steps, cells = checked(growth_constructions.space(QUICK)).growths
    trace, summarised = steps.series
    assert trace.slope == pytest.approx(1, abs=0.05)
    assert summarised.slope == 0
    assert 0.5 < cells.series[0].slope < 1.1


def test_a_wrong_end_is_noticed(monkeypatch):
    monkeypatch.setattr(growth_rules, "DIGITS", "1234567")
    monkeypatch.setattr(growth_rules, "QUICK_RULES", (100, 200))
    good = growth_rules.measure(QUICK)
    assert good.wrong == ()
    monkeypatch.setattr(growth_rules, "divmod", lambda a, b: (a // b, 1 + a % b), raising=False)
    bad = growth_rules.measure(QUICK)
    assert bad.wrong
    assert all("divider: 1234567 / " in line for line in bad.wrong)


def test_memory(monkeypatch):
    pytest.importorskip("resource", reason="memory is read off where the system tells it")
    told = {"walker": [500, 600, 700], "shuttle": [900, 900]}
    monkeypatch.setattr(growth_memory, "QUICK_CELLS", (10, 20))
    monkeypatch.setattr(growth_memory, "QUICK_STEPS", (30, 40))
    monkeypatch.setattr(growth_memory, "READ", 10)

    def peaks(name, _, stages, *then):
        assert (stages, then) in (((1_000, 10, 20), ()), ((1_000, 10), ("read",)), ((30, 40), ()))
        return told[name][: len(stages)] + [9_000] * len(then)

    monkeypatch.setattr(growth_memory, "_peaks", peaks)
    outcome = growth_memory.measure(QUICK)
    cells, steps = outcome.growths
    assert [value.median for value in cells.series[0].values] == [100, 200]
    assert cells.series[0].slope == pytest.approx(1)
    assert [value.median for value in steps.series[0].values] == [900, 900]
    said = "a run of 10 cells takes 10.0 B a cell, and with its tape read as words 850 B"
    assert outcome.notes == (said,)


def test_memory_of_processes():
    pytest.importorskip("resource", reason="memory is read off where the system tells it")
    few, many, read = growth_memory._peaks("walker", "folded", (1_000, 500_000), "read")
    assert 10_000_000 < few < many < read
    with pytest.raises(InternalError, match="the process that measures memory failed: KeyError"):
        growth_memory._peaks("nothing", "folded", (1,))


@pytest.mark.slow
def test_looped(monkeypatch):
    monkeypatch.setattr(looped, "QUICK_SQUARE", 64)
    monkeypatch.setattr(looped, "QUICK_BATCHES", (2,))
    monkeypatch.setattr(looped, "STEPS", 5)
    monkeypatch.setattr(looped, "FORMATS", ("float32",))
    race = checked(looped.measure(QUICK)).races[0]
    assert [entry.name for entry in race.entries] == ["peak", "looped, 2", "looped-neighbours, 2"]
    assert race.entries[0].amount == 2 * 64**3
    assert race.entries[1].facts["share of peak"].endswith("%")


@pytest.mark.slow
def test_startup(monkeypatch):
    (race,) = checked(startup.measure(QUICK)).races
    assert race.entries[0].name == "python"
    monkeypatch.setattr(startup, "EXPECTED", {"steps": 106})
    assert startup._ran('{"steps": 107}') == "bb4 ended {'steps': 107}, expected {'steps': 106}"
    assert startup._process(("-c", "raise SystemExit('no')"))().wrong == "exit code 1: no"


def test_peers_that_are_missing_are_left_out(monkeypatch):
    for package in ("automata", "automata.tm", "automata.tm.dtm", "transformers", "tracr"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(peers, "PLAIN_STEPS", 1_000)
    monkeypatch.setattr(peers, "WEIGHTS_STEPS", 1_000)
    (race,) = checked(peers.measure(QUICK)).races
    assert [entry.name for entry in race.entries] == ["plain", "tm2tf"]
    told = {left.name: left.reason for left in race.left}
    assert [*told] == ["automata", "transformers", "tracr"]
    for name, extra in (("automata", "bench"), ("transformers", "export"), ("tracr", "tracr")):
        assert f"pip install 'tm2tf[{extra}]'" in told[name]


@pytest.mark.slow
def test_peers_that_are_there_are_checked(monkeypatch):
    monkeypatch.setattr(peers, "PLAIN_STEPS", 1_000)
    monkeypatch.setattr(peers, "WEIGHTS_STEPS", 1_000)
    monkeypatch.setattr(peers, "QUICK_AUTOMATA_STEPS", 200)
    monkeypatch.setattr(peers, "QUICK_HF_STEPS", 20)
    monkeypatch.setattr(peers, "TRACR_STEPS", 10)
    tracr_stand_in.install(monkeypatch)
    for package in ("automata", "transformers"):
        pytest.importorskip(package, reason="needs the extras bench and export")
    (race,) = checked(peers.measure(QUICK)).races
    amounts = {entry.name: entry.amount for entry in race.entries}
    assert amounts == {
        "plain": 1_000, "tm2tf": 1_000, "automata-lib": 200, "generate, gpt2": 20,
        "generate, llama": 20, "tracr": 10,
    }  # fmt: skip
    assert race.left == ()
