"""The document that `tm2tf bench --write` writes: everything measured, and what words mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tm2tf.bench import figures, grids, wording
from tm2tf.bench.benchmark import Settings
from tm2tf.bench.grids import Grid
from tm2tf.bench.registry import Measured
from tm2tf.bench.report import judged
from tm2tf.errors import InputError

IMAGES = "images"
"""The folder for plots, beside the document."""

HEAD = """# Benchmarks

Written by `tm2tf bench --write docs/benchmarks.md`, not by hand. Every figure was measured in one
run on one machine; every result was checked (steps, cells that are not blank, tokens), and a wrong
one would stand here as wrong. How fast checkpoints are in other people's engines stands in
[checkpoints.md](checkpoints.md#in-engines-measured).

**How it is measured.** What is compared takes turns, in rounds, each in another order, so that
other load on the machine hits all; ratios are of two runs of one round. Times are medians, and in
parentheses are the quartiles of the ratios. Runs are of one thread unless it says otherwise.

**What is compared.** A *step* is a step of the Turing machine.

- *plain*: a table simulator in numba, a loop of one lookup a step, written for this comparison
  (`tm2tf/bench/plain.py`). It has no weights: it is what somebody would write who wants a Turing
  machine fast.
- *dense*: the weights, with every entry of every matrix multiplied in each forward pass.
- *sparse*: the same pass over the entries that are not 0; lookups from an index by address.
- *evaluated*: feed-forward layers and argmax computed on every pass; layer sums kept as integers.
  Which neurons an embedding reaches, and what they add up to before anything is looked up, is
  worked out once, from the tensors.
- *folded*: constant folding: what depends on finitely many cases is computed once and remembered.
  What is left of the network at run time is one remembered record for each case. Where a case
  leads to itself, the values that are found next are compared with its own many at once, so that
  machines which sweep over equal cells are far faster; *plain, sweeping* is the plain simulator
  with the same trick.

All four read tensors and the kinds of heads, and never the machine that they were compiled from;
weights in another basis show it. *evaluated* is the figure for evaluating every pass; *folded* is
what a compiler may make of constant weights, and should be called that.
"""


def text(
    host: Mapping[str, object], settings: Settings, found: Sequence[Measured], pictures: bool
) -> str:
    """Return the whole document; `pictures`: whether there are any to show."""
    parts = [HEAD, "## The machine\n", _markdown(_host(host, settings))]
    met = [*judged(found)]
    if met:
        parts += [
            "## Goals\n",
            "Of ratios a goal is on the time for one step, as a multiple of the baseline's; of "
            "growths on the slope.\n",
            _markdown(grids.of_verdicts(met)),
        ]
    parts += ["\n".join(_section(it, pictures)) for it in found]
    return "\n".join(parts).rstrip() + "\n"


def write(
    path: Path, host: Mapping[str, object], settings: Settings, found: Sequence[Measured]
) -> list[Path]:
    """Write the document and its plots; return all that was written.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: something cannot be written.
    """
    folder = path.parent / IMAGES
    try:
        folder.mkdir(exist_ok=True)
        drawn = [*figures.draw(found, folder)]
        path.write_text(text(host, settings, found, pictures=True), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {error.filename or path}: {error.strerror}") from None
    return [*drawn, path]


def check_writable(path: Path) -> None:
    """Refuse a document that could not be written, before hours of measuring.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: its name does not end in .md, or there is no such folder.
    """
    figures.require()
    if path.suffix != ".md":
        raise InputError(f"the document is Markdown: name it FILE.md, not {path.name!r}")
    if not path.parent.is_dir():
        raise InputError(f"no such folder: {path.parent} (make it first)")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it")


def _host(host: Mapping[str, object], settings: Settings) -> Grid:
    memory = host.get("memory_bytes")
    rows = [
        ("date", str(host.get("date"))),
        ("CPU", f"{host.get('cpu')}, {host.get('cores')} cores for this process"),
        ("memory", wording.size(float(memory)) if isinstance(memory, int) else "unknown"),
        ("GPU", str(host.get("gpu") or "none")),
        ("system", str(host.get("system"))),
        ("load before", str(host.get("load"))),
        *((name, str(host.get(name))) for name in ("python", "numpy", "numba", "torch", "tm2tf")),
        ("rounds", f"{settings.rounds}{', quick' if settings.quick else ''}"),
    ]
    return Grid(("", ""), (False, False), tuple(rows))


def _section(found: Measured, pictures: bool) -> Iterator[str]:
    """Yield the lines of one benchmark."""
    yield f"## {found.benchmark.name}\n"
    about = found.benchmark.about
    yield f"{about[0].upper()}{about[1:]}. It took {found.seconds:,.0f} s.\n"
    if found.absent:
        yield f"Left out: {found.absent}\n"
    for line in found.wrong:
        yield f"**WRONG**: {line}\n"
    for race in found.outcome.races:
        yield f"### {race.title}\n"
        yield f"{_sentence(race.about)}\n"
        yield _markdown(grids.of_race(race))
        yield from (f"Left out: {left.name}. {_sentence(left.reason)}\n" for left in race.left)
    for growth in found.outcome.growths:
        yield f"### {growth.title}\n"
        yield f"{_sentence(growth.about)}\n"
        yield _markdown(grids.of_growth(growth))
        yield from (f"Left out: {left.name}. {_sentence(left.reason)}\n" for left in growth.left)
    if found.outcome.growths and pictures:
        yield f"![{found.benchmark.name}]({IMAGES}/{figures.name(found)})\n"
    yield from (f"{_sentence(note)}\n" for note in found.outcome.notes)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _markdown(grid: Grid) -> str:
    """Return a table in Markdown."""
    lines = [
        _line(grid.headings),
        _line(["---:" if right else "---" for right in grid.right]),
        *map(_line, grid.rows),
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
