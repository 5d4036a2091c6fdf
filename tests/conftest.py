"""Shapes in signatures are checked while the tests run: jaxtyping's annotations, by beartype."""

from jaxtyping import install_import_hook

# Not weights.model: tests make ill-formed weights there, which saving must refuse.
CHECKED = (
    "tm2tf.weights.matrix",
    "tm2tf.runtime.kernel",
    "tm2tf.runtime.model",
    "tm2tf.runtime.runner",
    "tm2tf.runtime.torch_runner",
)

install_import_hook(CHECKED, "beartype.beartype")
