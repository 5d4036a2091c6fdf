"""Block machines as transformers: found, compiled, run and verified, in the base machine's steps.

`model.compile` makes a `BlockModel` of a machine; `artifact` saves and opens one.
"""
