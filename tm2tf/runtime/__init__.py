"""Running weights: tensors in, tokens out, and what the tokens say of a machine's steps.

`model` is the plain torch decoder, `kernel` the fast CPU runtime (`passes` its compiled loops,
`plan` its flat tensors), `runner` what both offer, `memory` what their lookups hold; `looped` is
the torch model of looped weights. `told` says how a run is followed as machine steps; `steps`,
`rows` and `cells` follow the three views of constructions (`configurations`: from one row to the
next), `follow` chooses, and `run` is the whole of a run with its result.

Reads tensors, kinds of heads and labels; never a machine's rules. Shares no code with the
simulator or the interpreter.
"""
