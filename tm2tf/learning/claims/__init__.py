"""The four claims about how many examples it takes, each with its Monte Carlo.

laws, halfspaces        what is drawn, and how far off it is
gradient, in_context    the two sides: fine-tuned by torch, and compiled weights
next_word               claim A
outputs                 claim B
separators              claim C
predictor               claim D
every                   all four: planned, run, reported
pictures                figures
"""
