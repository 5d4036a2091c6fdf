"""Learners as Turing machines, written with `machine.builder`; all read the same input tape.

layout      what stands on the tapes, and how wide a number must be so that none overflows
blocks      what the learners share: adding fields, a score, its sign
perceptron  stochastic gradient descent: the perceptron, with a margin, averaged
nearest     the nearest example's label
majority    the label that most examples have
"""
