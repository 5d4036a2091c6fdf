"""Fine-tuning against in-context examples, as experiments whose every step is checked.

On one side gradient descent puts data into weights; on the other, compiled weights read the same
data in their prompt. This package makes both, compares them token by token, and counts how many
examples it takes. It may use everything but the command line and `bench`; nothing else uses it.

    coverage, transitions, noise    rules in weights against rules in the prompt
    ternary, tape, gradient, sft    fine-tuning itself as a Turing machine, beside torch.optim.SGD
    bounds, trials, ...             how many examples: formulas, and Monte Carlo for each
    retrieval                       a part of the data, chosen by nearness
    results, figures, report        JSON, CSV, PNG and SVG; one page with all of it
"""
