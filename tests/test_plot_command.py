"""`tm2tf plot`: files in each format, the data as JSON, and what it answers to bad requests."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tm2tf.cli import group

pytest.importorskip("matplotlib", reason="pictures are drawn with the extra draw")


def plot(*arguments):
    return CliRunner().invoke(group, ["plot", *map(str, arguments)])


def test_pictures_are_written_in_each_format(tmp_path):
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "PNG": b"\x89PNG"}
    for suffix, first in begins.items():
        path = tmp_path / f"a.{suffix}"
        result = plot("weights", "bb2", "--layer", 2, "--head", 0, "-o", path)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"{path}: 2 panels, construction trace")
        assert path.read_bytes().startswith(first)
    again = tmp_path / "b.svg"
    plot("weights", "bb2", "--layer", 2, "--head", "tape0.read", "-o", again)
    assert again.read_bytes() == (tmp_path / "a.svg").read_bytes()
    assert b"tape0.read.query^2" in again.read_bytes()  # text stays text


def test_json_has_the_data_and_needs_no_file(tmp_path):
    result = plot("attention", "binary-increment", "--input", "1011", "--json")
    found = json.loads(result.stdout)
    assert (found["steps"], found["over"], found["path"]) == (8, True, None)
    assert [panel["name"] for panel in found["panels"]] == [
        "blocks.0.attn.0", "blocks.0.attn.1", "blocks.2.attn.0",
    ]  # fmt: skip
    assert found["panels"][0]["values"][1][:3] == [0.5, 0.5, 0]
    path = tmp_path / "r.png"
    result = plot("residual", "bb2", "--layer", "all", "--json", "-o", path)
    found = json.loads(result.stdout)
    assert found["path"] == str(path)
    assert path.is_file()
    assert [p["name"] for p in found["panels"]] == [
        "embedding", "blocks.0", "blocks.1", "blocks.2",
    ]  # fmt: skip
    found = json.loads(plot("weights", "bb2", "--tensor", "W_pos", "--json").stdout)
    assert found["panels"][0]["rows"] == ["position"]
    assert found["panels"][0]["values"] == [[1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights", "bb2"], "give -o FILE.png"),
        (["attention", "bb2"], "give -o FILE.png"),
        (["weights", "bb2", "-o", "x.jpg"], "known: .pdf, .png, .svg"),
        (["weights", "bb2", "-o", "x"], "a name without a suffix"),
        (["residual", "bb2", "-o", "no/x.png"], "there is no folder no"),
        (["weights", "bb2", "--head", "0", "--json"], "--head needs --layer"),
        (["attention", "bb2", "--head", "0", "--json"], "--head needs --layer"),
        (["weights", "bb2", "--layer", "0", "--tensor", "W_E", "--json"], "give one"),
        (["weights", "bb2", "--layer", "9", "--json"], "no tensor 'blocks.9'"),
        (["weights", "bb2", "--tensor", "W_EE", "--json"], "did you mean 'W_E'?"),
        (["residual", "bb2", "--layer", "9", "--json"], "no layer '9'; there are: 0, 1, 2, embed"),
        (["residual", "bb2", "--steps", "0", "--json"], "0 is not in the range"),
        (["residual", "bb2", "--input", "7", "--json"], "not in the alphabet"),
        (["attention", "bb2", "--head-at", "1", "--head-at", "1", "--json"], "has 1 tape"),
        (["atention", "bb2"], "did you mean 'attention'?"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, message):
    result = plot(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_path_that_cannot_be_written(tmp_path):
    folder = tmp_path / "f.png"
    folder.mkdir()
    assert "it is a folder" in plot("weights", "bb2", "-o", folder).stderr
    result = plot("weights", "bb2", "--tensor", "W_pos", "-o", "/proc/x.png")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot write /proc/x.png")


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = plot("weights", "bb2", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "pip install 'tm2tf[draw]'" in result.stderr
    assert plot("weights", "bb2", "--tensor", "W_pos", "--json").exit_code == 0


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tm2tf.cli import group\n"
        "try: group(['plot', 'weights', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('matplotlib', 'torch', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"
