"""Runs the page's scripts without a browser, in the Node that the package playwright ships."""

import json
import subprocess
from pathlib import Path

import pytest

from tm2tf.page.build import asset

SECONDS = 60


def node() -> Path:
    """Return the program; skips the test where playwright is not installed."""
    playwright = pytest.importorskip("playwright", reason="Node comes with playwright, of dev")
    driver = Path(playwright.__file__).parent / "driver"
    found = next((path for path in (driver / "node", driver / "node.exe") if path.exists()), None)
    if found is None:
        pytest.skip("this playwright ships no Node")
    return found


def evaluate(scripts: tuple[str, ...], body: str, given: object) -> object:
    """Return what the function body `body` returns, after these scripts, on `given`."""
    source = "\n".join(asset(name) for name in scripts)
    source += f"""
const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const result = (() => {{ {body} }})();
process.stdout.write(JSON.stringify(result));
"""
    done = subprocess.run(
        [node(), "-e", source],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
