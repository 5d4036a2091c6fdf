"""Checked shapes and shared fixtures.

Shapes in signatures are checked while the tests run: jaxtyping's annotations, by beartype.
"""

import os

import pytest
from jaxtyping import install_import_hook

from tests.shapes import shapes_checked

# Not weights.model: tests make ill-formed weights there, which saving must refuse.
CHECKED = (
    "tm2tf.weights.matrix",
    "tm2tf.runtime.sparse",
    "tm2tf.runtime.model",
    "tm2tf.runtime.partial.back",
    "tm2tf.runtime.partial.candidates",
    "tm2tf.runtime.partial.front",
    "tm2tf.runtime.partial.runner",
    "tm2tf.runtime.partial.tables",
    "tm2tf.runtime.runner",
    "tm2tf.runtime.torch_runner",
)

install_import_hook(CHECKED, "beartype.beartype")

# Their assertions are to say as much as those of the tests.
pytest.register_assert_rewrite("tests.artifacts", "tests.inspecting")


@pytest.fixture
def shapes_unchecked():
    """For tests that run long what others run with shapes checked."""
    with shapes_checked(False):
        yield


@pytest.fixture(scope="module")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield
