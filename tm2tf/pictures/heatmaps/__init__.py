"""Heatmaps: weights, attention patterns and the residual stream, every row and column named.

- `forward`: a run's context with its streams and attention, from the plain torch models;
- `panels`: a labelled matrix; `circuits` makes them of weights, `attention` and `residual` of a
  run;
- `sheet` lays panels out so that no label meets another; `drawing` draws them (matplotlib).
"""
