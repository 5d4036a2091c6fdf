"""What the tests of sample bounds share: a small experiment, and the binomial distribution."""

import math

from tm2tf.learning.monte_carlo import Size

SMALL = Size(
    eps=0.2,
    contexts=2,
    vocabulary=3,
    length=2,
    dimensions=3,
    trials=40,
    through_weights=1,
    scales=(1.0, 0.5),
    vocabularies=(2, 5),
    context_counts=(1, 4),
    other_dimensions=(2, 5),
    taped_dimensions=(2,),
    far_dimensions=(2, 60),
)


def binomial(n, p):
    """Return P(Binomial(n, p) = i) for each i, as fractions."""
    return [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
