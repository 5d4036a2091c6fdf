"""The report: every experiment on one page, each claim with its verdict."""

from __future__ import annotations

import base64
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tm2tf import __version__
from tm2tf.errors import ExtraError, InputError
from tm2tf.learning.figures import require_matplotlib
from tm2tf.learning.results import save_json
from tm2tf.learning.sections import CHAPTERS, Ask, Scale, Section
from tm2tf.learning.trials import Progress

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter as it was made: its sections, and how long they took."""

    name: str
    sections: Sequence[Section]
    seconds: float


def require_extra() -> None:
    """Raise an `ExtraError` that names the extra, unless all that the report needs is there."""
    require_matplotlib()
    for package, module in (("scikit-learn", "sklearn"), ("jinja2", "jinja2")):
        try:
            __import__(module)
        except ImportError:
            raise ExtraError("the report", package, "learn") from None


def make_report(
    folder: Path,
    scale: Scale,
    *,
    seed: int = 0,
    workers: int = 1,
    names: Sequence[str] = tuple(CHAPTERS),
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Redo the experiments, write `report.html` and `report.json`; return what the latter holds.

    Trials that were finished before are found in the folder, and not done again.

    Args:
        folder: where everything is written, a folder a chapter.
        scale: how large the experiments are.
        seed: of all of them.
        workers: processes to spread trials over.
        names: which chapters.
        on_progress: takes the number of chapters done.

    Raises:
        ExtraError: matplotlib, scikit-learn or jinja2 is not installed.
        InputError: the folder cannot be written.
    """
    require_extra()
    chapters = []
    for done, name in enumerate(names):
        if on_progress is not None:
            on_progress(done)
        began = time.perf_counter()
        sections = CHAPTERS[name](Ask(scale, seed, folder / name, workers))
        chapters.append(Chapter(name, sections, time.perf_counter() - began))
    result = _as_json(chapters, scale, seed, workers)
    save_json(folder, "report", result)
    _write_page(folder / "report.html", chapters, result)
    return result


def _as_json(chapters: Sequence[Chapter], scale: Scale, seed: int, workers: int) -> dict[str, Any]:
    """Return the verdicts, and what each experiment found."""
    sections = [section for chapter in chapters for section in chapter.sections]
    return {
        "version": __version__,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "scale": asdict(scale),
        "seed": seed,
        "workers": workers,
        "seconds": {chapter.name: round(chapter.seconds, 1) for chapter in chapters},
        "verdicts": [
            {"section": section.title, **asdict(reading)}
            for section in sections
            for reading in section.readings
        ],
        "good": all(section.good for section in sections),
        "results": {section.title: section.result for section in sections},
    }


def _write_page(path: Path, chapters: Sequence[Chapter], result: Mapping[str, Any]) -> None:
    """Write one HTML file that holds its figures, so that it can be sent alone."""
    from jinja2 import Environment

    text = files("tm2tf.learning").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inlined"] = _inlined
    page = environment.from_string(text).render(chapters=chapters, result=result)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _inlined(figure: Path) -> str:
    """Return a figure as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.read_bytes()).decode("ascii")
