"""Data to fine-tune on, and the command `tm2tf learn sft-on-tape`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tm2tf.cli import group
from tm2tf.learning import sft
from tm2tf.learning.gradient import fine_tune, predict
from tm2tf.learning.labelled import random_data
from tm2tf.learning.references import majority_labels
from tm2tf.learning.reviews import review_data, reviews, telling_words, words_of

# --- data


def test_random_data_is_what_it_says():
    data = random_data(4, 200, 100, largest=2, flip=0.25, seed=0)
    assert np.abs(data.features).max() == 2
    clean = random_data(4, 200, 100, largest=2, flip=0.0, seed=0)
    assert np.array_equal(data.features, clean.features)
    assert np.array_equal(data.truth, clean.truth)
    assert 20 < (data.labels != clean.labels).sum() < 80
    assert set(data.labels.tolist()) == {-1, 1}


def test_reviews():
    texts = [text for _, text in reviews()]
    assert len(texts) >= 220
    assert len(set(texts)) == len(texts)
    assert sum(label for label, _ in reviews()) == 0
    assert words_of("It's not a Café!") == ("it", "s", "not", "a", "café")


def test_words_come_from_the_training_part_alone():
    texts = ((1, "a good film"), (1, "a good book"), (-1, "a bad film"), (-1, "A dull tale"))
    assert telling_words(texts, 9) == ("good", "bad", "book", "dull", "tale")
    assert telling_words(texts, 2) == ("good", "bad")
    data = review_data(100, 50, words=20, largest=1, flip=0.0, seed=0)
    seen = {w for text in _drawn(100, 0) for w in words_of(text)}
    assert set(data.names) <= seen
    assert data.features.max() == 1


def _drawn(count, seed):
    order = np.random.default_rng([seed, 2]).permutation(len(reviews()))[:count]
    return [reviews()[number][1] for number in order]


def test_reviews_teach_more_than_the_majority():
    """A perceptron on words is better than the majority label, on average over splits."""
    better = []
    for seed in range(6):
        data = review_data(120, 50, words=16, largest=1, flip=0.0, seed=seed)
        trained = fine_tune(data.features, data.labels, epochs=3)
        right = np.mean(np.array(predict(trained.final, data.queries)) == data.truth)
        guess = np.array(majority_labels(data.features, data.labels, data.queries))
        better.append(right - np.mean(guess == data.truth))
    assert np.mean(better) > 0.1


# --- the command line


def tm2tf(*words):
    runner = CliRunner(catch_exceptions=False)
    return runner.invoke(group, ["learn", "sft-on-tape", *words], prog_name="tm2tf")


def test_command(tmp_path):
    small = ("--features", "1", "--examples", "4", "--epochs", "2", "--queries", "3")
    result = tm2tf(*small, "--controls", "2", "--json", "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["weights_equal"] is True
    assert report["answers_equal"] == report["queries"] == 3
    assert report["steps"] == report["steps_verified"] > 0
    assert report["negative_control"]["starts"]["reproduced"] == 2
    assert len(report["weights_sha256"]) == 64
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [
        "answers.csv", "sft-on-tape.json", "sft-on-tape.png", "sft-on-tape.svg", "weights.csv",
    ]  # fmt: skip
    table = tm2tf(*small, "--controls", "0").stdout
    assert "3 of 3 equal" in table
    assert "after every one of" in table


def test_command_fails_where_weights_differ(monkeypatch):
    monkeypatch.setattr(sft, "first_difference", lambda got, expected: 2)
    words = ("--features", "2", "--examples", "3", "--queries", "2", "--epochs", "1")
    result = tm2tf(*words, "--controls", "0")
    assert result.exit_code == 1
    assert "DIFFER from torch's, first after update 2" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--features", "0"),
        ("--examples", "0"),
        ("--epochs", "0"),
        ("--learner", "oracle"),
        ("--margin", "3"),
        ("--margin", "-1", "--learner", "margin"),
        ("--text", "--features", "4"),
        ("--words", "4"),
        ("--flip", "2"),
        ("--text", "--examples", "300"),
        ("--largest", "0"),
    ],
)
def test_bad_options(words):
    result = tm2tf(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "rror: " in result.stderr


@pytest.mark.slow
def test_what_must_be_shown():
    words = "--features 8 --examples 40 --epochs 3 --queries 50 --json"
    report = json.loads(tm2tf(*words.split()).stdout)
    assert report["weights_equal"]
    assert report["updates"] == sum(report["mistakes_per_epoch"])
    assert report["answers_equal"] == 50
    assert report["agrees"]


@pytest.mark.slow
def test_reviews_on_the_tape():
    words = "--text --examples 40 --queries 10 --words 8 --controls 0 --json"
    report = json.loads(tm2tf(*words.split()).stdout)
    assert report["agrees"]
    assert report["answers_equal"] == 10
