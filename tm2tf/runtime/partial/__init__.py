"""The fast kernels: weights evaluated in part beforehand, from the tensors alone.

A decoder whose heads sum up and look up falls into two halves. Its front turns the tokens so far
into addresses: running sums, which are kept as integers. Its back turns one token and what was
looked up into the next token: it depends on finitely many cases. `split` finds the two in the
tensors, `front` proves what the first one computes (as polynomials, rounding included), `back`
sorts what the second one may see into classes. Two kernels are built of that:

- `evaluated`: at every pass the neurons that can fire are computed, and the logits compared;
- `folded`: each case of the back is computed once, when it first occurs, and remembered
  (constant folding); where a case leads to itself, many values found are compared at once.

Neither knows what the weights are for. What is not shaped so raises `Unfit`, which says why, and
runs on the next general kernel.
"""
