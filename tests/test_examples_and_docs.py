"""What README, docs and examples show is what happens: every command runs, every output is real.

In a ```console or ```sh block, `$ tm2tf ...` is run, and the lines below it are compared with what
it prints. `...` stands for anything: within a line, or as a line of its own for any lines. Output
that begins with `error:` goes with exit code 2, all other with 0; a command without output shown
need only succeed. `$ cat FILE` is not run: it makes FILE of the lines below it. Commands run in a
fresh folder that holds such files, the whole machines of the document's ```yaml blocks as
NAME.yaml, what earlier commands of the document wrote, and links to the project's folders.

A ```python block is run on its own, beside what the commands before it wrote; ```python continued
goes on from the block before it. Each line with `print(` says in its comment what it prints, `...`
for anything. What needs a package that is not installed is skipped.

docs/examples.md shows the output of every example, which is run once and compared with it.
"""

import json
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import tm2tf
from tm2tf import cli
from tm2tf.formats import native, native_examples

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [path for path in (README, *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
FORMAT = ROOT / "docs" / "machine-format.md"
SHOWN = ROOT / "docs" / "examples.md"  # has the output of every example
SLOW = ("bb5", "1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA", "--controls 2", "learn report", "--states 3")
LINKED = ("machines", "examples", "docs", "tests")

NEEDED = {  # the packages that an example needs, and the extra that has them
    "08-a-checkpoint-for-transformers": (("tokenizers", "transformers"), "export"),
    "09-a-checkpoint-for-llama-cpp": (("gguf", "llama_cpp"), "gguf,llama-cpp"),
    "10-a-checkpoint-for-onnx": (("tokenizers", "onnx", "onnxruntime"), "onnx"),
    "11-scoring-a-circuit": (("transformers",), "export"),
    "12-testing-an-engine": (("tokenizers", "transformers"), "export"),
    "13-pictures-of-a-run": (("matplotlib", "pygraphviz", "resvg_py"), "draw"),
    "14-a-page-for-a-class": (("jinja2", "pygraphviz"), "draw"),
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

pytestmark = pytest.mark.usefixtures("shapes_unchecked")


# --- examples -----------------------------------------------------------------------------


def example_number(command):
    """Return the number of the example that a command runs; None if it runs none."""
    found = re.fullmatch(r"tm2tf examples (\d+)", command.text)
    return found and found[1]


def shown_output(path):
    """Return the lines that the document of the examples shows as the output of one."""
    found = [it for it in commands(SHOWN) if example_number(it) == path.stem.partition("-")[0]]
    assert len(found) == 1, f"{SHOWN.name} has {len(found)} blocks with the output of {path.stem}"
    return found[0].shown


def check_output(path, printed):
    shown = shown_output(path)
    if not agrees(shown, printed):
        told = f"{SHOWN.name}, {path.stem}\nshown:\n{stripped(shown)}\nprinted:\n{printed}"
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    packages, extra = NEEDED.get(path.stem, ((), ""))
    for package in packages:
        pytest.importorskip(package, reason=f"needs the extra {extra}")
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr()
    check_output(path, printed.out)
    assert printed.err == ""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_document_shows_enough_of_an_example(path):
    told = [line for line in shown_output(path) if line.strip(" .")]
    assert len(told) >= 5
    assert any(re.search(r"\d", line) for line in told)
    assert f"](../examples/{path.name})" in SHOWN.read_text(encoding="utf-8")


def test_all_examples_are_listed_and_run_by_number():
    names = [path.stem for path in EXAMPLES]
    numbers = [f"{number:02}" for number in range(1, len(EXAMPLES) + 1)]
    assert [name[:3] for name in names] == [f"{number}-" for number in numbers]
    assert list(filter(None, map(example_number, commands(SHOWN)))) == numbers
    assert NEEDED.keys() <= set(names)
    rows = json.loads(invoke(["examples", "--json"]).stdout)
    assert [row["name"] for row in rows] == names
    assert all(row["about"].endswith(".") and len(row["about"]) < 100 for row in rows)
    check_output(EXAMPLES[1], invoke(["examples", "02"]).stdout)


def test_an_example_runs_as_a_script(tmp_path):
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES[0])], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    check_output(EXAMPLES[0], ran.stdout)


# --- documents ----------------------------------------------------------------------------


@dataclass
class Block:
    """A fenced block: its language, the line where its text begins, its lines."""

    language: str
    line: int
    lines: list[str] = field(default_factory=list)


@dataclass
class Command:
    """A command after `$ `, in one line, and the output shown for it."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)


def blocks(path):
    found, inside = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            inside = not inside
            if inside:
                found.append(Block(line[3:].strip(), number + 1))
        elif inside:
            found[-1].lines.append(line)
    assert not inside, f"{path.name}: a block is not closed"
    return found


def python_blocks(path):
    """Return Python blocks, each with the lines of those that go on from it."""
    found = []
    for block in blocks(path):
        if block.language == "python":
            found.append(block)
        elif block.language == "python continued":
            found[-1].lines += ["", *block.lines]
    return found


def commands(path):
    found = []
    for block in blocks(path):
        if block.language not in ("console", "sh"):
            continue
        current = None
        for number, line in enumerate(block.lines, start=block.line):
            if current is not None and current.text.endswith("\\") and not current.shown:
                current.text = f"{current.text[:-1].rstrip()} {line.strip()}"
            elif line.startswith("$ "):
                current = Command(number, line[2:].strip())
                found.append(current)
            elif current is not None:
                current.shown.append(line)
    return found


def machine_texts(path):
    """Return (line, text) of each YAML block that is a whole machine."""
    return [
        (block.line, "\n".join(block.lines) + "\n")
        for block in blocks(path)
        if block.language == "yaml" and native.looks_like("\n".join(block.lines))
    ]


def cases():
    for path in DOCUMENTS:
        for command in commands(path):
            if path == SHOWN and example_number(command):
                continue  # run above, once
            if command.text.startswith("tm2tf "):
                slow = [pytest.mark.slow] if any(word in command.text for word in SLOW) else []
                yield pytest.param(path, command, id=f"{path.name}:{command.line}", marks=slow)


def written(command):
    """Return the file or folder that a command writes, None if it writes none."""
    found = re.search(r" (?:-o|>) ?(\S+)", command.text)
    return found[1].rstrip("/") if found and command.text.startswith("tm2tf ") else None


def needed(path, command):
    """Return the earlier commands whose files a command uses, and those that these use."""
    users, found = [command.text], []
    for earlier in reversed([it for it in commands(path) if it.line < command.line]):
        name = written(earlier)
        if name is not None and any(name in text for text in users):
            users.append(earlier.text)
            found.insert(0, earlier)
    return found


def invoke(words):
    return CliRunner().invoke(cli.group, words, prog_name="tm2tf", catch_exceptions=False)


def run(text):
    """Run a command as a shell would; return exit code and all output."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    if not re.search(r"[|<>;&$`*~]|\s#", bare):
        result = invoke(shlex.split(text)[1:])
        return result.exit_code, result.output
    script = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; {text}"
    ran = subprocess.run(
        ["bash", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


def stripped(lines):
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def agrees(shown, printed):
    """Return whether shown output, with `...` for anything, matches what was printed."""
    pattern = ""
    for line in stripped(shown).splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, stripped(printed.splitlines())) is not None


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a b"], "a b  \n", True),
        (["a b"], "a  b\n", False),
        (["a ... c"], "a 12 s c\n", True),
        (["a ... c"], "a 1\n2 c\n", False),
        (["a", "...", "d"], "a\nb\nc\nd\n", True),
        (["a", "...", "d"], "a\nd\n", True),
        (["a", "...", "d"], "a\nb\n", False),
        (["a"], "a\nb\n", False),
    ],
)
def test_dots_stand_for_anything(shown, printed, same):
    assert agrees(shown, printed) == same


@pytest.mark.parametrize(("path", "command"), list(cases()))
def test_a_document_shows_what_a_command_prints(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("tm2tf.bench.compare.LONG_ENOUGH", 0)
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    for _, text in machine_texts(path):
        Path(f"{native.parse(text).name}.yaml").write_text(text, encoding="utf-8")
    for earlier in commands(path):
        if earlier.line < command.line and earlier.text.startswith("cat "):
            Path(earlier.text[4:]).write_text(stripped(earlier.shown), encoding="utf-8")
    for earlier in needed(path, command):
        run(earlier.text)
    code, printed = run(command.text)
    shown = stripped(command.shown)
    expected = 2 if shown.startswith("error: ") else 0
    told = f"{path.name}:{command.line}: {command.text}\nshown:\n{shown}\nprinted:\n{printed}"
    if code != expected or not (shown == "\n" or agrees(command.shown, printed)):
        pytest.fail(f"{told}\nexit code {code}, expected {expected}", pytrace=False)


@pytest.mark.parametrize(
    ("path", "block"),
    [
        pytest.param(path, block, id=f"{path.name}:{block.line}")
        for path in DOCUMENTS
        for block in python_blocks(path)
    ],
)
def test_python_in_a_document_prints_what_it_says(path, block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = "\n".join(block.lines)
    for package in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE):
        pytest.importorskip(package, reason=f"{path.name} shows what is run with it")
    for command in commands(path):
        folder = re.search(r" -o (\S+)", command.text)
        if command.line < block.line and folder and f'"{folder[1]}' in text:
            code, printed = run(command.text)
            assert code == 0, printed
    capsys.readouterr()
    Path("shown.py").write_text(text, encoding="utf-8")
    runpy.run_path("shown.py")
    said = [line.rpartition("  # ")[2] for line in block.lines if "print(" in line]
    assert agrees(said, capsys.readouterr().out), f"said {said}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{path.name}:{line}")
        for path in DOCUMENTS
        for line, text in machine_texts(path)
    ],
)
def test_a_machine_in_a_document_does_what_it_says(text):
    machine = native.parse(text)
    model = tm2tf.compile(machine)
    assert machine.description
    assert machine.examples
    for example in machine.examples:
        check = model.verify(*example.tapes, expected=example.expected, max_steps=example.max_steps)
        assert check.divergence is None


def test_every_yaml_block_of_the_format_document_is_yaml():
    found = [block for block in blocks(FORMAT) if block.language == "yaml"]
    assert len(found) >= 6
    for block in found:
        assert yaml.compose("\n".join(block.lines), Loader=yaml.SafeLoader) is not None


def test_the_format_document_names_every_key():
    text = FORMAT.read_text(encoding="utf-8")
    for key in (*native.FIELDS, *native_examples.EXAMPLE_FIELDS, *native.RULE_FIELDS):
        assert f"`{key}`" in text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_at_exists(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:tm2tf|machines|tests|examples|docs)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def slug(heading):
    """Return the anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def test_the_readme_is_checked():
    assert any(command.text.startswith("tm2tf ") for command in commands(README))


@pytest.mark.parametrize("name", ["bb2", "bb4", "palindrome-2tape", "matching-3tape", "random:0:5"])
def test_the_sizes_that_the_architecture_states(name):
    model = tm2tf.compile(name)
    machine, weights = model.machine, model.weights
    k, Q, S = machine.tapes, len(machine.states), len(machine.symbols)
    assert weights.d_model == 2 + 2 * Q + k * (3 * S + 14)
    assert weights.d_vocab == 3 + k * (S + 1) + len(set(machine.transitions.values()))
    assert [len(layer.heads) for layer in weights.layers] == [2 * k, 0, k]
    neurons = [len(layer.feed_forward.neurons) for layer in weights.layers]
    assert neurons == [2 * k, 6 * k, len(machine.transitions)]
