"""Targets against counting by hand, the loss against plain autograd, training that resumes, and planted truth."""

from itertools import pairwise

import pytest
import torch
from models.families import build_hooked, random_ids

from workbench.core import generator
from workbench.models import TokenBatch, load_model
from workbench.subnetworks import (
    CorpusBigrams,
    FullAnswer,
    MaskConfig,
    MaskLearner,
    Masks,
    OwnBigrams,
    Wanted,
    search_planted,
    soft_cross_entropy,
    spiked,
    train_masks,
    trained_positions,
)
from workbench.subnetworks.planted import random_text


class Stop:
    """Cancels after so many records."""

    def __init__(self, after):
        self.left = after

    def phase(self, name, total=None, unit=""): ...

    def advance(self, amount=1): ...

    def partial(self, value):
        self.left -= 1

    def cancelled(self):
        return self.left <= 0


@pytest.fixture(scope="module")
def planted():
    return load_model("planted-bigram")


@pytest.mark.parametrize("discount", [0.0, 0.75])
def test_corpus_bigrams_are_counts_backed_off(planted, discount):
    text = random_text(planted, 0)
    found = CorpusBigrams(text, 24, discount)
    pairs = torch.zeros(24, 24)
    for row in text.ids.long().tolist():
        for current, following in pairwise(row):
            pairs[current, following] += 1
    tokens = torch.arange(24)
    assert torch.equal(found.counts(tokens), pairs)
    probs = found.probs(tokens)
    assert torch.allclose(probs.sum(1), torch.ones(24), atol=1e-5)
    singles = pairs.sum(0) + 1
    share = discount * (pairs[5] > 0).sum() / pairs[5].sum()
    wanted = (pairs[5] - discount).clamp_min(0) / pairs[5].sum() + share * singles / singles.sum()
    assert torch.allclose(probs[5], wanted, atol=1e-6)
    current, following = torch.tensor([5, 3, 5]), torch.tensor([1, 0, 2])
    surprisal = found.surprisal(current, following)
    assert torch.allclose(surprisal, -probs[current, following].log())
    assert surprisal[1].isinf() == (discount == 0)
    assert torch.equal(found.first(current), probs[current].argmax(1))


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "llama"])
def test_own_bigrams_are_the_answer_to_the_token_alone(family):
    model, _ = build_hooked(family)
    tokens = torch.tensor([7, 3, 7, 20])
    found = OwnBigrams(model).logits(tokens)
    with torch.no_grad():
        for row, token in zip(found, tokens.tolist(), strict=True):
            alone = model.run(torch.tensor([[model.tokenizer.bos_id, token]])).logits[0, -1]
            assert torch.allclose(row, alone, atol=1e-4)


def test_the_full_answer_is_the_models_own():
    model, _ = build_hooked("llama")
    batch = TokenBatch(random_ids(), torch.tensor([9, 6]))
    where = trained_positions(batch, model.policy, 1)
    assert where.sum() == 8 + 5
    wanted = FullAnswer(model).wanted(batch, where)
    logits = model.run(batch).logits[where].detach()
    assert torch.allclose(wanted.probs[wanted.index], torch.softmax(logits, 1))


def test_soft_cross_entropy_against_autograd():
    draw = generator(0, "logits")
    logits = torch.randn(11, 7, generator=draw, requires_grad=True)
    wanted = Wanted(torch.softmax(torch.randn(3, 7, generator=draw), 1), torch.randint(3, (11,), generator=draw))
    loss = soft_cross_entropy(logits, wanted)
    plain = -(wanted.probs[wanted.index] * torch.log_softmax(logits, 1)).sum(1).mean()
    assert torch.allclose(loss, plain)
    (found,) = torch.autograd.grad(3 * loss, logits)
    assert torch.allclose(found, torch.autograd.grad(3 * plain, logits)[0], atol=1e-6)


def test_training_that_was_cut_short_goes_on_exactly(planted, tmp_path):
    text, config = random_text(planted, 0), MaskConfig(steps=12, chunk_steps=2, batch_sequences=8, settled=0, lr=0.05)
    target = OwnBigrams(planted)
    whole = train_masks(planted, target, text, tmp_path / "whole", config)
    cut = train_masks(planted, target, text, tmp_path / "cut", config, progress=Stop(3))
    assert cut.partial
    assert len(cut.records) == 3
    on = train_masks(planted, target, text, tmp_path / "cut", config)
    assert not on.partial
    assert len(on.records) == 6
    for (name, first), (_, second) in zip(whole.masks.named_logits(), on.masks.named_logits(), strict=True):
        assert torch.equal(first, second), name
    assert on.records[-1]["loss"] < on.records[0]["loss"]


def test_the_planted_table_is_found(tmp_path):
    found = search_planted(tmp_path)
    assert found.auroc >= 0.98
    assert found.kept < 0.05 < 0.9 < found.found
    assert found.trained.records[-1]["divergence"] < 0.01
    assert found.trained.subnetwork.share < 0.01  # entries that are 0 anyway are dropped


def test_the_learning_rate_falls_over_the_cooldown_alone(planted):
    config = MaskConfig(steps=11, lr=0.1, cooldown=0.5, cooled=0.01)
    learner = MaskLearner("cooled", Masks(planted), OwnBigrams(planted), config)
    rates = [learner.lr(step) for step in range(11)]
    assert rates[:6] == [0.1] * 6
    assert rates[6:] == pytest.approx([0.1 * 0.01 ** (n / 5) for n in range(1, 6)])
    warm = MaskLearner("warm", Masks(planted), OwnBigrams(planted), MaskConfig(steps=11, lr=0.1))
    assert {warm.lr(step) for step in range(11)} == {0.1}
    learner.step = 10
    learner.optimise(TokenBatch(torch.tensor([[1, 2, 3]]), torch.tensor([3])))
    moved = max(float(logits.detach().abs().max()) for logits in learner.module.parameters())
    assert moved == pytest.approx(0.001, rel=1e-3)


def test_spikes_are_seen():
    smooth = [5 - 0.01 * n for n in range(60)]
    assert not spiked(smooth)
    assert spiked([*smooth, 6.0])
    back = [*smooth[:20], 6.5, 6.0, *smooth[20:]]
    assert not spiked(back)
    assert spiked([*smooth[:20], *[6.5] * 40])
