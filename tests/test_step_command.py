"""`tm2tf step`: the screen, driven by keys as a user would, and what is said without one."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from tests.inspecting import compiled
from tm2tf.cli import group
from tm2tf.inspect.forms import to_json
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape
from tm2tf.player import play
from tm2tf.player.breakpoints import Breakpoint
from tm2tf.player.playback import Playback

pytest.importorskip("textual", reason="the screen needs the extra player")

from textual.widgets import Input, Static

from tm2tf.player.help import KEYS, Help

PATIENCE = 10.0
"""Seconds until a screen that has not settled is given up."""


class Screen:
    """The player without a terminal, and what stands on it."""

    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    async def hit(self, *keys):
        for key in keys:  # pilot.press waits for an idle CPU after each, up to seconds
            self.app.simulate_key(key)
            await self.pilot.pause(0.01)
            await self.pilot.pause(0)

    async def press(self, *keys):
        await self.hit(*keys)
        await self.settle()

    async def write(self, key, text):
        await self.hit(key)
        self.app.query_one(Input).value = text
        await self.press("enter")

    async def settle(self):
        for _ in range(int(PATIENCE / 0.02)):
            await asyncio.sleep(0.02)
            if self.app.settled:
                return
        raise AssertionError("it does not settle")

    def text(self, name):
        return str(self.app.screen_stack[0].query_one(name, Static).content)

    @property
    def at(self):
        return self.app.playback.at


def shown(playback, what, size=(80, 24), **options):
    """Open the player and do `what` with its screen."""

    async def go():
        app = play.player(playback, **options)
        async with app.run_test(size=size) as pilot:
            screen = Screen(app, pilot)
            await screen.settle()
            await what(screen)

    asyncio.run(go())


def opened(name, *tapes, construction="trace", **options):
    it = compiled(name, construction, **options)
    return Playback(it, it.machine.initial(tapes))


# --- the screen -----------------------------------------------------------------------------------


def test_the_beginning_of_bb4():
    async def look(screen):
        title = screen.text("#title")
        assert title.startswith(" bb4 · trace · (blank)")
        assert title.endswith("step 0 of 107 ")
        assert len(title) == 80
        assert screen.text("#now") == "step 1 in state A reads 0: writes 1, moves right, enters B"
        assert "[0]" in screen.text("#tapes")
        assert "▲ state A, at 0" in screen.text("#tapes")
        behind = screen.text("#behind")
        assert behind.startswith("Pass of step 1 ")
        for said in (
            "emits  1R>B, by a margin of 0.5",
            "2.0 tape0.read  <bos> at position 1 (prompt)",
            "looks for tape0.address there = tape0.head here",
            "2.0 1  if state=A and tape0.read=0 then next.state=B",
        ):
            assert said in behind
        assert "▸ A      0     1      R     B" in screen.text("#aside")
        assert screen.text("#aside").splitlines()[-5].split()[0] == "1R>B"
        assert len(screen.text("#keys")) <= 80

    shown(opened("bb4"), look)


def test_keys_step_and_jump():
    async def look(screen):
        await screen.press("right", "l", "right")
        assert (screen.at, screen.text("#title").split()[-3:]) == (3, ["3", "of", "107"])
        await screen.press("left")
        assert screen.at == 2
        assert screen.text("#behind").startswith("Pass of step 3 ")
        await screen.press("h", "h", "h", "h")
        assert screen.at == 0
        await screen.write("g", "53")
        assert screen.text("#now").startswith("step 54 in state B reads 1")
        await screen.press("end")
        assert screen.at == 107
        assert screen.text("#now") == "the end halted in state Z after 107 steps"
        assert screen.text("#behind").startswith("Pass of step 107, the last ")
        assert "▸ state Z ends the run" in screen.text("#aside")
        await screen.press("right")
        assert screen.at == 107
        await screen.write("g", "1000")
        assert screen.text("#message") == "no step 1,000: the run has 107 steps"
        await screen.press("home")
        assert (screen.at, screen.text("#message")) == (0, "")
        await screen.write("g", "far")
        assert "'far' is no number of a step" in screen.text("#message")

    shown(opened("bb4"), look)


def test_breakpoints_by_keys():
    async def look(screen):
        await screen.press("n")
        assert "there are no breakpoints" in screen.text("#message")
        await screen.write("b", "state D")
        assert "◆ state D" in screen.text("#status")
        machine, start = screen.app.playback.machine, screen.app.playback.start
        simulation, hits = Simulation(machine, start), []
        while simulation.step():
            hits += [simulation.steps] if simulation.state == "D" else []
        for hit in hits[:3]:
            await screen.press("n")
            assert (screen.at, screen.text("#message")) == (hit, "breakpoint state D")
        await screen.press("N")
        assert screen.at == hits[1]
        await screen.write("b", "state E")
        assert "machine 'bb4' has no state 'E'" in screen.text("#message")
        await screen.write("b", "state D")
        assert "state D" not in screen.text("#status")
        await screen.write("b", "step 100")
        await screen.press("n")
        assert screen.at == 100
        await screen.write("b", "clear")
        assert screen.app.playback.breakpoints == []
        await screen.hit("b")
        assert screen.app.query_one(Input).display
        await screen.press("escape")
        assert not screen.app.query_one(Input).display

    shown(opened("bb4"), look)


def test_playing_stops_at_breakpoints_and_at_the_end():
    async def look(screen):
        screen.app.playback.breakpoints.append(Breakpoint("step", step=40))
        await screen.hit("plus", "plus", "plus", "equals_sign", "plus")
        assert "❚❚ 1,000 steps/s" in screen.text("#status")
        await screen.hit("minus")
        await screen.press("space")
        assert (screen.at, screen.text("#message")) == (40, "breakpoint step 40")
        await screen.press("space")
        assert (screen.at, screen.app.playing) == (107, False)
        await screen.press("space")  # there is nothing left to play
        assert screen.at == 107
        await screen.press("minus")
        assert "❚❚ 50 steps/s" in screen.text("#status")

    shown(opened("bb4"), look)


def test_playing_pauses():
    async def look(screen):
        await screen.hit("space")
        await screen.pilot.pause(0.3)
        assert screen.app.playing
        assert "▶" in screen.text("#status")
        await screen.press("space")
        assert 0 < screen.at < 107
        assert screen.text("#behind").startswith(f"Pass of step {screen.at + 1} ")

    shown(opened("bb4"), look, speed=10)


def test_long_work_can_be_stopped(monkeypatch):
    playback = opened("counter")

    async def look(screen):
        await screen.hit("end")
        await screen.pilot.pause(0.1)
        assert "reading the run:" in screen.text("#message")
        await screen.press("escape")
        assert (screen.at, screen.text("#message")) == (0, "")
        assert "or more" in screen.text("#title")
        await screen.write("g", "30,000")
        assert screen.at == 30_000
        assert "ask for a step up to 19,9" in screen.text("#behind").replace("\n", " ")
        assert "▸" in screen.text("#aside")

    shown(playback, look)


def test_help_lists_the_keys():
    async def look(screen):
        await screen.hit("question_mark")
        await screen.pilot.pause()
        assert isinstance(screen.app.screen, Help)
        text = str(screen.app.screen.query_one(Static).content)
        assert all(keys in text for keys, _ in KEYS)
        await screen.press("escape")
        assert not isinstance(screen.app.screen, Help)
        await screen.press("right")
        assert screen.at == 1

    shown(opened("bb4"), look)


def test_quitting():
    async def look(screen):
        await screen.hit("q")
        await screen.pilot.pause()
        assert screen.app.return_code == 0

    shown(opened("bb2"), look)


MACHINES = [
    pytest.param("bb4", (), "trace", {}, marks=pytest.mark.slow),
    pytest.param("palindrome-2tape", (Tape(tuple("0110")),), "trace", {}, marks=pytest.mark.slow),
    ("binary-addition-3tape", (Tape(tuple("11")), Tape(tuple("1"))), "trace", {}),
    pytest.param(
        "binary-addition", (Tape(tuple("1011+110")),), "trace", {}, marks=pytest.mark.slow
    ),
    ("universal", (), "trace", {}),
    ("bb4", (), "looped", {}),
    pytest.param("bb4", (), "summarised", {}, marks=pytest.mark.slow),
    ("bb3", (), "queue", {"tape": 12}),
]


@pytest.mark.parametrize(("name", "tapes", "construction", "options"), MACHINES)
def test_nothing_is_cut_off(name, tapes, construction, options):
    async def look(screen):
        for size in ((80, 24), (60, 20), (120, 40)):
            await screen.pilot.resize_terminal(*size)
            await screen.press("right")
            fits(screen, size[0])
        await screen.press("end")
        assert screen.text("#now").startswith("the end ")

    def fits(screen, width):
        for part in ("#title", "#tapes", "#now", "#status", "#keys"):
            lines = screen.text(part).splitlines()
            limit = width if part != "#keys" or width >= 80 else 100
            assert max(map(len, lines)) <= limit, part
        stage = screen.app.screen.query_one("#details")
        assert stage.size.height >= 5
        for part in ("#behind", "#aside"):
            widget = screen.app.screen.query_one(part)
            lines = screen.text(part).splitlines()
            assert max(map(len, lines)) <= widget.size.width, part

    shown(opened(name, *tapes, construction=construction, **options), look, at=3)


def test_a_run_of_no_steps():
    async def look(screen):
        assert screen.text("#title").endswith("step 0 of 0 ")
        assert (
            screen.text("#now") == "the end rejected after 0 steps: no rule for state A reading 0"
        )
        assert "<stuck>" in screen.text("#behind")
        await screen.press("right", "left", "end", "home")
        assert screen.at == 0

    from tests.test_player import stuck

    shown(stuck(), look)


# --- the command ----------------------------------------------------------------------------------


def called(*arguments):
    return CliRunner().invoke(group, ["step", *arguments])


def test_without_a_terminal_it_says_what_to_do():
    result = called("bb4", "--at", "5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs a terminal" in result.stderr
    assert "`tm2tf inspect bb4 --step 6`" in result.stderr


def test_json_of_a_step():
    result = called("binary-increment", "--input", "1011", "--at", "5", "--break", "state carry",
                    "--json")  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    it = compiled("binary-increment")
    start = it.machine.initial([Tape(tuple("1011"))])
    simulation = Simulation(it.machine, start)
    for _ in range(5):
        simulation.step()
    assert (found["step"], found["state"]) == (5, simulation.state)
    tape = simulation.configuration().tapes[0]
    assert found["tapes"] == [
        {"contents": "".join(tape.contents), "origin": tape.origin, "head": tape.head}
    ]
    assert (found["breakpoints"], found["met"]) == (["state carry"], ["state carry"])
    assert found["pass"] == json.loads(json.dumps(to_json(step(it, start, 6))))
    taken = simulation.step()
    assert found["reads"] == list(taken.reads)
    assert found["next"]["writes"] == list(taken.transition.writes)
    assert found["next"]["next_state"] == taken.transition.state
    assert (found["outcome"], found["no_pass"]) == (None, None)


def test_json_of_the_end():
    found = json.loads(called("bb4", "--at", "107", "--json").stdout)
    assert (found["outcome"], found["next"], found["pass"]) == ("halted", None, None)
    assert "the run has 107 steps" in found["no_pass"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bb4", "--at", "108", "--json"], "no step 108: the run has 107 steps"),
        (["bb4", "--break", "state X", "--json"], "no state 'X'"),
        (["bb4", "--input", "2", "--json"], "symbol '2' on tape 0"),
        (["bb4", "--at", "-1", "--json"], "-1 is not in the range"),
        (["bb4", "--speed", "0", "--json"], "0.0 is not in the range"),
        (["nothing", "--json"], "nothing"),
    ],
)
def test_what_is_refused(arguments, said):
    result = called(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_textual_is_an_extra(monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "textual":
            raise ModuleNotFoundError("No module named 'textual'", name="textual")
        return real(name, *rest)

    for name in [n for n in sys.modules if n.startswith(("textual", "tm2tf.player.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("tm2tf.player.app", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    from tm2tf.errors import ExtraError

    with pytest.raises(ExtraError, match=r"tm2tf\[player\]"):
        play.player(opened("bb2"))
