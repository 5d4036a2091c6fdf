"""The intermediate representation: a transformer's computation over named features.

A program says what each layer computes, exactly and with names, and not yet how numbers carry
it. `features` and `operations` are its words, `checks` its grammar as a table of rules,
`interpreter` and `looped_interpreter` its meaning in exact Python integers, `printer` and
`reader` its text. Imports `errors` alone: nothing about machines, matrices or torch.
"""
