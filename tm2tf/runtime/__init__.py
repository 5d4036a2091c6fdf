"""Running weights: tensors in, tokens out.

`model` is the plain torch decoder, `kernel` the fast CPU runtime (`passes` its compiled loops,
`plan` its flat tensors), `runner` what both offer, `run` the whole of a run with its result.
Reads tensors, kinds of heads and labels; never a machine's rules. Shares no code with the
simulator or the interpreter.
"""
