"""The artifact: plain tensors, with a name for every residual direction, head, neuron, token.

`matrix` holds a sparse matrix, `model` the weights of a transformer and their labels, `folder`
saving and loading. Imports `program` (for features and tokens), `formats` and `machine` (an
artifact carries its machine); nothing about how weights were made or are run.
"""
