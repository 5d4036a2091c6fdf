"""Recordings: the views of single steps, in any order, and their rows of attention."""

from dataclasses import replace

import pytest

from tests.inspecting import SMALL, bundled, compiled
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.inspect import passes, walk
from tm2tf.inspect.recording import Recording
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import trace
from tm2tf.machine.spec import Tape
from tm2tf.weights.model import Bounds

TAPES = {"bb3": (), "binary-increment": (Tape(tuple("1011"), -2, -1),)}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("machine", TAPES)
def test_a_recording_has_the_views_of_single_steps_in_any_order(machine, name):
    it = compiled(machine, name, **SMALL[name])
    start = it.machine.initial(TAPES[machine])
    steps = len(list(trace(it.machine, start)))
    recording = Recording(it, start)
    first = {n: recording.view(n) for n in range(1, steps + 1)}
    for number in [*range(steps, 0, -1), steps, 1, steps // 2, steps]:
        assert recording.view(number) == first[number]
    for number in (1, steps // 3, steps):
        assert step(it, start, number) == first[number]
    with pytest.raises(NotFoundError, match=f"the run has {steps} steps"):
        recording.view(steps + 1)
    assert recording.view(2) == first[2]  # a refusal leaves the rest as it was
    with pytest.raises(NotFoundError, match="steps count from 1"):
        recording.view(0)


@pytest.mark.parametrize("name", SMALL)
def test_rows_of_attention_have_a_share_a_position(name):
    it = compiled("bb3", name, **SMALL[name])
    recording = Recording(it, it.machine.initial())
    for number in (1, 7, 4):
        view, found = recording.seen(number)
        assert len(found.rows) == len(view.heads)
        assert [place.position for place in found.places] == list(range(1, view.positions + 1))
        for head, row in zip(view.heads, found.rows, strict=True):
            assert row.shape == (view.positions,)
            assert row.sum() == pytest.approx(1)
            if head.kind in ("latest", "relative"):
                assert row[head.attended.position - 1] == 1
            if head.kind == "uniform":
                assert set(row) == {1 / view.positions}
            if head.kind == "mean":
                assert (row > 0).sum() == head.count


def test_a_recording_is_read_in_parts():
    it = compiled("bb3")
    recording = Recording(it, it.machine.initial())
    assert recording.reach(1, most=0)  # the prompt is read in any case
    assert not recording.reach(9, most=3)
    assert recording.known == 4
    assert recording.reach(9)
    assert recording.known == 9
    looped = Recording(compiled("bb3", "looped", window=4), it.machine.initial())
    assert not looped.reach(9, most=3)
    assert (looped.known, looped.reach(9)) == (3, True)


def test_going_back_in_a_looped_recording_needs_little_room(monkeypatch):
    it = compiled("bb4", "looped", window=2)
    start = it.machine.initial()
    fresh = {n: step(it, start, n) for n in (1, 40, 107)}
    monkeypatch.setattr(passes, "ROOM", 1)  # room for two streams
    recording = Recording(it, start)
    for number in (107, 40, 1, 107, 40):
        assert recording.view(number) == fresh[number]


def test_what_a_recording_refuses_it_refuses_again(monkeypatch):
    it = compiled("bb2")
    start = it.machine.initial()
    near = replace(it, weights=replace(it.weights, bounds=Bounds(position=2**51, key=1)))
    recording = Recording(near, start)
    for _ in range(2):
        with pytest.raises(BoundError, match="further than 1"):
            recording.view(6)
        assert recording.view(3).fed.position == 4
    monkeypatch.setattr(walk, "MAX_POSITIONS", 5)
    recording = Recording(compiled("bb3", "summarised", period=2), bundled("bb3").initial())
    for _ in range(2):
        with pytest.raises(InputError, match="more than 5 tokens"):
            recording.view(8)
        assert recording.view(1).step == 1
