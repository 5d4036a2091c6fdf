"""Fine-tuning against in-context examples, as experiments whose every step is checked.

On one side gradient descent puts data into weights; on the other, compiled weights read the same
data in their prompt. This package makes both, compares them token by token, and counts how many
examples it takes. It may use everything but the command line and `bench`; nothing else uses it.

    observations, coverage, fine_tuning, transitions    rules in weights, rules in the prompt
    noisy_machine, noise                                the same with noise, as distributions
    ternary, tape, labelled, reviews, gradient, sft     fine-tuning itself as a Turing machine
    bounds, monte_carlo, claims, contexts               how many examples: formulas, and trials
    retrieval                                           a part of the data, chosen by nearness
    trials, results, figures, verdicts                  what the experiments share
    sections, report                                    all of it on one page
"""
