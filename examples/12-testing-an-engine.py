"""Tests two inference engines with known answers: transformers, and one with a fault.

An engine is two methods, `generate` and `score`, over token ids. Every token that has to come out
is known beforehand, so the first wrong one can be named, with what it should have recalled.
"""

import tempfile
from pathlib import Path

import torch

from tm2tf.kat import checking, diagnosis, suite
from tm2tf.kat.cases import named
from tm2tf.kat.engines.transformers_engine import TransformersEngine


class Session:
    """transformers' model in a loop of our own, which miscounts."""

    def __init__(self, model):
        self.model = model

    def generate(self, prompts, count, stop):
        return [self._one(list(prompt), count, stop) for prompt in prompts]

    def _one(self, prompt, count, stop):
        fed, cache, written = prompt, None, []
        while len(written) < count:
            position = len(prompt) + len(written) - len(fed)
            if cache is not None:
                position -= (
                    1  # the fault: the first token after a prompt stands where its last does
                )
            places = torch.arange(position, position + len(fed))[None]
            out = self.model(torch.tensor([fed]), position_ids=places, past_key_values=cache)
            cache, fed = out.past_key_values, [int(out.logits[0, -1].argmax())]
            written += fed
            if fed[0] in stop:
                break
        return written

    def score(self, tokens):
        return self.model(torch.tensor([list(tokens)])).logits[0].argmax(-1).tolist()


class Miscounting:
    name = "a loop that miscounts"

    def load(self, folder):
        return Session(TransformersEngine().model(folder))


with tempfile.TemporaryDirectory() as folder:
    made = suite.make(
        Path(folder), named(["recency-llama-float32", "padding-gpt2-float32"]), ["hf"]
    )
    print(f"1. A suite of {len(made.suite.cases)} cases, {made.tokens} known tokens:\n")
    for case in made.suite.cases:
        print(f"   {case.name:22} {case.stresses}")
    reports = [checking.run(made.suite, engine) for engine in (TransformersEngine(), Miscounting())]

print("\n2. Two engines:")
for report in reports:
    name, fault = report.engine.split(" (")[0], diagnosis.suspected(report)
    passed, failed = len(report.of("passed")), len(report.of("failed"))
    print(f"\n   {name}: {passed} passed, {failed} wrong, {report.tokens:,} tokens right")
    if report.first_wrong is not None:
        wrong = report.first_wrong.wrong
        print(f"   position {wrong.position}: `{wrong.got}` instead of `{wrong.expected}`")
        print(f"   recalls  {wrong.recalls}")
        print(f"   suspected: {fault.name}. {fault.because}")
