"""Cached generation against full forward passes, with and without edits."""

import pytest
import torch

from workbench.core import ConfigError, Edit, Silent, Site, SiteError, TextError
from workbench.models import Sampling, TokenBatch

from .codecs import linear_codec
from .families import FAMILIES, build_hooked, random_ids

BATCH = TokenBatch(random_ids(3, 9), torch.tensor([9, 5, 7]))
NEW = 6
ENDLESS = Sampling(stop_at_eos=False)


def uncached(model, prompt, count, edits):
    """Greedy tokens by full forward passes, and the activations of the last one."""
    ids = prompt[None]
    for _ in range(count):
        run = model.run(TokenBatch(ids, torch.tensor([ids.shape[1]])), edits, sites=SITES)
        ids = torch.cat([ids, run.logits[:, -1:].argmax(-1)], 1)
    return ids[0], {site: x[0] for site, x in run.activations.items()}


SITES = (Site("resid_post", 0), Site("attn_z", 1), Site("resid_post", 1))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return build_hooked(request.param, torch.float64)[0]


@pytest.mark.parametrize("position", [None, 3, 7, 10])
def test_cached_equals_uncached(model, position):
    """Position 3 is in every prompt, 7 in one, generated in others, 10 generated in all."""
    vector = 3 * torch.randn(model.shape.d_model, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    edits = [] if position is None else [Edit.add("mlp_out.0", vector, rows=(position,))]
    found = model.generate(BATCH, NEW, edits, ENDLESS, sites=SITES)
    assert found.lengths.tolist() == [15, 11, 13]
    for row in range(3):
        ids, activations = uncached(model, BATCH.row(row), NEW, edits)
        length = len(ids)
        assert found.ids[row, :length].tolist() == ids.tolist()
        for site in SITES:
            fed = found.activations[site][row, : length - 1]
            assert torch.allclose(fed, activations[site], atol=1e-6), site
            assert not found.activations[site][row, length:].any()


def test_an_edit_changes_its_own_position_first():
    model = build_hooked("llama", torch.float64)[0]
    vector = torch.ones(24, dtype=torch.float64)
    base = model.generate(BATCH, NEW, sampling=ENDLESS, sites=SITES)
    forced = [Edit.add("resid_post.0", vector, rows=(8,))]
    found = model.generate(BATCH, NEW, forced, ENDLESS, sites=SITES)
    site = SITES[0]
    for row in range(3):
        changed = (found.activations[site][row] - base.activations[site][row]).abs().amax(-1) > 1e-9
        same = [t for t in range(9) if bool((found.ids[row, : t + 1] == base.ids[row, : t + 1]).all())]
        assert [t for t in same if changed[t]] == [8]


@pytest.mark.parametrize("rows", ["prompt", "generated", "all"])
def test_prompt_and_generated_rows(rows):
    model = build_hooked("gpt2", torch.float64)[0]
    found = model.generate(BATCH, NEW, [Edit.set("mlp_out.1", 7.0, rows=rows)], ENDLESS, sites=["mlp_out.1"])
    values = found.activations[Site("mlp_out", 1)]
    for row, length in enumerate(BATCH.lengths.tolist()):
        is_set = (values[row] == 7).all(-1)[: length + NEW - 1]
        wanted = [rows == "all" or (t < length) == (rows == "prompt") for t in range(length + NEW - 1)]
        assert is_set.tolist() == wanted


def test_codecs_work_token_by_token():
    model = build_hooked("llama", torch.float64)[0]
    codec = linear_codec(["mlp_in.1"], ["mlp_out.1"], 24, 24)
    edits = [Edit.through(codec, rows="generated")]
    found = model.generate(BATCH.row(0), NEW, edits, ENDLESS, sites=["mlp_out.1"])
    ids = found.ids[:, :-1]
    mask = torch.arange(ids.shape[1]) >= 9
    full = model.run(ids, [Edit.through(codec, rows=mask)], sites=["mlp_out.1"])
    assert torch.allclose(full.activations[Site("mlp_out", 1)], found.activations[Site("mlp_out", 1)], atol=1e-8)


def test_generation_stops_at_the_end_of_text():
    model = build_hooked("llama", torch.float64)[0]
    push = torch.zeros(50, dtype=torch.float64)
    push[0] = 100.0
    found = model.generate(BATCH, NEW, [Edit.add("logits", push, rows=(7,))])
    assert found.lengths[1:].tolist() == [9, 9]
    assert found.ids[1, 8] == 0
    assert found.ids[2, 8] == 0
    assert int(found.lengths[0]) == 15
    assert found.prompt_lengths.tolist() == [9, 5, 7]
    assert [len(text) for text in found.text] == [6, 4, 2]


def test_sampling_is_seeded_row_by_row():
    model = build_hooked("llama")[0]
    hot = Sampling(temperature=2.0, stop_at_eos=False)
    first, again = model.generate(BATCH, 8, sampling=hot, seed=3), model.generate(BATCH, 8, sampling=hot, seed=3)
    assert torch.equal(first.ids, again.ids)
    assert not torch.equal(first.ids, model.generate(BATCH, 8, sampling=hot, seed=4).ids)
    alone = model.generate(BATCH.row(0), 8, sampling=hot, seed=3)
    assert torch.equal(alone.ids[0], first.ids[0])
    greedy = model.generate(BATCH, 8, sampling=ENDLESS)
    narrow = (
        Sampling(temperature=1.0, stop_at_eos=False, top_k=1),
        Sampling(temperature=1.0, stop_at_eos=False, top_p=1e-6),
    )
    for sampling in narrow:
        sampled = model.generate(BATCH, 8, sampling=sampling, seed=1)
        assert torch.equal(sampled.ids, greedy.ids)
    with pytest.raises(ConfigError, match="temperature"):
        Sampling.parse({"temperature": -1})


def test_top_k_and_top_p_keep_the_likeliest():
    from workbench.models.generate import choose

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(400, -1)
    sources = [torch.Generator().manual_seed(seed) for seed in range(400)]
    assert set(choose(logits, Sampling(temperature=3.0, top_k=2), sources).tolist()) == {0, 1}
    assert set(choose(logits, Sampling(temperature=1.0, top_p=0.7), sources).tolist()) == {0, 1}
    counts = choose(logits, Sampling(temperature=1.0), sources).bincount(minlength=4) / 400
    assert torch.allclose(counts, logits[0].softmax(-1), atol=0.08)


def test_a_cancelled_generation_returns_what_exists():
    class Cancelling(Silent):
        def __init__(self):
            self.steps, self.seen = 0, []

        def advance(self, amount=1):
            self.steps += 1

        def partial(self, value):
            self.seen.append(value)

        def cancelled(self):
            return self.steps == 2

    model, progress = build_hooked("llama")[0], Cancelling()
    found = model.generate(BATCH, NEW, sampling=ENDLESS, progress=progress)
    assert found.partial
    assert found.lengths.tolist() == [11, 7, 9]
    assert [len(text) for text in progress.seen[-1]] == [2, 2, 2]
    whole = model.generate(BATCH, NEW, sampling=ENDLESS)
    assert not whole.partial
    assert torch.equal(whole.ids[0, :11], found.ids[0, :11])


def test_clear_errors():
    model = build_hooked("llama")[0]
    with pytest.raises(TextError, match=r"context of 64. found 9 \+ 60"):
        model.generate(BATCH, 60)
    with pytest.raises(SiteError, match="cannot be captured while generating"):
        model.generate(BATCH, 2, sites=["attn_pattern.0"])
