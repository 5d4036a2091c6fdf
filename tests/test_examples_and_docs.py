"""What README, docs and examples show is what happens: every command runs, every output is real.

In a ```console or ```sh block, `$ tm2tf ...` is run, and the lines below it are compared with what
it prints. `...` stands for anything: within a line, or as a line of its own for any lines. Output
that begins with `error:` goes with exit code 2, all other with 0; a command without output shown
need only succeed. `$ cat FILE` is not run: it makes FILE of the lines below it. Commands run in a
fresh folder that holds such files, the whole machines of the document's ```yaml blocks as
NAME.yaml, what earlier commands of the document wrote, and links to the project's folders.

A ```python block is run on its own, beside what the commands before it wrote. Each line with
`print(` says in its comment what it prints, `...` for anything. What needs a package that is not
installed is skipped.
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
SLOW = ("bb5", "1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA", "--controls 2", "learn report")
LINKED = ("machines", "examples", "docs", "tests")

FACTS = {  # what an example must print, for each example there is
    "01-hello-machine": [
        "step   1  emits 1R>B",
        "halted after 107 steps with 13 ones on the tape",
        "lockstep: 107 steps compared, first difference: None",
    ],
    "02-your-own-machine": [
        "unknown state 'od'; did you mean 'odd'?\n    9 |     1: R od ",
        "prompt  <bos> 1 0 1 1 <start>\n     result  10111, halted after 5 steps",
        "100,000 symbols, 49,944 ones: right",
    ],
    "03-reading-the-weights": [
        "tape0.head         = -1",
        "6:1L>A     (-1, -1, 0)  score    1 = p^2 - (p - w)^2, wrote on w = -1  <- the greatest",
        "B, 1 -> Z, 1, R  1  <- fires",
        "Emitted: 1R>Z, ahead by 0.5",
    ],
    "04-two-tapes": [
        " 17 aR,aL>compare    .  .  .  .  .  .  .  .  1  .  .  .  .  0",
        "abba: accepted after 15 steps",
        "'abababa... (600)' rejected, 1203 steps, difference: None",
    ],
    "05-one-set-of-weights": [
        "A 0 -> B 1 right",
        "abcba  -> blank          accepted after  21 steps, difference: None",
        "rules in the prompt   2R>A 1R>A 2R>A 2R>A 0L>B <unknown>",
    ],
    "06-one-machine-many-ways": [
        "queue                   3             65            7,020",
        "10 of 10 ways agree: 107 steps, 13 ones on the tape.",
        "100,000 steps, 100,000 tokens written, 100,002 in the context at most",
        "queue        float16   20 steps, difference: None",
    ],
    "07-fine-tuning-on-the-tape": [
        "          2  (3, -1, 0)    (3, -1, 0)",
        "2,869 steps, each verified; first difference: None",
        "[0, -2]  +1  +1",
    ],
    "08-a-checkpoint-for-transformers": [
        "GPT2LMHeadModel.generate() writes 107 tokens",
        "1R>Z@5    .  .  .  .  1 [0] 1  1  1  1  1  1  1  1  1  1  1  1  .  .\n\n   107 steps, 13",
        "<bos> 1 0 1 1 <start>           19 steps, the last 1R>Z@11",
        "0R>A@13     0L>C@12        1.0",
        "the same run: True",
    ],
    "09-a-checkpoint-for-llama-cpp": [
        "bb4               (blank)       107  None              1L>B@23 0L>C@22 1R>Z@23",
        "binary-increment  111111111      20  None",
    ],
    "10-a-checkpoint-for-onnx": [
        "<bos> tape0:0@8 tape0:1@9 tape0:1@10 tape0:0@11 <head:0@8> <head:1@8> <start>",
        "4. By the simulator: accepted, 15 steps. Same tokens: True.",
    ],
    "11-scoring-a-circuit": [
        "L0.H0 -> L0.N1    tape0.read=1                            transitions: A, 1 -> B, 1, L",
        "16 of 101 possible edges. Proved by ablation over 1,920\n   outputs: True",
        "gradient, on drawn contexts    14       1.00    0.88  embed -> L0.H0.q, embed -> L0.H0.k",
        "ablation, on drawn contexts    16       1.00    1.00\n",
    ],
    "12-testing-an-engine": [
        ": 23 passed, 0 wrong",
        "`<stuck>` instead of `cR>one@3`",
        "suspected: positions are off by one.",
    ],
}
NEEDED = {  # the packages that an example needs, and the extra that has them
    "08-a-checkpoint-for-transformers": (("tokenizers", "transformers"), "export"),
    "09-a-checkpoint-for-llama-cpp": (("gguf", "llama_cpp"), "gguf,llama-cpp"),
    "10-a-checkpoint-for-onnx": (("tokenizers", "onnx", "onnxruntime"), "onnx"),
    "11-scoring-a-circuit": (("transformers",), "export"),
    "12-testing-an-engine": (("tokenizers", "transformers"), "export"),
}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


# --- examples -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    assert path.stem in FACTS, "say in FACTS what this example shows"
    packages, extra = NEEDED.get(path.stem, ((), ""))
    for package in packages:
        pytest.importorskip(package, reason=f"needs the extra {extra}")
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr()
    for fact in FACTS[path.stem]:
        assert fact in printed.out
    assert printed.err == ""


def test_all_examples_are_listed_and_run_by_number():
    assert [path.stem for path in EXAMPLES] == list(FACTS)
    rows = json.loads(invoke(["examples", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(FACTS)
    assert all(row["about"].endswith(".") and len(row["about"]) < 100 for row in rows)
    assert FACTS["02-your-own-machine"][1] in invoke(["examples", "02"]).stdout


def test_an_example_runs_as_a_script(tmp_path):
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES[0])], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert FACTS[EXAMPLES[0].stem][1] in ran.stdout


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
            if command.text.startswith("tm2tf "):
                slow = [pytest.mark.slow] if any(word in command.text for word in SLOW) else []
                yield pytest.param(path, command, id=f"{path.name}:{command.line}", marks=slow)


def writes_files(command):
    return command.text.startswith(("tm2tf compile ", "tm2tf convert ")) or " -o " in command.text


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
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    for _, text in machine_texts(path):
        Path(f"{native.parse(text).name}.yaml").write_text(text, encoding="utf-8")
    for earlier in commands(path):
        if earlier.line >= command.line:
            break
        if earlier.text.startswith("cat "):
            Path(earlier.text[4:]).write_text(stripped(earlier.shown), encoding="utf-8")
        elif earlier.text.startswith("tm2tf ") and writes_files(earlier):
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
        for block in blocks(path)
        if block.language == "python"
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
