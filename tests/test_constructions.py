"""What holds for every construction, and the commands that take them all."""

import json
from dataclasses import replace

import pytest

from tests.test_cli import from_json, tm2tf
from tm2tf import api
from tm2tf.bench.compare import Left, Row, compare
from tm2tf.cli.common import OPTIONS
from tm2tf.constructions import CONSTRUCTIONS
from tm2tf.errors import ArtifactError, ConstructionError, ExtraError
from tm2tf.weights import folder

HARD = [c for c in CONSTRUCTIONS if "hard" in c.targets]
EVERY = pytest.mark.parametrize("construction", HARD, ids=lambda c: c.name)
THREE_TAPES = ("trace", "addressed", "summarised", "looped")


def test_names_options_and_sources_are_there():
    names = [construction.name for construction in CONSTRUCTIONS]
    assert len(set(names)) == len(names)
    for construction in CONSTRUCTIONS:
        assert construction.source
        assert construction.summary
        for option in construction.options:
            assert option.name in OPTIONS, "the command line must offer it"
            assert option.least <= option.default <= option.most
    used = {option.name for construction in CONSTRUCTIONS for option in construction.options}
    assert used == set(OPTIONS)


@EVERY
def test_an_artifact_runs_as_what_was_compiled(construction, tmp_path):
    model = api.compile("bb3", construction.name)
    digest = model.save(tmp_path / "bb3")
    again = api.open_model(tmp_path / "bb3")
    assert again.weights_sha256 == digest
    assert again.weights.options == model.weights.options
    first, second = model.run(), again.run()
    assert (first.outcome, first.steps, first.tapes) == (second.outcome, second.steps, second.tapes)
    assert first.steps == 21
    assert again.verify().divergence is None


@EVERY
@pytest.mark.parametrize("machine", ["bb4", "binary-increment", "palindrome"])
def test_sizes_are_as_the_formula_has_them(construction, machine):
    model = api.compile(machine, construction.name)
    weights = model.weights
    counted = {
        "layers": len(weights.layers),
        "heads": weights.heads,
        "d_model": weights.d_model,
        "d_mlp": weights.d_mlp,
        "vocab": weights.d_vocab,
    }
    assert construction.sizes(model.machine, weights.options) == counted
    result = model.run()
    each = model.tokens_per_step
    if each is not None:
        assert result.forward_passes == each * result.steps


@pytest.mark.parametrize("name", THREE_TAPES)
def test_three_tapes(name):
    for word in ("aabbcc", "aabbc"):
        check = api.compile("matching-3tape", name).verify(word)
        assert check.divergence is None
        assert check.outcome == ("accepted" if word == "aabbcc" else "rejected")


@EVERY
def test_a_machine_that_is_over_before_it_begins(construction):
    machine = api.load("start: A\nrules: {A: , B: {_: R A}}\nhalt: A")
    model = api.compile(machine, construction.name)
    result = model.run()
    assert (result.outcome, result.steps, result.state) == ("halted", 0, "A")
    assert model.verify().divergence is None


@EVERY
@pytest.mark.parametrize("limit", [0, 1, 20, 21, 22])
def test_a_limit_is_kept_to_the_step(construction, limit):
    model = api.compile("bb3", construction.name)
    result = model.run(max_steps=limit)
    assert result.steps == min(limit, 21)
    assert result.outcome == ("halted" if limit >= 21 else "step-limit")
    assert model.verify(max_steps=limit).divergence is None


def test_other_machines_with_the_same_weights():
    model = api.compile("bb2", "universal")
    other = model.of("palindrome")
    assert other.weights is model.weights
    assert other.run("abcba").outcome == "accepted"
    with pytest.raises(ConstructionError, match="take --states 40 --symbols 15"):
        model.of("universal")
    with pytest.raises(ConstructionError, match="are for one machine"):
        api.compile("bb2").of("bb3")


# --- commands -----------------------------------------------------------------------------


def test_verify_by_all_constructions():
    facts = from_json("verify bb4 binary-increment --construction all")
    runs = 1 + len(api.load("binary-increment").examples)
    skipped = {each["construction"] for each in facts["skipped"]}
    assert {c.name for c in CONSTRUCTIONS} == {*facts["constructions"], *skipped}
    assert {c.name for c in HARD} <= set(facts["constructions"])
    for row in facts["constructions"].values():
        assert (row["checked"], row["agreed"]) == (runs, runs)
    text = tm2tf("verify bb2 --construction all")
    assert all(construction.name in text for construction in HARD)


def test_verify_says_which_constructions_cannot_take_a_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three.yaml").write_text(
        "tapes: 3\nstart: a\nhalt: z\nrules: {a: {_ _ _: 1 1 1 R L S z}}\n"
    )
    facts = from_json("verify three.yaml --construction all")
    assert set(facts["constructions"]) == set(THREE_TAPES)
    reasons = {each["construction"]: each["reason"] for each in facts["skipped"]}
    assert "one tape" in reasons["queue"]
    assert "not by queue: three" in tm2tf("verify three.yaml --construction all")


def test_random_machines_by_the_same_weights():
    facts = from_json("verify --random 20 --seed 11 --construction universal")
    assert (facts["checked"], facts["agreed"]) == (20, 20)
    (digest,) = facts["shared_weights_sha256"]
    assert digest == api.compile("bb5", "universal").weights_sha256
    assert digest == from_json("run bb4 --construction universal")["weights_sha256"]


def test_a_prompt_is_shown():
    facts = from_json("run bb2 --construction universal --show-prompt")
    assert facts["prompt"][:7] == ["<bos>", *["A", "0", "->", "B", "1", "right"]]
    assert "<bos> A 0 -> B 1 right A 1 -> B 1 left" in tm2tf(
        "run bb2 --construction universal --show-prompt"
    )


def test_a_divergence_names_the_command_that_repeats_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = "verify bb3 --construction queue --tape 16 --runtime torch"
    (tmp_path / "wrong.yaml").write_text(
        "start: A\nrules: {A: {_: R B}, B: {_: R C}}\nhalt: C\nexamples: [{input: '', steps: 3}]\n"
    )
    (found,) = from_json(command.replace("bb3", "wrong.yaml"), code=1)["diverged"]
    assert found["construction"] == "queue"
    assert found["command"].endswith("--construction queue --tape 16 --runtime torch")
    (again,) = from_json(found["command"].removeprefix("tm2tf "), code=1)["diverged"]
    assert again["feature"] == "expected steps"


def test_compare(monkeypatch):
    monkeypatch.setattr("tm2tf.bench.compare.LONG_ENOUGH", 0)
    facts = from_json("compare bb3")
    named = [row["construction"] for row in facts["rows"]]
    assert {c.name for c in HARD} <= set(named)
    assert set(named) | {left["construction"] for left in facts["not_applicable"]} == {
        c.name for c in CONSTRUCTIONS
    }
    for row in facts["rows"]:
        assert row["agreed"]
        assert row["steps"] == 21
        assert row["sizes"] == row["predicted"] or row["target"] == "tracr"
        assert row["passes_per_second"] > 0
        assert row["source"]
    text = tm2tf("compare bb3")
    assert "bb3 on (blank)  from 0, head at 0: 21 steps" in text
    json.dumps(facts)


def test_compare_widens_a_tape_until_the_run_fits(monkeypatch):
    monkeypatch.setattr("tm2tf.bench.compare.LONG_ENOUGH", 0)
    machine = api.load("start: A\nrules: {A: {_: 1 R A}}")
    rows = {
        line.construction: line for line in compare(machine, max_steps=140) if isinstance(line, Row)
    }
    assert rows["queue"].tape == 512  # 64, 128 and 256 do not hold 140 cells to one side
    fixed = list(compare(machine, max_steps=140, options={"tape": 64}))
    reasons = {line.construction: line.reason for line in fixed if isinstance(line, Left)}
    assert "compile with --tape 128" in reasons["queue"]


def test_an_extra_that_is_missing_is_named():
    try:
        import tracr  # noqa: F401
    except ImportError:
        with pytest.raises(ExtraError, match=r"pip install 'tm2tf\[tracr\]'"):
            api.compile("bb2", "tracr")
    else:
        assert api.compile("bb2", "tracr").weights.target == "tracr"


def test_the_package_and_the_function_of_one_name():
    import tm2tf
    import tm2tf.verify.lockstep

    assert tm2tf.verify("bb2", construction="queue", tape=8).steps == 6
    assert callable(tm2tf.verify.lockstep.lockstep)


def test_a_window_that_was_doubled_is_reported():
    facts = from_json("run bb4 --construction looped --window 4")
    assert (facts["widened"], facts["peak_context"], facts["steps"]) == (3, 34, 107)
    text = tm2tf("run bb4 --construction looped --window 4")
    assert "34 cells and edges at most, 1 pass a step; a head left the window, which was " in text
    assert "doubled 3 times" in text


@pytest.mark.parametrize(
    ("construction", "asked", "edited"),
    [("addressed", {"tape": 32}, {"tape": 64}), ("queue", {"tape": 16}, {"tape": 15}),
     ("universal", {}, {"states": 20, "symbols": 8, "halting": 3}), ("summarised", {}, {})],
)  # fmt: skip
def test_options_that_do_not_fit_the_weights_are_refused(construction, asked, edited, tmp_path):
    model = api.compile("bb3", construction, **asked)
    weights = replace(model.weights, options=edited)
    folder.save(tmp_path / "edited", weights, model.machine)
    with pytest.raises(ArtifactError, match="do not fit the machine and the options"):
        api.open_model(tmp_path / "edited")
