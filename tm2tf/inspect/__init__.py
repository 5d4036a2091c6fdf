"""Inspection: everything in the weights, shown with its name.

Compiled weights are worth reading only if one can: this package turns tensors and labels into
circuits (which direction a head compares with which, what it moves where), neurons into
formulas and sentences, and one forward pass into what each head and neuron did. What a view says
of the weights is read from the tensors; labels only give the names. So an edited or damaged
tensor shows, though its label stays.

- `forms`: linear forms over the residual stream, in words;
- `neurons`, `heads`: one neuron, one head; `matching`: what a head's scores look for;
- `tables`: the views of weights at rest: overview, layer, token, direction, dense tensor;
- `step`: the view of one pass, through the plain torch models; `recording`: any passes of one run,
  forward or back; `walk` is a decoder's run up to a pass, `passes` a looped model's, and `snapshot`
  what the pass then was;
- `sections`: the same views as tables of text, for people.

Imports `runtime`, `compiler`, `weights`, `program`, `machine` and `errors`. Nothing of `cli`, nor
of `verify`; nor of `lowering` and `constructions`, for what they meant to write proves nothing.
Only `step`, `recording`, `walk` and `passes` import torch.
"""
