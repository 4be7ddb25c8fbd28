"""Codebooks against slow, obvious references: which codes, what they add up to, and what every gradient is."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from workbench.core import Codes, CodeTweak, ConfigError, Site
from workbench.dictionaries import Codebook, CodebookConfig, Scale

SITE = Site("mlp_out", 2)


def build(d: int = 12, seed: int = 0, dtype: torch.dtype = torch.float64, **settings) -> Codebook:
    config = CodebookConfig.parse({"codes": 10, "k": 3, "groups": 2, **settings})
    made = Codebook(config, {SITE: d}, {SITE: d}, "test/one").to(dtype)
    made.randomise_(seed)
    if made.norm_weight is not None and made.norm_bias is not None:
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            made.norm_weight.copy_(1 + 0.3 * torch.randn(d, generator=draw))
            made.norm_bias.copy_(0.3 * torch.randn(d, generator=draw))
    return made


def rows_of(n: int = 20, d: int = 12, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) + 0.5


def by_hand(book: Codebook, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """LN(x), the numbers of the codes and their mean or sum, row by row and group by group in plain loops."""
    config, size = book.config, book.book.shape[1]
    normed, index, out = torch.zeros_like(x), [], torch.zeros_like(x)
    for i, row in enumerate(x):
        for g in range(config.groups):
            part = slice(g * size, (g + 1) * size)
            z = row[part]
            if book.norm_weight is not None and book.norm_bias is not None:
                z = (z - z.mean()) / (z.var(unbiased=False) + 1e-5).sqrt() * book.norm_weight[part]
                z = z + book.norm_bias[part]
            codes = book.book[g * config.codes : (g + 1) * config.codes]
            near = []
            for code in codes:
                if config.similarity == "euclidean":
                    near.append(-float((z - code).norm()))
                elif config.similarity == "raw-dot":
                    near.append(float(z @ code))
                else:
                    near.append(float(z @ code / code.norm()))
            order = sorted(range(len(codes)), key=lambda c: -near[c])[: config.k]
            index.append([g * config.codes + c for c in order])
            total = sum(codes[c] for c in order)
            normed[i, part], out[i, part] = z, total / config.k if config.pool == "mean" else total
    return normed, torch.tensor(index).reshape(len(x), -1), out


@given(
    groups=st.sampled_from([1, 2, 3]),
    k=st.integers(1, 4),
    similarity=st.sampled_from(["dot", "cosine", "euclidean", "raw-dot"]),
    pool=st.sampled_from(["mean", "sum"]),
    layer_norm=st.booleans(),
    seed=st.integers(0, 50),
)
@settings(max_examples=25, deadline=None)
def test_codes_and_sums_are_those_of_the_loops(groups, k, similarity, pool, layer_norm, seed):
    book = build(seed=seed, groups=groups, k=k, similarity=similarity, pool=pool, layer_norm=layer_norm)
    x = rows_of(6, seed=seed + 1)
    with torch.no_grad():
        normed, index, out = by_hand(book, x)
        codes = book.encode({SITE: x})
        torch.testing.assert_close(book.normalised(x), normed)
        assert torch.equal(codes.index, index)
        assert (codes.value == (1 / k if pool == "mean" else 1)).all()
        torch.testing.assert_close(book({SITE: x})[SITE], out)


def test_many_codes_in_single_precision_take_the_kernels():
    book = build(64, groups=4, codes=400, k=2, dtype=torch.float32)
    x = rows_of(30, 64, dtype=torch.float32)
    with torch.no_grad():
        _, index, out = by_hand(book, x)
        assert torch.equal(book.encode({SITE: x}).index, index)
        torch.testing.assert_close(book({SITE: x})[SITE], out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["autoencoding", "base", "vqvae", "autoencoding-commitment"])
@pytest.mark.parametrize("pool", ["mean", "sum"])
def test_gradients_of_every_objective(objective, pool):
    """Against the same thing written with autograd alone: out = z + (chosen - z).detach() and explicit terms."""
    book = build(objective=objective, pool=pool, weight=0.7, commitment=0.4)
    assert book.norm_weight is not None
    assert book.norm_bias is not None
    x, pull = rows_of(), rows_of(seed=9)
    x.requires_grad_()

    inputs = {SITE: x}
    codes = book.encode(inputs)
    extra = book.auxiliary_losses(inputs, codes)
    found_loss = (book.reconstruct_at(codes, inputs, SITE) * pull).sum() + extra["loss"]
    weights = [x, book.book, book.norm_weight, book.norm_bias]
    found = torch.autograd.grad(found_loss, weights, allow_unused=True, materialize_grads=True)

    z = torch.nn.functional.layer_norm(x.reshape(-1, 2, 6), (6,)).reshape(-1, 12) * book.norm_weight + book.norm_bias
    picked = torch.stack([book.book[codes.index[:, :3]].sum(1), book.book[codes.index[:, 3:]].sum(1)], 1)
    chosen = picked.flatten(1) / (3 if pool == "mean" else 1)
    error = (chosen - z.detach()).square().sum() / len(x)
    commitment = (z - chosen.detach()).square().sum() / len(x)
    out = z - z.detach() + (chosen.detach() if objective == "vqvae" else chosen)
    added = {
        "base": 0 * error,
        "autoencoding": error,
        "vqvae": error + 0.4 * commitment,
        "autoencoding-commitment": error + 0.4 * commitment,
    }[objective]
    wanted_loss = (out * pull).sum() + 0.7 * added
    wanted = torch.autograd.grad(wanted_loss, weights, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(found_loss, wanted_loss)
    torch.testing.assert_close(extra["mse"], error.detach())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_layer_norm_the_gradient_passes_unchanged():
    book = build(layer_norm=False)
    x, pull = rows_of().requires_grad_(), rows_of(seed=9)
    codes = book.encode({SITE: x})
    (found,) = torch.autograd.grad((book.reconstruct_at(codes, {SITE: x}, SITE) * pull).sum(), x)
    assert torch.equal(found, pull)


def test_scaling_the_loss_keeps_the_ratio_of_its_parts():
    """As gradient accumulation and loss scaling want it: everything grows alike."""
    book = build()

    def gradient(scale: float) -> Tensor:
        inputs = {SITE: rows_of().requires_grad_()}
        codes = book.encode(inputs)
        loss = book.reconstruct_at(codes, inputs, SITE).sum() + book.auxiliary_losses(inputs, codes)["loss"]
        return torch.autograd.grad(scale * loss, book.book)[0]

    torch.testing.assert_close(gradient(8.0), 8 * gradient(1.0))


def test_two_codebooks_keep_their_own_objectives():
    first, second = build(objective="base"), build(objective="autoencoding")
    inputs = {SITE: rows_of().requires_grad_()}
    losses = [book.auxiliary_losses(inputs, book.encode(inputs))["loss"] for book in (first, second)]
    assert losses[0] == 0
    assert losses[1] > 0


def test_nothing_is_reported_or_counted_without_gradients():
    book = build()
    inputs = {SITE: rows_of()}
    with torch.no_grad():
        codes = book.encode(inputs)
        assert book.auxiliary_losses(inputs, codes) == {}
    assert book.rows_since_fired.sum() == 0


def test_codes_in_any_order_add_up_alike():
    book = build(groups=3)
    with torch.no_grad():
        codes = book.encode({SITE: rows_of()})
        order = torch.randperm(codes.k, generator=torch.Generator().manual_seed(0))
        mixed = Codes(codes.index[:, order], codes.value[:, order], codes.width)
        torch.testing.assert_close(book.decode(mixed)[SITE], book.decode(codes)[SITE])
        dense = codes.dense() @ book.writers(torch.arange(codes.width))[SITE]
        torch.testing.assert_close(book.decode(codes)[SITE], dense)


def test_a_tweak_takes_a_code_out_and_the_divisor_stays():
    book = build()
    x = rows_of(1)
    with torch.no_grad():
        codes = book.encode({SITE: x})
        gone = int(codes.index[0, 0])
        found = book.reconstruct_at(CodeTweak((gone,))(codes), {SITE: x}, SITE)
        wanted = book({SITE: x})[SITE] - book.writers(torch.tensor([gone]))[SITE] / 3
    torch.testing.assert_close(found, wanted)


def test_a_code_switched_off_is_replaced_by_the_next():
    book = build()
    x = rows_of(50)
    with torch.no_grad():
        near = book.pre_activations({SITE: x})
        gone = book.encode({SITE: x}).index[0, :1]
        book.switch_off_(gone)
        found = book.encode({SITE: x}).index
        assert not bool((found == gone).any())
        near[:, gone] = -torch.inf
        wanted = near.unflatten(1, (2, 10)).topk(3, dim=2).indices + torch.tensor([[0], [10]])
        assert torch.equal(found, wanted.flatten(1))
        with pytest.raises(ConfigError, match="fewer than k"):
            book.switch_off_(torch.arange(8))
        book.switch_on_()
        assert bool((book.encode({SITE: x}).index == gone).any())


def test_k_means_copies_the_centres_of_every_group():
    """Rows from known clusters, others in each slice: every centre is found by some code."""
    draw = torch.Generator().manual_seed(3)
    centres = 5 * torch.randn(2, 10, 6, generator=draw)
    choice = torch.randint(10, (4000, 2), generator=draw)
    rows = torch.cat([centres[g][choice[:, g]] for g in range(2)], 1)
    rows = rows + 0.01 * torch.randn(rows.shape, generator=draw)
    book = build(layer_norm=False, k=1, initial="k-means", similarity="euclidean", dtype=torch.float32)
    before = book.book.detach().clone()
    book.initialise({SITE: rows}, 0)
    for g in range(2):
        own = book.book[g * 10 : (g + 1) * 10]
        assert not torch.equal(own, before[g * 10 : (g + 1) * 10])
        distance = torch.cdist(own, centres[g]).min(1).values
        # Lloyd's algorithm may put two codes into one cluster and one between two others.
        assert float(distance.detach().median()) < 0.05
    with torch.no_grad():
        assert float(book.loss({SITE: rows})["fvu"]) < 0.06


def test_codes_of_a_model_start_where_the_layer_norm_is():
    book = build(initial="rows", codes=5, k=1, dtype=torch.float32)
    rows = rows_of(200, dtype=torch.float32)
    book.initialise_in_model(rows, 0)
    normed = book.normalised(rows).detach()
    for g in range(2):
        near = torch.cdist(book.book[g * 5 : (g + 1) * 5], normed[:, g * 6 : (g + 1) * 6]).min(1).values
        assert float(near.max()) < 1e-3


def test_dead_codes_become_rows_of_their_own_group():
    book = build(replace_dead_after=40, replacement_noise=0.0, k=1, dtype=torch.float32)
    rows = rows_of(25, dtype=torch.float32)
    with torch.no_grad():
        used = torch.zeros(20, dtype=torch.bool)
        used[book.encode({SITE: rows}).index] = True
    before = book.book.detach().clone()
    for step in range(2):
        inputs = {SITE: rows.clone().requires_grad_()}
        book.auxiliary_losses(inputs, book.encode(inputs))
        book.after_step()
        if step == 0:
            assert torch.equal(book.book, before), "25 rows are fewer than 40"
    dead = ~used
    assert dead.any()
    assert torch.equal(book.book[used], before[used])
    normed = book.normalised(rows).detach()
    for code in dead.nonzero().flatten().tolist():
        own = normed[:, :6] if code < 10 else normed[:, 6:]
        assert (own == book.book[code]).all(1).any()
    assert int(book.replaced) == int(dead.sum())
    assert (book.rows_since_fired[dead] == 0).all()


def test_use_is_counted_in_rows_not_in_batches():
    book = build(k=1)
    inputs = {SITE: rows_of(7).requires_grad_()}
    for _ in range(2):
        codes = book.encode(inputs)
        book.auxiliary_losses(inputs, codes)
    used = torch.zeros(20, dtype=torch.bool)
    used[codes.index] = True
    assert (book.rows_since_fired[~used] == 14).all()
    assert (book.rows_since_fired[used] == 0).all()


def test_k_falls_while_gradients_are_wanted():
    book = build(k=2, k_start=4, k_power=2.0)
    ks = []
    for share in (0.0, 0.5, 1.0):
        book.before_step(share)
        ks.append(book.encode({SITE: rows_of()}).k // 2)
    assert ks == [8, 2 + round(6 * 0.25), 2]
    book.before_step(0.0)
    with torch.no_grad():
        assert book.encode({SITE: rows_of()}).k == 4


def test_the_layer_norm_is_in_a_group_of_the_optimiser():
    book = build()
    roles = {group["role"]: len(group["params"]) for group in book.parameter_groups()}
    assert roles == {"codes": 1, "norm": 2}
    assert {group["role"] for group in build(layer_norm=False).parameter_groups()} == {"codes"}


@pytest.mark.parametrize("similarity", ["dot", "cosine", "euclidean", "raw-dot"])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_units_of_training_change_nothing(similarity, layer_norm):
    book = build(similarity=similarity, layer_norm=layer_norm)
    raw = rows_of(40) * 17 + 3
    scale = Scale.of(raw)
    scaled = scale.apply_(raw.clone())
    with torch.no_grad():
        wanted, index = book({SITE: scaled})[SITE], book.encode({SITE: scaled}).index
    book.rescale_({SITE: scale})
    assert torch.equal(book.encode({SITE: raw}).index, index)
    x = raw.clone().requires_grad_()
    out = book.reconstruct_at(book.encode({SITE: x}), {SITE: x}, SITE)
    torch.testing.assert_close((out - scale.mean) * scale.factor, wanted)
    if not layer_norm:
        torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], torch.ones_like(x))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="more than the 10 codes"):
        CodebookConfig.parse({"codes": 10, "k": 11})
    with pytest.raises(ConfigError, match="do not divide"):
        build(groups=5)
    with pytest.raises(ConfigError, match="reads and writes one site"):
        Codebook(CodebookConfig(), {SITE: 4}, {Site("mlp_out", 3): 4})
    with pytest.raises(ConfigError, match="language model only"):
        build(objective="base").loss({SITE: rows_of()})
    assert build().readers(build().encode({SITE: rows_of()})) is None
