"""`tm2tf view`: one file without any network, or a folder of them; what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.inspecting import bundled, compiled
from tm2tf.cli import group
from tm2tf.compiler import compile_machine
from tm2tf.machine import library
from tm2tf.page import build
from tm2tf.page.library import Listed, site
from tm2tf.page.payload import Start
from tm2tf.page.thumbnail import thumbnail


def view(*arguments):
    return CliRunner().invoke(group, ["view", *map(str, arguments)])


def given(page):
    """Return the data in a page."""
    text = re.search(
        r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(text[1])


def test_a_page(tmp_path):
    path = tmp_path / "bb4.html"
    done = view("bb4", "-o", path, "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    page = path.read_text(encoding="utf-8")
    assert facts == {
        "machine": "bb4",
        "construction": "trace",
        "path": str(path),
        "opens": str(path),
        "bytes": len(page.encode()),
    }
    assert view("bb4", "-o", path).stdout == f"wrote {path}  {len(page.encode()):,} bytes\n"
    machine = bundled("bb4")
    assert given(page)["machine"]["states"] == list(machine.states)
    for number in range(len(machine.states)):
        assert f'id="g-state-{number}"' in page


def test_nothing_is_fetched(tmp_path):
    """No address but the names that XML gives itself; a policy that forbids to fetch."""
    page = build.build(compiled("bb4"))
    outside = re.sub(r"<script type=.*?</script>", "", page, flags=re.DOTALL)
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", outside))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page):
        assert "src=" not in tag
        assert "href=" not in tag or 'href="data:,"' in tag


def test_an_input_opens_the_page(tmp_path):
    path = tmp_path / "page.html"
    assert view("palindrome-2tape", "--input", "0110", "-o", path).exit_code == 0
    found = given(path.read_text(encoding="utf-8"))
    assert [start["label"] for start in found["starts"]] == ["0110 | (blank)"]
    assert found["starts"][0]["tapes"][0]["contents"] == list("0110")


def test_an_artifact_is_shown_as_it_is(tmp_path):
    folder, path = tmp_path / "model", tmp_path / "page.html"
    made = CliRunner().invoke(
        group, ["compile", "bb3", "--construction", "queue", "--tape", "12", "-o", str(folder)]
    )
    assert made.exit_code == 0
    assert view(folder, "-o", path).exit_code == 0
    assert given(path.read_text(encoding="utf-8"))["model"]["construction"] == "queue"


def renamed(machine, words):
    """Return a machine of one tape whose symbols and states are called otherwise, in order."""
    symbols = dict(zip(machine.symbols, words, strict=False))
    states = dict(zip(machine.states, words, strict=False))
    rules = {
        (states[state], (symbols[reads[0]],)): replace(
            to, state=states[to.state], writes=(symbols[to.writes[0]],)
        )
        for (state, reads), to in machine.transitions.items()
    }
    return replace(
        machine,
        name="<img>",
        description="a < b & c",
        symbols=tuple(symbols.values()),
        blank=symbols[machine.blank],
        states=tuple(states.values()),
        start=states[machine.start],
        halt=tuple(states[state] for state in machine.halt),
        transitions=rules,
        examples=(),
    )


def test_names_are_not_read_as_markup():
    """A machine's words are its own: none ends a script, opens an element, or is one."""
    words = ("</script><b>", "<!--", '&amp;"', "'")
    machine = renamed(bundled("bb2"), words)
    page = build.build(compile_machine(machine))
    assert given(page)["machine"]["symbols"] == list(words[:2])
    assert page.count("</script>") == 1 + len(build.SCRIPTS)
    assert "<h1>&lt;img&gt;</h1>" in page
    assert "a &lt; b &amp; c" in page
    assert "<b>" not in page.replace("<b></b>", "").partition("<script")[0]


def test_a_library_links_all_its_pages(tmp_path):
    names = ("bb2", "binary-increment", "palindrome-2tape")
    done = []
    files = dict(site([Listed("some-topic", bundled(name)) for name in names], done.append))
    assert [str(path) for path in files] == [*(f"{name}.html" for name in names), "index.html"]
    assert done == [1, 2, 3]
    index = files[list(files)[-1]]
    assert re.findall(r'href="(\S+?\.html)"', index) == [f"{name}.html" for name in names]
    assert all('<a class="up" href="index.html">' in page for page in list(files.values())[:-1])
    assert "<h2>some topic</h2>" in index


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_bundled_library(tmp_path):
    folder = tmp_path / "site"
    done = view("--library", "-o", folder, "--json")
    assert done.exit_code == 0, done.output
    names = [entry.name for entry in library.entries()]
    assert json.loads(done.stdout)["pages"] == len(names) + 1
    assert {path.name for path in folder.iterdir()} == {f"{n}.html" for n in names} | {"index.html"}


def test_a_thumbnail_shows_the_longest_run():
    """bb2 takes 6 steps, and fills cells -2 to 1: 7 rows, of which 6 are not blank."""
    rows = re.findall(r'<rect x="(\S+)" y="(\S+)"', thumbnail(bundled("bb2")))
    assert len({y for _, y in rows}) == 6


def test_a_thumbnail_shows_all_tapes():
    """Of two tapes each has 57 of the 120 pixels; the second one fills up as the first is read."""
    machine = bundled("palindrome-2tape")
    bars = re.findall(r'<rect x="(\S+)" y="(\S+)" width="(\S+)"', thumbnail(machine))
    numbers = [tuple(map(float, bar)) for bar in bars]
    second = {y for x, y, _ in numbers if x >= 63}
    assert {y for x, y, _ in numbers if x < 63} > second > set()
    assert all(x + width <= (57.2 if x < 63 else 120.2) for x, _, width in numbers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "x.html"], "which machine?"),
        (["bb4"], "Missing option '--output'"),
        (["bb4", "--library", "-o", "x"], "leave MACHINE out"),
        (["--library", "--input", "1", "-o", "x"], "leave --input out"),
        (["--library", "--construction", "queue", "-o", "x"], "leave --construction queue out"),
        (["bb4", "-o", "no/such/folder/x.html"], "cannot write no/such/folder/x.html: No such"),
        (["bb44", "-o", "x.html"], "did you mean 'bb4'?"),
        (["bb4", "--input", "2", "-o", "x.html"], "2"),
    ],
)
def test_errors(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = view(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_start_of_ones_own():
    model = compiled("binary-increment")
    start = Start("mine", model.machine.initial(["11"]))
    assert [it["label"] for it in given(build.build(model, [start]))["starts"]] == ["mine"]


@pytest.mark.parametrize("arguments", [["bb2", "-o", "page.html"], ["--library", "-o", "site"]])
def test_it_opens_in_a_browser_if_asked(arguments, tmp_path, monkeypatch):
    opened, entry = [], library.find("bb2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("tm2tf.machine.library.entries", lambda: [entry])
    assert view(*arguments).exit_code == 0
    assert opened == []
    assert view(*arguments, "--open").exit_code == 0
    (address,) = opened
    assert address.startswith("file:///")
    assert Path(address.removeprefix("file://")).read_text(encoding="utf-8").startswith("<!doctype")
