"""Suites and answers that tests of known-answer tests share."""

from tm2tf.kat import answers as known
from tm2tf.kat import suite
from tm2tf.kat.cases import CASES, FAMILIES, named
from tm2tf.kat.engine import Sampled

RECENCY, PADDING = "recency-llama-float32", "padding-llama-float32"


def small_suite(folder):
    """Write two cases for transformers; return the suite."""
    return suite.make(folder, named([RECENCY, PADDING]), ["hf"]).suite


def answers_of_each_family():
    """Return the answers of each family, without its checkpoints."""
    cases = [next(case for case in CASES if case.family is family) for family in FAMILIES]
    return {case.family.name: suite.answers_of(case, suite.compiled(case)) for case in cases}


class Oracle:
    """Knows the answers; `spoil` changes what it gives, by the kind of the call."""

    name = "oracle"

    def __init__(self, spoil=lambda kind, rows: rows):
        self.spoil = spoil

    def load(self, folder):
        return OracleSession(known.load(folder), self.spoil)


class OracleSession:
    def __init__(self, answers, spoil):
        self.answers, self.spoil = answers, spoil

    def _rest(self, prompt):
        for run in self.answers.runs:
            if run.tokens[: len(prompt)] == tuple(prompt):
                return list(run.tokens[len(prompt) :])
        raise LookupError("no such run")

    def generate(self, prompts, count, stop):
        rows = [self._rest(prompt)[:count] for prompt in prompts]
        return self.spoil("batch" if len(prompts) > 1 else "one", rows)

    def score(self, tokens):
        return self.spoil("score", [[*tokens[1:], self._rest(tokens)[0]]])[0]

    def sample(self, prompt, count, stop, seed):
        return Sampled(self.spoil("sample", [self._rest(prompt)[:count]])[0], 2e-28)
