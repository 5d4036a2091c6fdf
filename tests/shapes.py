"""Shapes in signatures, which `conftest` has checked while tests run: switching that off."""

from contextlib import contextmanager

import jaxtyping


@contextmanager
def shapes_checked(wanted):
    """Check shapes, or not: checking them takes half of the time of much that is run often."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", not wanted)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
