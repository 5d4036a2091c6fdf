"""The command: every view as text and as JSON, and what it answers to what is not there."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.inspecting import compiled, inspect, json_of, shown_by
from tm2tf.cli import group

GOLDEN = Path(__file__).resolve().parent / "golden"


# --- the command ----------------------------------------------------------------------------------


VIEWS = {
    "overview": [],
    "layer": ["--layer", "0"],
    "head": ["--layer", "2", "--head", "tape0.read"],
    "neuron": ["--layer", "2", "--neuron", "B, 1 ->"],
    "token": ["--token", "1R>B"],
    "direction": ["--direction", "tape0.head"],
    "dense": ["--dense", "blocks.1.mlp.W_out"],
    "step": ["--step", "2"],
    "program": ["--program"],
}


@pytest.mark.parametrize(("name", "arguments"), VIEWS.items(), ids=VIEWS)
def test_json_and_text_of_every_view(name, arguments):
    found = json_of("bb2", *arguments)
    assert (found.pop("machine"), found.pop("view")) == ("bb2", name)
    assert found
    text = shown_by("bb2", *arguments)
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_json_is_the_view():
    weights = compiled("bb2").weights
    head = json_of("bb2", "--layer", "2", "--head", "0")
    assert head["query"][0]["text"] == "2 tape0.head"
    assert head["ov"][0] == {"source": "begin", "to": "tape0.read=0", "weight": 1}
    assert json_of("bb2")["nonzeros"] == weights.nonzeros
    assert json_of("bb2", "--token", "0")["id"] == 2
    found = json_of("binary-increment", "--step", "1", "--input", "1", "--origin", "3",
                    "--head-at", "4")  # fmt: skip
    assert (found["fed"]["token"], found["starts"], found["fed"]["position"]) == ("<start>", [4], 4)
    assert found["read_by"]["state"] == ["layer 2"]
    circuit = json_of("bb2", "--dense", "blocks.2.attn.0.W_QK")
    assert circuit["tensor"] == "blocks.2.attn.0.QK"
    asked, held = circuit["rows"].index("tape0.head"), circuit["columns"].index("tape0.read.key")
    assert circuit["values"][asked][held] == 2


def test_the_overview_as_text():
    expected = (GOLDEN / "inspect-bb2.txt").read_text(encoding="utf-8")
    assert shown_by("bb2") == expected


def test_views_as_text():
    text = shown_by("bb2", "--layer", "2", "--neuron", "3")
    assert (
        "does    if state=B and tape0.read=1 "
        "then next.state=Z, next.tape0.write=1, next.tape0.move=R" in text.splitlines()
    )
    text = shown_by("bb2", "--step", "3")
    for line in (
        "fed    1L>A at position 4 (step 2)",
        "emits  1L>B, by a margin of 0.5",
        "tape0.read        1      layer 2    layer 2",
        "tape0.head        0      layer 0    layer 1, head 2.0",
        "next.state        B      layer 2    logits",
        "2.0   tape0.read    1R>B at position 3 (step 1)      0     0.5  tape0.read=1",
        "1L>B         1",
    ):
        assert line in text.splitlines()
    text = shown_by("palindrome-2tape", "--step", "1", "--input", "0", "--head-at", "-1")
    assert (
        "addresses  count from where each head began (tape 0: -1, tape 1: 0)" in text.splitlines()
    )
    assert shown_by("bb2", "--program").startswith('program "bb2 by trace"\n')


def test_names_are_not_read_as_markup(tmp_path):
    machine = tmp_path / "odd.yaml"
    machine.write_text(
        'name: odd\nblank: "[red]"\nstart: ":smile:"\nrules:\n'
        '  ":smile:":\n    "[red]": "[/b] R :smile:"\n',
        encoding="utf-8",
    )
    text = shown_by(str(machine), "--layer", "2")
    assert "if state=:smile: and tape0.read=[red] then" in text
    assert "next.tape0.write=[/b]" in text


def test_an_artifact_is_inspected_as_it_is(tmp_path):
    folder = tmp_path / "bb2"
    assert CliRunner().invoke(group, ["compile", "bb2", "-o", str(folder)]).exit_code == 0
    assert shown_by(str(folder)) == shown_by("bb2")
    assert shown_by(str(folder), "--step", "2") == shown_by("bb2", "--step", "2")


# --- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layer", "3"], ["no layer 3", "2 'tape0.read, next.state"]),
        (["--layer", "-1"], ["no layer -1"]),
        (
            ["--layer", "2", "--head", "1"],
            ["layer 2 has no head '1'", "in layer 0: 0 'tape0.head'"],
        ),
        (["--layer", "2", "--head", "tape0.raed"], ["did you mean 'tape0.read'?"]),
        (
            ["--layer", "1", "--head", "0"],
            ["layer 1 has no head '0'", "in layer 2: 0 'tape0.read'"],
        ),
        (["--layer", "4", "--head", "0"], ["no layer 4"]),
        (["--layer", "2", "--neuron", "4"], ["layer 2 has no neuron '4'", "3 'transitions: B, 1"]),
        (
            ["--layer", "2", "--neuron", "A, "],
            ["is in the labels of 3 neurons", "0 'trans", "2 'tr"],
        ),
        (["--layer", "0", "--neuron", "tape0.haed"], ["did you mean 'tape0.head'?"]),
        (["--token", "1R>C"], ["no token '1R>C'; did you mean '1R>", "5 '<stuck>'"]),
        (["--token", "#10"], ["no token '#10'"]),
        (["--token", "10"], ["no token '10'"]),
        (["--direction", "tape0.haed"], ["did you mean 'tape0.head'?", "12 'tape0.head'"]),
        (["--direction", "28"], ["no direction '28'"]),
        (
            ["--direction", "state"],
            ["'state' is a feature", "2 'state=A', 3 'state=B', 4 'state=Z'"],
        ),
        (["--direction", "tape0.address"], ["is a feature", "7 'tape0.move'", "14 'tape0.filled'"]),
        (["--dense", "blocks.0.attn.0.QK"], ["'uniform'", "no queries and keys", "ask for its OV"]),
        (["--dense", "blocks.0.attn.7.OV"], ["no tensor 'blocks.0.attn.7.OV'", ".QK and .OV"]),
        (["--dense", "blocks.9.attn.0.OV"], ["no tensor 'blocks.9.attn.0.OV'"]),
        (["--dense", "W_X"], ["no tensor 'W_X'; did you mean 'W_", "blocks.L.mlp."]),
        (["--step", "0"], ["no step 0", "count from 1"]),
        (["--step", "7"], ["no step 7: the run has 6 steps"]),
        (["--step", "20000"], ["20,000 at most"]),
        (["--step", "1", "--head-at", "1", "--head-at", "2"], ["--head-at is given 2 times"]),
        (["--step", "1", "--input", "2"], ["'2'", "alphabet"]),
        (["--construction", "tracee"], ["did you mean 'trace'?"]),
    ],
)
def test_errors(arguments, said):
    result = inspect("bb2", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    for words_ in said:
        assert words_ in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--head", "0"], "--head needs --layer"),
        (["--neuron", "0"], "--neuron needs --layer"),
        (["--layer", "0", "--head", "0", "--neuron", "0"], "give one"),
        (["--layer", "0", "--token", "0"], "--layer and --token show different things"),
        (["--step", "0", "--dense", "W_E"], "--dense and --step show different things"),
        (["--input", "1"], "--input goes with --step"),
        (["--token", "0", "--head-at", "0"], "--head-at goes with --step"),
    ],
)
def test_options_that_do_not_go_together(arguments, said):
    result = inspect("bb2", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
