"""What the tests of diagrams share: the command, runs as rows, pixels."""

from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from tests.inspecting import bundled
from tm2tf.cli import group
from tm2tf.pictures.spacetime import halfblocks
from tm2tf.pictures.spacetime.history import Recorder
from tm2tf.pictures.spacetime.recording import record_rules
from tm2tf.pictures.spacetime.words import words_of

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="it needs the extra draw"
)


def diagram(*arguments, env=None):
    return CliRunner().invoke(group, ["diagram", *map(str, arguments)], env=env, color=True)


def shown(*arguments, env=None):
    done = diagram(*arguments, env=env)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def history_of(name, inputs=(), rows=1000, cells=1000, limit=None):
    machine = bundled(name) if isinstance(name, str) else name
    start = machine.initial(inputs)
    recorder = Recorder(machine, start, rows, cells, halfblocks.measures(machine))
    recorded = record_rules(machine, start, recorder, limit)
    history = recorder.history()
    return history, words_of(start, history, recorded)


def pixels_of(path):
    """Return a picture's pixels, as matplotlib reads them, without transparency."""
    from matplotlib.image import imread

    return np.rint(imread(path)[:, :, :3] * 255).astype(int)
