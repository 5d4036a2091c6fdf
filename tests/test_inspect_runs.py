"""Single passes of every construction: against the simulator, as text, and refused."""

import json
from dataclasses import replace

import pytest

from tests.inspecting import SMALL, bundled, check_sections, compiled, json_of, shown_by, with_head
from tm2tf.compiler import compile_machine
from tm2tf.errors import ArtifactError, InputError, NotFoundError
from tm2tf.inspect import passes, sections, walk
from tm2tf.inspect.forms import to_json
from tm2tf.inspect.recording import Recording
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import trace
from tm2tf.machine.spec import Tape
from tm2tf.weights.matrix import Matrix

TAPES = {"bb3": (), "binary-increment": (Tape(tuple("1011"), -2, -1),)}
BOTH = [(machine, name) for machine in TAPES for name in SMALL]


def small(machine, name):
    return compiled(machine, name, **SMALL[name])


def started(machine):
    return bundled(machine).initial(TAPES[machine])


# --- steps against the simulator --------------------------------------------------------------


def known(view):
    assert all(feature.clear for feature in view.features)
    return {feature.name: feature.value for feature in view.features}


@pytest.mark.parametrize(("machine", "name"), BOTH)
def test_steps_are_the_simulators_steps(machine, name):
    it, start = small(machine, name), started(machine)
    taken = list(trace(bundled(machine), start))
    states, symbols = it.naming.state, it.naming.symbol
    chosen = sorted({1, 2, 5, len(taken)})
    for expected in (taken[n - 1] for n in chosen):
        view, to = step(it, start, expected.number), expected.transition
        features = known(view)
        said = it.weights.tokens[it.weights.ids()[view.emits]].values
        (head,) = expected.heads
        if name == "queue":
            after = head + {"L": -1, "S": 0, "R": 1}[to.moves[0]]
            assert view.fed.addresses in [(after - 1,), ()]  # it is one before the one emitted
            assert said["state"] == to.state
            held = view.heads[1].attended
            assert held.step == (expected.number - 1 or None)
            assert held.addresses == (after,)
        elif name.startswith("looped"):
            assert view.fed.addresses == (head,)
            assert states(features["state"]) == expected.state
            assert symbols(features["tape0.symbol"]) == expected.reads[0]
            assert (said["state"], said["tape0.write"]) == (to.state, *to.writes)
            assert view.positions == view.cells + 2
            assert view.number == expected.number
        else:
            assert states(features.get("now.state", features["state"])) == expected.state
            assert symbols(features["tape0.read"]) == expected.reads[0]
            assert features["tape0.head"] + view.starts[0] == head
            assert states(said["state"]) == to.state
            assert symbols(said["tape0.write"]) == to.writes[0]
        exact = 1 - 2.0**-52  # shares: certain, but for what the default token has
        assert view.margin == (exact if it.weights.emits_probabilities else 0.5)
        check_sections(sections.step(view))
        assert json.dumps(to_json(view))
    with pytest.raises(NotFoundError, match=f"the run has {len(taken)} steps; "):
        step(it, start, len(taken) + 1)


@pytest.mark.parametrize("name", ["addressed", "looped", "summarised"])
def test_steps_of_two_tapes(name):
    options = {"addressed": {"tape": 9}, "looped": {"window": 2}, "summarised": {"period": 1}}
    it = compiled("palindrome-2tape", name, **options[name])
    start = it.machine.initial([Tape(tuple("101"), -2, -2), Tape(tuple("0"), 4, 5)])
    taken = list(trace(it.machine, start))
    for expected in taken[:4] + taken[-1:]:
        view = step(it, start, expected.number)
        features = known(view)
        assert features.get("now.state", features["state"]) == expected.state
        assert [features[f"tape{t}.read"] for t in range(2)] == list(expected.reads)
        if name == "looped":
            (place,) = (h.attended for h in view.heads if h.name == "tape1.read")
            assert (view.fed.addresses[0], place.addresses[1]) == expected.heads
        else:
            heads = [features[f"tape{t}.head"] + view.starts[t] for t in range(2)]
            assert tuple(heads) == expected.heads
        if name == "addressed":
            assert view.number == 1 + 3 * (expected.number - 1)


def test_a_context_that_was_cut():
    it, start = small("bb3", "summarised"), started("bb3")
    taken = list(trace(it.machine, start))
    recording = Recording(it, start)
    views = [recording.view(number) for number in range(1, 15)]
    bases = [view.starts[0] for view in views]
    assert bases[0] == 0
    assert set(bases) <= {0, *(step_.heads[0] for step_ in taken)}
    assert len(set(bases)) > 1
    cut = next(view for view in views if view.number > view.step)
    assert (cut.zero, cut.fed.within) == ("where each head was at the last cut", "summary")
    assert cut.fed.token.startswith("</summary:")
    assert (cut.fed.step, cut.positions < cut.number) == (None, True)
    first = next(head for head in cut.heads if head.name == "mark.walk").attended
    assert first.token == cut.fed.token
    text = "\n".join(cell for s in sections.step(cut) for row in s.rows for cell in row)
    assert f"{cut.fed.token} at position {cut.positions} (summary)" in text
    assert f"count from where each head was at the last cut (tape 0: {bases[cut.step - 1]})" in text


def test_the_window_widens_as_in_runs():
    it = compiled("bb4", "looped", window=2)
    start = it.machine.initial()
    view = step(it, start, 107)
    assert (view.cells, view.outcome) == (32, "halted")
    assert view.fed.addresses == (list(trace(it.machine, start))[-1].heads[0],)
    assert step(it, start, 1).cells == 2
    carried = {f.name for f in view.features if f.carried}
    assert carried == {"state", "tape0.symbol", "tape0.here", "tape0.at"}
    assert not any(f.carried for f in step(it, start, 1).features)


def test_the_pass_that_finds_no_rule():
    machine = bundled("bb3")
    rules = {key: to for key, to in machine.transitions.items() if key != ("B", ("1",))}
    for name, options in SMALL.items():
        other = replace(machine, transitions=rules, undefined="reject")
        it = compile_machine(other, name, options=options)
        steps = len(list(trace(it.machine, it.machine.initial())))
        view = step(it, it.machine.initial(), steps + 1)
        assert view.outcome == "rejected"
        with pytest.raises(NotFoundError, match=f"the run has {steps} steps; .*rejected"):
            step(it, it.machine.initial(), steps + 2)


# --- steps as text ----------------------------------------------------------------------------


LOOPED = """\
Step 2: the pass that emits 1L>B
seen from  cell at address 1
emits      1L>B, by a margin of 0.5
window     4 cells, the first at address -1

Features
feature            value     made by    read by
state              B         pass 1     layer 0
tape0.symbol       0         pass 1     head 0.0, layer 1
tape0.here         yes       pass 1     head 0.0, head 0.1, head 0.2, layer 1
tape0.write        (absent)  embedding
tape0.move         0         embedding
tape0.at           1         pass 1     head 0.0, head 0.1, head 0.2, layer 1
tape0.read         0         layer 0    layer 0
tape0.left         right     layer 0    layer 1
tape0.right        left      layer 0    layer 1
next.state         B         layer 0    logits, next pass
next.tape0.write   1         layer 0    layer 1, logits
next.tape0.move    L         layer 0    layer 1, logits
next.tape0.symbol  1         layer 1    next pass
next.tape0.here    left      layer 1    next pass

Heads
head  name         attended to        score  margin  brought
0.0   tape0.read   cell at address 1      1     0.5  tape0.read=0
0.1   tape0.left   cell at address 0                 tape0.left=right
0.2   tape0.right  cell at address 2                 tape0.right=left

Neurons that fired
neuron  activation  what it does
0.2              1  if state=B and tape0.read=0 then next.state=B, next.tape0.write=1, next.tape0.move=L
1.1              1  if tape0.here=yes and next.tape0.write=1 then next.tape0.symbol=1
1.6              1  if tape0.here=yes and next.tape0.move=L then next.tape0.here=left

Greatest logits
token    logit
1L>B         1
<stuck>    0.5
<bos>        0
<edge>       0
<0           0
"""  # noqa: E501


def test_a_pass_of_a_loop_as_text():
    assert shown_by("bb3", "--construction", "looped", "--window", "4", "--step", "2") == LOOPED


def lines_of(*arguments):
    return shown_by(*arguments).splitlines()


def test_a_pass_of_a_row_as_text():
    lines = lines_of("bb3", "--construction", "queue", "--tape", "8", "--step", "2")
    for line in (
        "Step 2: the pass that emits B:1",
        "fed    0 at position 23 (step 2, cell at address -1)",
        "pass   14 of those that emit something",
        "row    8 cells, the first at address -4",
        "1.3   from.right   B:0 at position 16 (step 1, cell at address 1)                 "
        "from.right=>B",
    ):
        assert line in lines


def test_what_the_machine_calls_words_of_shared_weights():
    asked = ("--construction", "universal", "--step", "3", "--input", "1011")
    lines = lines_of("binary-increment", *asked)
    assert "states   A is right, B is carry, halt is done in the machine" in lines
    assert "symbols  0 is _, 1 is 0, 2 is 1 in the machine" in lines
    found = json_of("binary-increment", *asked)["renamed"]
    assert found["symbols"] == {"0": "_", "1": "0", "2": "1"}
    assert json_of("bb3", "--step", "1")["renamed"] == {}


def test_addresses_on_a_bounded_tape():
    lines = lines_of("bb3", "--construction", "addressed", "--tape", "16", "--step", "1")
    assert "addresses  count from the first cell (tape 0: -8)" in lines
    assert "fed        <start@8> at position 2 (prompt)" in lines


# --- refusals, and weights that are damaged ---------------------------------------------------


def test_steps_that_come_too_late(monkeypatch):
    monkeypatch.setattr(walk, "MAX_POSITIONS", 60)
    monkeypatch.setattr(passes, "MAX_PASSES", 10)
    start = started("bb3")
    with pytest.raises(
        InputError, match=r"130 tokens of context.* 60 at most: ask for a step up to 3"
    ):
        step(compiled("bb3", "queue", tape=12), start, 9)
    with pytest.raises(InputError, match=r"more than 60 tokens.*in step \d+: ask for an earlier"):
        step(small("bb3", "summarised"), start, 21)
    with pytest.raises(InputError, match="step 11 takes 11 passes"):
        step(small("bb3", "looped"), start, 11)
    for name in ("looped", "looped-neighbours"):
        assert step(small("bb3", name), start, 10).number == 10


def test_a_cut_without_a_summary():
    it = small("bb3", "summarised")
    tokens = tuple(replace(t, role="part") if t.role == "summary" else t for t in it.weights.tokens)
    damaged = replace(it, weights=replace(it.weights, tokens=tokens))
    with pytest.raises(ArtifactError, match="ends a summary"):
        step(damaged, started("bb3"), 20)


def test_a_run_without_steps(monkeypatch):
    monkeypatch.setattr(walk, "MAX_POSITIONS", 30)
    it = small("bb3", "trace")
    bias = it.weights.b_U.copy()
    bias[it.weights.ids()["<left>"]] = 100
    damaged = replace(it, weights=replace(it.weights, b_U=bias))
    with pytest.raises(InputError, match=r"more than 30 tokens.*in step 1: ask"):
        step(damaged, started("bb3"), 1)


def test_a_row_without_a_head():
    it = small("bb3", "queue")
    bias = it.weights.b_U.copy()
    for name, i in it.weights.ids().items():
        if name.partition(":")[0] in it.machine.states:
            bias[i] = -100
        elif name == "0":  # more than <stuck> where the cell's head is left out
            bias[i] += 0.75
    damaged = replace(it, weights=replace(it.weights, b_U=bias))
    views = [step(damaged, started("bb3"), number) for number in (1, 2)]
    assert [(view.emits, view.number) for view in views] == [("#", 13), ("#", 26)]


def test_a_loop_that_loses_its_head():
    it = small("bb3", "looped")
    loop = it.weights.W_loop.dense()
    loop[:, it.weights.directions.index("tape0.here=yes")] = 0
    damaged = replace(it, weights=replace(it.weights, W_loop=Matrix.from_dense(loop)))
    view = step(damaged, started("bb3"), 1)
    assert view.emits == "1R>B"
    with pytest.raises(NotFoundError, match=r"step 2 .* before that pass 0 cells"):
        step(damaged, started("bb3"), 2)


def test_a_softmax_heads_share():
    it = small("bb3", "looped")
    sharp = it.weights.layers[0].heads[0].b_Q * 4000
    soft = with_head(it.weights, 0, kind="softmax", b_Q=sharp)
    view = step(replace(it, weights=soft), started("bb3"), 3)
    head = view.heads[0]
    assert (head.kind, head.share, head.attended) == ("softmax", 1, view.fed)
    blunt = with_head(it.weights, 0, kind="softmax", b_Q=0 * sharp)
    view = step(replace(it, weights=blunt), started("bb3"), 1)
    assert view.heads[0].share == pytest.approx(1 / 6)
    assert "a share of 0.1666" in sections.step(view)[2].rows[0][2]
