"""The report: a page that holds its figures, verdicts from numbers, chapters that can be chosen."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tm2tf.cli import group
from tm2tf.cli.learn.report import CHAPTERS as OFFERED
from tm2tf.errors import InputError
from tm2tf.learning import report as made
from tm2tf.learning import sections, sft, transitions
from tm2tf.learning.labelled import random_data
from tm2tf.learning.sections import CHAPTERS, SMALL, Ask
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

TINY = replace(SMALL, seeds=1, noisy_seeds=1, controls=2, trials=2, retrievals=2)


def test_the_command_offers_every_chapter() -> None:
    assert tuple(CHAPTERS) == OFFERED


def test_a_chapter_as_page_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "EXAMPLES", 100)
    result = made.make_report(tmp_path, TINY, names=["transitions"])
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept == json.loads(json.dumps(result))
    assert result["good"] is True
    assert [row["verdict"] for row in result["verdicts"]][::2] == [HOLDS, HOLDS]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 1
    for row in result["verdicts"]:
        assert row["verdict"] in (HOLDS, LOOSELY, FALSE)
        assert row["because"].split(";")[0].replace("<", "&lt;").replace(">", "&gt;") in page
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets == set(re.findall(r'<section id="([^"]+)"', page))
    assert "{{" not in page
    assert "{%" not in page
    for name in ("transitions.json", "transitions.csv", "transitions.svg", "trials.jsonl"):
        assert (tmp_path / "transitions" / name).exists()


def test_what_must_agree_and_does_not_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(ask: Ask) -> list[sections.Section]:
        data = random_data(2, 6, 3, largest=1, flip=0.0, seed=0)
        done = sft.experiment(data, sft.Learner("majority"), controls=0)
        turned = replace(done.main, answers=tuple(-label for label in done.main.answers))
        section = sections._on_tape(replace(done, main=turned), "turned", "none", ask.folder)
        return [section]

    monkeypatch.setitem(made.CHAPTERS, "sft-on-tape", wrong)
    command = ["learn", "report", "-o", str(tmp_path), "--chapter", "sft-on-tape", "--json"]
    result = CliRunner().invoke(group, command)
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert found["good"] is False
    assert found["verdicts"][0]["verdict"] == FALSE
    assert "Something that must agree does not" in (tmp_path / "report.html").read_text()


def test_a_folder_that_cannot_be_written_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "EXAMPLES", 4)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError):
        made.make_report(tmp_path / "taken" / "below", TINY, names=["transitions"])


def test_without_the_extra_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = CliRunner().invoke(group, ["learn", "report", "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install 'tm2tf[learn]'" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_unexpected_is_not_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "EXAMPLES", 4)
    kept = transitions.covered_runs
    monkeypatch.setattr(
        transitions, "covered_runs", lambda *args: [not each for each in kept(*args)]
    )
    result = made.make_report(tmp_path, TINY, names=["transitions"])
    assert result["good"] is False
    assert [row["verdict"] for row in result["verdicts"]][2] == FALSE
