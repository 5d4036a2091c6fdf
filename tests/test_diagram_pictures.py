"""Space-time diagrams as they are seen: the command, text, half blocks, PNG and SVG."""

import json
from itertools import takewhile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from rich.text import Text

from tests.diagrams import diagram, history_of, needs_matplotlib, pixels_of, shown
from tests.inspecting import bundled
from tm2tf.cli import diagram_command, group
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Transition
from tm2tf.pictures import palette
from tm2tf.pictures.spacetime import drawing, halfblocks, layout

BLUE, WHITE, BLACK = palette.OKABE_ITO[0], palette.BLANK, (0, 0, 0)


# --- text -----------------------------------------------------------------------------------------

BB2 = """\
bb2 on a blank tape
halted after 6 steps in state Z; run by trace/hard weights
[ ] the head

            |0
0 A   0  0 [0] 0
1 B   0  0  1 [0]
2 A   0  0 [1] 1
3 B   0 [0] 1  1
4 A  [0] 1  1  1
5 B   1 [1] 1  1
6 Z   1  1 [1] 1
"""


BB4 = """\
  0 A  0000000<000>00
  9 A  00000001<01>00
 18 D  000000<11110>0
 27 D  0000001<01>110
 36 D  00000011<101>0
 45 C  000000111<010>
 54 C  0000<011>01111
 63 D  000<101>101111
 72 C  00011<10>01111
 81 B  000<11101>1111
 90 A  0<01>011111111
 99 D  <1110>11111111
"""


def test_cells_without_room_for_brackets():
    assert BB4 in shown("bb4", "--rows", "12", "--width", "36")


def test_a_short_run_as_text():
    assert shown("bb2") == BB2


def test_a_narrow_and_binned_run_as_text():
    text = shown("bb4", "--rows", "8", "--width", "20")
    lines = text.splitlines()
    rows = lines[lines.index("") + 2 :][:8]
    assert [line.split()[0] for line in rows] == [str(14 * i) for i in range(8)]
    assert "1 row = 14 steps: the cells as they are before the first of" in " ".join(lines)
    assert "1 column = 2 cells" in " ".join(lines)


def test_binned_rows_whose_cells_fit_have_their_symbols():
    text = shown("bb4", "--rows", "12", "--simulate")
    assert "\n 27 D   0  0  0  0  0  0  1 [1] 0  1  1  1  1  0\n" in text
    assert text.endswith("1 row = 9 steps: cells and head as they are before the first.\n")
    assert "run by the machine's rules" in text


def test_several_tapes_as_text():
    lines = shown("palindrome-2tape", "--input", "0110").splitlines()
    assert lines[4].split() == ["tape", "0", "tape", "1"]
    assert lines[6] == " 0 copy      _ [0] 1  1  0  _    _ [_] _  _  _  _"
    assert lines[-1] == "15 yes       _  0  1  1  0 [_]  [_] 0  1  1  0  _"


def test_a_character_says_how_many_cells_are_not_blank():
    right = Transition("A", ("1",), ("R",))
    machine = Machine("right", ("0", "1"), "0", ("A",), "A", {("A", ("0",)): right})
    history, words = history_of(machine, rows=5, cells=5, limit=79)
    assert (history.stride, history.bin, history.reach) == (16, 16, ((0, 4),))
    lines = [line.plain for line in halfblocks.dense(history, words, 80)]
    assert lines[2] == "< > how far the head went; ^ in one column"
    #                      after 0, 16, ... 64 steps so many bins are full
    rows = [line.rstrip() for line in lines[5:10]]
    assert rows == [" 0 A  ^", "16 A  @^", "32 A  @@^", "48 A  @@@^", "64 A  @@@@^"]


def test_long_symbols_and_states():
    table = {("a-very-long-name-of-a-state", ("bl",)): Transition("b", ("語語",), ("L",))}
    states = ("a-very-long-name-of-a-state", "b")
    machine = Machine("odd [x]", ("bl", "語語"), "bl", states, states[0], table)
    history, words = history_of(machine)
    lines = [line.plain for line in halfblocks.lettered(history, words, 80)]
    assert lines[5] == "0 a-very-long-..    bl  [ bl ]"
    assert lines[6] == f"1 b{15 * ' '}[ bl ] 語語 "
    assert not halfblocks.fits_lettered(history, 20)
    dense = [line.plain for line in halfblocks.dense(history, words, 40)]
    assert dense[dense.index("") + 2] == "1 b               ^@"
    assert dense[-1] == "@ is a cell that is not blank."


@pytest.mark.parametrize("width", [20, 33, 80, 200])
@pytest.mark.parametrize("name", ["bb4", "palindrome-2tape", "turing-growing-runs"])
def test_rows_keep_to_the_width(name, width):
    words = ["--input", "01" * 300] if name == "palindrome-2tape" else []
    for env in ({}, {"FORCE_COLOR": "1", "COLUMNS": "300", "COLORTERM": "truecolor"}):
        text = shown(name, *words, "--steps", 2000, "--width", width, "--simulate", env=env)
        lines = [Text.from_ansi(line).plain for line in text.splitlines()]
        rows = [
            *takewhile(bool, lines[lines.index("") + 1 :])
        ]  # an empty line is between them and the caption
        assert len(rows) >= 10
        assert max(map(len, rows)) <= max(width, 28)


# --- colours --------------------------------------------------------------------------------------


def blocks_of(line):
    """Return the upper and the lower colours of a line of half blocks."""
    found = []
    for at, character in enumerate(line.plain):
        if character == "▀":
            (style,) = [span.style for span in line.spans if span.start <= at < span.end]
            top, _, bottom = style.partition(" on ")
            found.append((top, bottom))
    return zip(*found, strict=True)


def test_half_blocks_are_the_simulators_cells():
    history, words = history_of("bb4")
    lines = halfblocks.blocks(history, words, 80)[5:59]
    simulation = Simulation(bundled("bb4"), bundled("bb4").initial())
    colours = {"0": "#ffffff", "1": "#0072b2"}
    for line in lines:
        for half in blocks_of(line):
            assert len(half) == 14 * 4  # cells -10 to 3, four characters each
            for address in range(-10, 4):
                four = half[4 * (address + 10) : 4 * (address + 11)]
                want = colours[simulation.cells[0].get(address, "0")]
                here = "#000000" if address == simulation.heads[0] else want
                assert four == (want, here, here, want)
            simulation.step()
    assert simulation.steps == 107


def test_a_terminal_has_colours_and_a_pipe_or_no_color_has_not():
    terminal = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": "80", "LINES": "24"}
    coloured = shown("bb4", env=terminal)
    assert "▀" in coloured
    assert "\x1b[38;2;0;114;178" in coloured
    few = shown("bb2", env=terminal)
    assert "▀" not in few
    assert ";48;2;0;114;178m[1]" in few
    without = shown("bb4", env=terminal | {"NO_COLOR": "1"})
    assert "▀" not in without
    assert "48;2;" not in without
    assert "\x1b" not in shown("bb4")


# --- pictures -------------------------------------------------------------------------------------


def plan_of(name, *inputs, size=diagram_command.SIZE, limit=None):
    room = layout.room(bundled(name), *size)
    history, words = history_of(name, inputs, *room, limit=limit)
    return history, layout.laid_out(history, words, *size)


@needs_matplotlib
def test_a_picture_has_the_cells_at_their_place(tmp_path):
    path = tmp_path / "run.png"
    assert diagram("bb2", "--simulate", "-o", path).stdout == f"wrote {path}\n"
    _, plan = plan_of("bb2")
    found = pixels_of(path)
    assert found.shape[:2] == (plan.height, plan.width)
    simulation = Simulation(bundled("bb2"), bundled("bb2").initial())
    wide, high = plan.cell_widths[0], plan.cell_height
    assert min(wide, high) >= layout.OUTLINED
    for row in range(7):
        for address in range(-2, 2):
            x, y = plan.lefts[0] + (address + 2) * wide, plan.top + row * high
            want = BLUE if simulation.cells[0].get(address) == "1" else WHITE
            assert tuple(found[y + 6, x + 6]) == want
            outline = tuple(found[y + high // 2, x + 1])
            assert (outline == BLACK) == (address == simulation.heads[0])
        simulation.step()


@needs_matplotlib
@pytest.mark.parametrize(
    ("name", "inputs", "limit"),
    [("counter", (), 900), ("counter", (), 6_000), ("palindrome-2tape", ("01" * 700,), None)],
)
def test_a_picture_of_many_rows_has_one_pixel_a_row(tmp_path, name, inputs, limit):
    path = tmp_path / "run.png"
    words = [word for text in inputs for word in ("--input", text)]
    steps = [] if limit is None else ["--steps", limit]
    assert diagram(name, *words, *steps, "--simulate", "-o", path).exit_code == 0
    history, plan = plan_of(name, *inputs, limit=limit)
    found = pixels_of(path)
    for tape in range(history.machine.tapes):
        left, wide = plan.lefts[tape], plan.cell_widths[tape]
        cells = np.repeat(drawing.image(history, tape), wide, axis=1)
        cells = np.repeat(cells, plan.cell_height, axis=0)
        rows, columns = cells.shape[:2]
        part = found[plan.top : plan.top + rows, left : left + columns]
        inside = (slice(2, -2), slice(2, -2))  # without the frame
        same = (part == cells).all(axis=2)[inside]
        black = (part == 0).all(axis=2)[inside]
        assert (same | black).all()
        for number, row in list(enumerate(history.rows))[2:-2]:
            ends = (row.lows[tape], row.highs[tape])
            marks = {history.column(end) - history.reach[tape][0] for end in ends}
            seen = np.flatnonzero((part[number * plan.cell_height] == 0).all(axis=1)[2:-2]) + 2
            assert {int(x) // wide for x in seen} <= marks


@needs_matplotlib
def test_sizes_are_kept_to(tmp_path):
    for name, size in (("bb4", "400x400"), ("counter", "400x700"), ("gcd", "700x500")):
        path = tmp_path / f"{name}.png"
        words = ["--input", "110", "--input", "10"] if name == "gcd" else []
        asked = [name, *words, "--steps", 500, "-o", path, "--size", size, "--json", "--simulate"]
        picture = json.loads(shown(*asked))["picture"]
        assert pixels_of(path).shape[:2] == (picture["height"], picture["width"])
        assert picture["width"] <= int(size.split("x")[0])
        assert picture["height"] <= int(size.split("x")[1])


@needs_matplotlib
def test_an_svg_has_its_text_as_text_and_is_the_same_each_time(tmp_path):
    paths = [tmp_path / name for name in ("a.svg", "b.SVG")]
    for path in paths:
        assert diagram("palindrome-2tape", "--input", "0110", "-o", path).exit_code == 0
    root = ET.parse(paths[0]).getroot()
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    ended = "accepted after 15 steps in state yes; run by trace/hard weights"
    assert {"palindrome-2tape on 0110", ended, "tape 0", "tape 1", "heads"} <= texts
    assert {"address", "step, state", "15  yes"} <= {t.replace("\xa0", " ") for t in texts if t}
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 2
    assert paths[0].read_bytes() == paths[1].read_bytes()


@needs_matplotlib
def test_a_users_settings_of_matplotlib_change_no_picture(tmp_path):
    import matplotlib as mpl

    ours = {"savefig.facecolor": "black", "font.family": "serif", "ytick.color": "red",
            "savefig.bbox": "tight", "text.color": "red"}  # fmt: skip
    shown("bb2", "-o", tmp_path / "a.png", "--json")
    heat = ["plot", "weights", "bb2", "--tensor", "W_pos", "-o"]
    assert CliRunner().invoke(group, [*heat, str(tmp_path / "a.svg")]).exit_code == 0
    with mpl.rc_context(ours):
        shown("bb2", "-o", tmp_path / "b.png", "--json")
        assert CliRunner().invoke(group, [*heat, str(tmp_path / "b.svg")]).exit_code == 0
    for suffix in ("png", "svg"):
        one, other = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert one.read_bytes() == other.read_bytes()


@needs_matplotlib
def test_letters_that_the_font_lacks_are_escapes(tmp_path):
    # warnings are errors here: matplotlib warns of every such letter that it measures or draws
    path = tmp_path / "odd.yaml"
    path.write_text(
        'name: "odd 🎉"\nblank: "語"\nstart: "字"\nhalt: done\nrules:\n'
        '  "字":\n    "語": "é R done"\n',
        encoding="utf-8",
    )
    shown(path, "-o", tmp_path / "odd.png", "--json")
    shown(path, "-o", tmp_path / "odd.svg", "--json")
    text = (tmp_path / "odd.svg").read_text(encoding="utf-8")
    for said in ("odd \\U0001f389 on a blank tape", "\\u8a9e (blank)", "\\u5b57", ">é<"):
        assert said in text


@needs_matplotlib
def test_odd_names_are_drawn(tmp_path):
    table = {("$a$", ("語",)): Transition("a&<b>", ("$x_y$",), ("L",))}
    machine = Machine("odd $x$", ("語", "$x_y$"), "語", ("$a$", "a&<b>"), "$a$", table)
    history, words = history_of(machine)
    for name in ("odd.png", "odd.svg"):
        drawing.save(drawing.draw(history, words, 600, 600), tmp_path / name)
    assert "a&amp;&lt;b&gt;" in (tmp_path / "odd.svg").read_text(encoding="utf-8")
