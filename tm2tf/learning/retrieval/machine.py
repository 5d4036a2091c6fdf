"""The steps of a machine's runs, as examples for a held-out input.

The data are the steps of training runs, each with its input word. A prompt of the universal weights
holds k of them, and then the held-out input, whose run is compared with the machine, every step.
The k examples are

- `uniform`: drawn evenly, with replacement, from all steps of all runs;
- `nearest`: the steps of the training runs whose inputs are nearest to the query, run after run,
  as they come, until there are k;
- either of them `once`: an example that stood before is passed over.

Two of these four differ in nearness alone, and two in repetition alone. An input is described by
the share of each symbol in it and by its first and last two symbols; distances are Euclidean. A run
is right if, and only if, all rules that it uses stand in the prompt: so runs can be counted, and
those that go through the weights check it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf import api
from tm2tf.formats import by_name
from tm2tf.learning.coverage import predicted
from tm2tf.learning.observations import Observed
from tm2tf.learning.results import wilson
from tm2tf.learning.retrieval.neighbours import nearest
from tm2tf.learning.retrieval.report import (
    NEAREST,
    UNIFORM,
    Reach,
    Report,
    fewer_tokens,
    interval,
    reach,
    sizes_between,
)
from tm2tf.learning.transitions import Pool, Settings, follow_all, make_pool, with_examples
from tm2tf.learning.trials import Outcome, Task
from tm2tf.learning.verdicts import FALSE, HOLDS, Reading
from tm2tf.machine.spec import Machine

ENDS = 2
"""Symbols at either end of an input that describe it: machines begin at one end and turn round at
the other, and what they do there depends on these."""

ONCE = " once"

CHOICES = (UNIFORM, NEAREST, UNIFORM + ONCE, NEAREST + ONCE)
"""How examples are chosen."""

LEVELS = (0.5, 0.95)
"""Shares of right runs at which numbers of tokens are compared: most runs, and nearly all."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        machine: a name, file or text of a machine of one tape.
        seed: of the first trial; the others follow.
        trials: each has its own training runs and held-out inputs.
        held_out: inputs tested on in each trial.
        weighed: how many of these go through the weights, with every prompt.
        training_runs: inputs whose runs are the data of a trial.
        longest: symbols of a training input at the most; held-out ones have up to twice as many.
        least: examples in the shortest prompts.
        most: examples in the longest prompts.
        max_steps: of a run.
    """

    machine: str
    seed: int = 0
    trials: int = 8
    held_out: int = 40
    weighed: int = 3
    training_runs: int = 100
    longest: int = 8
    least: int = 4
    most: int = 512
    max_steps: int = 1_000


def tasks(size: Size) -> list[Task]:
    """Return the trials."""
    text = by_name("native").dump(api.load(size.machine))
    settings = Settings(
        held_out=size.held_out,
        training_runs=size.training_runs,
        longest=size.longest,
        test_longest=2 * size.longest,
        max_steps=size.max_steps,
    )
    return [
        {
            "machine": text,
            "weighed": size.weighed,
            "sizes": sizes_between(size.least, size.most),
            "settings": asdict(replace(settings, seed=size.seed + number)),
        }
        for number in range(size.trials)
    ]


def features(machine: Machine, words: Sequence[str]) -> Float64[np.ndarray, "words features"]:
    """Return what describes each input: shares of symbols, and which stand at the ends.

    Where a word has fewer than `ENDS` symbols, the blank stands at the end.
    """
    symbols = list(machine.symbols)
    rows = []
    for word in map(machine.split, words):
        blanks = (machine.blank,) * ENDS
        ends = ((*word, *blanks)[:ENDS], (*blanks, *word)[-ENDS:])
        shares = [word.count(symbol) / max(1, len(word)) for symbol in symbols]
        rows.append(
            [*shares, *(float(end == symbol) for end in chain(*ends) for symbol in symbols)]
        )
    return np.array(rows)


def examples(pool: Pool, choice: str, order: Int64[np.ndarray, " runs"], seed: Sequence[int],
             most: int) -> list[str]:  # fmt: skip
    """Return up to `most` examples for a query, as a choice has them.

    Args:
        pool: the data.
        choice: one of `CHOICES`.
        order: the training runs, nearest to the query first.
        seed: of an even draw.
        most: how many; fewer are returned where there are no more.
    """
    steps: Iterator[str]
    if choice.startswith(NEAREST):
        steps = (rule for place in order for rule in pool.runs[place].rules)
    else:
        random = np.random.default_rng(seed)
        if choice.endswith(ONCE):
            # in a random order of all steps, different rules appear as in draws with replacement
            drawn = random.permutation(len(pool.rules))
        else:
            drawn = random.integers(len(pool.rules), size=most)
        steps = (pool.rules[place] for place in drawn)
    return list(dict.fromkeys(steps) if choice.endswith(ONCE) else steps)[:most]


def trial(task: Task) -> Outcome:
    """Return, for each choice and number of examples, sums over the held-out inputs of one seed.

    The first `weighed` of them are run by the weights with every prompt. `unequal` counts those
    that were right without all of their rules, or wrong with them; the others are taken to be right
    if their rules are shown.
    """
    machine = api.load(task["machine"])
    settings = Settings(**task["settings"])
    pool = make_pool(machine, settings)
    order = nearest(
        features(machine, [run.word for run in pool.runs]),
        features(machine, [run.word for run in pool.held_out]),
    )
    sums = {"prompts": 0, "tokens": 0, "unequal": 0}
    answered: dict[tuple[str, tuple[str, ...]], int] = {}
    rows = []
    for choice in CHOICES:
        chosen = [
            examples(pool, choice, near, [settings.seed, 3, number], max(task["sizes"]))
            for number, near in enumerate(order)
        ]
        for size in task["sizes"]:
            prompts = [
                (run, listed[:size]) for run, listed in zip(pool.held_out, chosen, strict=True)
            ]
            for run, listed in prompts[: task["weighed"]]:
                _weigh(pool, run, listed, settings.max_steps, answered, sums)
            rows.append({"choice": choice, "examples": size} | _sums(pool, prompts, answered))
    needed = [run.rules for run in pool.held_out]
    data = Counter(pool.rules)
    coverage = {str(size): predicted(data, needed, size) for size in task["sizes"]}
    return {"rows": rows, "data": dict(data), "coverage": coverage, **sums}


def _weigh(
    pool: Pool,
    run: Observed,
    listed: Sequence[str],
    max_steps: int,
    answered: dict[tuple[str, tuple[str, ...]], int],
    sums: dict[str, int],
) -> None:
    """Let the weights do a run; a prompt that was answered before is not asked again."""
    key = (run.word, tuple(listed))
    if key in answered:
        return
    model = with_examples(pool.base, listed)
    answered[key] = follow_all(model, [run], max_steps).right
    sums["prompts"] += 1
    sums["tokens"] += len(model.prompt(model.machine.initial([run.word])))
    sums["unequal"] += answered[key] != set(run.rules).issubset(listed)


def _sums(
    pool: Pool,
    prompts: Sequence[tuple[Observed, Sequence[str]]],
    answered: Mapping[tuple[str, tuple[str, ...]], int],
) -> dict[str, Any]:
    """Return what the prompts of one size come to; `missing` has runs by the rule they lack."""
    data, bare = Counter(pool.rules), with_examples(pool.base, ())
    tokens = right = 0
    distance = 0.0
    lacking: Counter[str] = Counter()
    for run, listed in prompts:
        lacks = set(run.rules) - set(listed)
        lacking.update(lacks)
        right += answered.get((run.word, tuple(listed)), not lacks)
        tokens += len(bare.prompt(bare.machine.initial([run.word])))
        tokens += sum(len(rule.split()) for rule in listed)
        distance += _distance(data, Counter(listed))
    missing = {rule: lacking[rule] for rule in sorted(lacking)}
    return {
        "queries": len(prompts),
        "right": int(right),
        "tokens": tokens,
        "from_data": distance / len(prompts),
        "missing": missing,
    }


def _distance(data: Mapping[str, int], shown: Mapping[str, int]) -> float:
    """Return the total variation between the rules of the data and those of a prompt."""
    all_data, all_shown = sum(data.values()), sum(shown.values())
    return sum(abs(n / all_data - shown.get(rule, 0) / all_shown) for rule, n in data.items()) / 2


def report(size: Size, outcomes: Sequence[Outcome]) -> Report:
    """Return means over trials, their intervals, and what follows."""
    name = api.load(size.machine).name
    rows = list(_rows(outcomes))
    even = _of(rows, UNIFORM)
    off = max(
        abs(row["right"] - (row["predicted_low"] + row["predicted_high"]) / 2) for row in even
    )
    missed = list(_missed(outcomes))
    enough = {
        (choice, level): reach(_of(rows, choice), "right", level, rising=True)
        for choice in CHOICES
        for level in LEVELS
    }
    return Report(
        part="machine",
        title=f"steps of {name}, as examples for a held-out input",
        settings=asdict(size) | {"machine": name},
        tables={"machine": rows, "machine-missed": missed},
        figures={
            f"tokens for {level:.0%} right, {choice}": found.tokens
            for (choice, level), found in enough.items()
        }
        | {"right runs less those predicted by coverage, even draws, at the most": off},
        readings=(
            *(_fewer(enough, once, level) for once in ("", ONCE) for level in LEVELS),
            _biased(rows),
            _misses(rows, missed),
        ),
        prompts=sum(outcome["prompts"] for outcome in outcomes),
        tokens=sum(outcome["tokens"] for outcome in outcomes),
        counted=sum(row["queries"] for outcome in outcomes for row in outcome["rows"]),
        unequal=sum(outcome["unequal"] for outcome in outcomes),
    )


def _rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield means over trials, for each choice up to the number that puts all of it in."""
    before: dict[str, Any] = {}
    for place in range(len(outcomes[0]["rows"])):
        row = _row(place, outcomes)
        same = [row[name] == before.get(name) for name in ("choice", "tokens")]
        if not all(same):
            yield row
        before = row


def _row(place: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    each = [outcome["rows"][place] for outcome in outcomes]
    choice, count = each[0]["choice"], each[0]["examples"]
    queries = sum(found["queries"] for found in each)
    row = {
        "choice": choice,
        "examples": count,
        "trials": len(each),
        "tokens": sum(found["tokens"] for found in each) / queries,
        **interval("right", [found["right"] / found["queries"] for found in each]),
        **interval("from_data", [found["from_data"] for found in each]),
    }
    for end, name in enumerate(("predicted_low", "predicted_high")):
        known = [outcome["coverage"][str(count)][end] for outcome in outcomes]
        row[name] = sum(known) / len(known) if choice == UNIFORM else None
    return row


def _missed(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield how often each rule was needed and not shown, most often first."""
    data: Counter[str] = Counter()
    for outcome in outcomes:
        data.update(outcome["data"])
    for place, first in enumerate(outcomes[0]["rows"]):
        lacking: Counter[str] = Counter()
        for outcome in outcomes:
            lacking.update(outcome["rows"][place]["missing"])
        queries = sum(outcome["rows"][place]["queries"] for outcome in outcomes)
        for rule, count in lacking.most_common():
            yield {
                "choice": first["choice"],
                "examples": first["examples"],
                "rule": rule,
                "share_of_data": data[rule] / data.total(),
                "runs": queries,
                "missed": count,
            }


def _of(rows: Sequence[Mapping[str, Any]], choice: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["choice"] == choice]


def _fewer(enough: Mapping[tuple[str, float], Reach], once: str, level: float) -> Reading:
    """Return whether retrieval takes fewer tokens than an even draw."""
    near, even = enough[NEAREST + once, level], enough[UNIFORM + once, level]
    how = "each rule once" if once else "rules as they come"
    return fewer_tokens(f"{how}: {level:.0%} of runs right", near, even)


def _biased(rows: Sequence[Mapping[str, Any]]) -> Reading:
    """Return whether rules among the nearest are further from the data than even draws are."""
    drawn = {row["examples"]: row for row in _of(rows, UNIFORM)}
    # where the runs have few steps, the nearest are all in the prompt before the greatest size
    pairs = [
        (row, drawn[row["examples"]]) for row in _of(rows, NEAREST) if row["examples"] in drawn
    ]
    apart = [pair for pair in pairs if pair[0]["from_data_low"] > pair[1]["from_data_high"]]
    near, even = max(
        apart or pairs, key=lambda pair: float(pair[0]["from_data"] - pair[1]["from_data"])
    )
    return Reading(
        "retrieval is biased: the rules of the nearest runs are not those of the data",
        HOLDS if apart else FALSE,
        f"total variation from the data's rules with {near['examples']} examples: "
        f"{near['from_data']:.3f} nearest, {even['from_data']:.3f} even, which is chance alone",
    )


def _misses(rows: Sequence[Mapping[str, Any]], missed: Sequence[Mapping[str, Any]]) -> Reading:
    """Return whether nearness hides a rule: needed, and missed more often than in even draws.

    Only numbers of examples are looked at with which retrieval makes half of the runs right.
    """
    enough = {row["examples"] for row in _of(rows, NEAREST) if row["right"] >= 0.5}
    even = {(row["examples"], row["rule"]): row["missed"] for row in _of(missed, UNIFORM)}
    hidden = []
    for row in _of(missed, NEAREST):
        other = even.get((row["examples"], row["rule"]), 0)
        clear = wilson(row["missed"], row["runs"])[0] > wilson(other, row["runs"])[1]
        if row["examples"] in enough and clear:
            hidden.append((row["missed"] - other, row, other))
    sense = "retrieval hides rules: some that is needed is missed more often than in even draws"
    if not hidden:
        return Reading(sense, FALSE, "none, where the nearest make half of the runs right")
    _, row, other = max(hidden, key=lambda found: found[0])
    shown = (
        f"with {row['examples']} examples {row['rule']!r}, {row['share_of_data']:.1%} of the data, "
        f"is missed by {row['missed']} of {row['runs']} runs, in even draws by {other}"
    )
    return Reading(sense, HOLDS, shown)
