"""The four claims about how many examples it takes, each with its Monte Carlo.

laws, halfspaces        what is drawn, and how far off it is
rounded                 halfspaces on whole numbers, as tapes hold them
gradient                the fine-tuned side: torch
in_context, on_tape     the side in context: compiled weights that count, or that train
next_word               claim A
outputs                 claim B
separators              claim C
predictor               claim D
every                   all four: planned, run, reported
pictures                figures
"""
