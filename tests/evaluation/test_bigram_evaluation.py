"""Measures of subnetworks against plain numpy, and rotations against a turn that is known."""

import math

import numpy as np
import pytest
import torch

from workbench.core import generator
from workbench.evaluation import BigramEvalConfig, answers, compare, covariance_similarity, examples, find_positions
from workbench.evaluation.bigram import frequency_bands
from workbench.evaluation.bootstrap import correlation
from workbench.evaluation.rotation import ridge_map, rotation, rotations
from workbench.models import load_model
from workbench.subnetworks import CorpusBigrams
from workbench.subnetworks.planted import random_text

CONFIG = BigramEvalConfig(batch_sequences=16, bootstrap=200)


@pytest.fixture(scope="module")
def subject():
    model = load_model("planted-bigram")
    text = random_text(model, 1)
    text = text.take(torch.arange(40))
    text.lengths[3] = 9
    return model, text, CorpusBigrams(text, 24)


def test_correlation_is_pearsons_over_rows():
    draw = np.random.default_rng(0)
    x, document = draw.normal(size=300), draw.integers(0, 20, 300)
    y = 0.7 * x + draw.normal(size=300)
    found = correlation(x, y, document, CONFIG)
    assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.low < found.value < found.high
    perfect = correlation(x, 3 - 2 * x, document, CONFIG)
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((-1, -1, -1))


def test_bands_hold_equally_many_positions_of_ever_rarer_tokens():
    tokens = torch.tensor([5] * 30 + [2] * 20 + list(range(6, 16)) * 2 + [1] * 20)
    found = frequency_bands(tokens, 3)
    assert set(found[:30]) == {0}
    assert set(found[tokens.numpy() > 5]) == {2}
    counts = np.bincount(found)
    assert counts.sum() == len(tokens)
    assert counts.min() >= 20


def test_answers_are_what_the_model_says(subject):
    model, text, target = subject
    positions, said = find_positions(model, target, text, CONFIG), answers(model, target, text, CONFIG)
    assert len(positions.current) == 39 * 14 + 7
    where = 200
    row, column = positions.place[where].tolist()
    logits = torch.log_softmax(model.run(text.ids[row : row + 1].long()).logits[0, column], 0)
    assert int(positions.current[where]) == int(text.ids[row, column])
    assert said.surprisal[where] == pytest.approx(-float(logits[text.ids[row, column + 1]]), rel=1e-5)
    bigram = target.probs(positions.current[where : where + 1])[0]
    assert said.divergence[where] == pytest.approx(float((bigram * (bigram.log() - logits)).sum()), rel=1e-4)
    found = compare(positions, said, CONFIG)
    assert found["loss"] == pytest.approx(said.surprisal.mean())
    assert found["loss_low"] < found["loss"] < found["loss_high"]
    assert found["r"] == pytest.approx(np.corrcoef(positions.surprisal, said.surprisal)[0, 1])
    rows = examples(model, text, positions, said, said, 3)
    gains = [row["bigram"] - row["model"] for row in rows if row["kind"] == "not explained"]
    assert gains == sorted(gains, reverse=True)


def test_a_known_turn_is_measured():
    draw = generator(0, "turn")
    x = torch.randn(500, 6, generator=draw, dtype=torch.float64)
    angle = math.radians(30)
    block = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    turn = torch.block_diag(block, block, block)
    assert rotation(ridge_map(x, x @ turn, 1e-6)) == pytest.approx(30, abs=0.01)
    assert rotation(turn @ turn) == pytest.approx(60)
    rows = rotations([x, x @ turn, x @ turn @ turn], 1e-6)
    assert [round(row["to_input"]) for row in rows] == [0, 30, 60]
    assert [round(row["to_output"]) for row in rows] == [60, 30, 0]
    assert [row["layer"] for row in rotations([x] * 12, 1e-6, every=4)] == [0, 1, 2, 3, 4, 8, 11]
    similar = covariance_similarity([x, x * 3, x @ torch.randn(6, 6, generator=draw, dtype=torch.float64)])
    assert np.allclose(np.diag(similar), 1)
    assert similar[0, 1] == pytest.approx(1)
    assert similar[0, 2] < 0.999
