import pytest
import torch
from hypothesis import given, settings, strategies as st

from workbench.core import ConfigError, Site
from workbench.dictionaries import KeyValue, KeyValueConfig, learn_keys

READ, WRITE = Site("resid_post", 0), Site("logits")


def made(config: KeyValueConfig, d_in: int = 12, d_out: int = 3, rows: int = 200, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, d_in, generator=draw)
    bottleneck = KeyValue(config, {READ: d_in}, {WRITE: d_out})
    bottleneck.initialise({READ: x}, seed)
    with torch.no_grad():
        bottleneck.values.normal_(generator=draw)
        bottleneck.b_dec.normal_(generator=draw)
    return bottleneck, x


@settings(deadline=None, max_examples=15)
@given(
    heads=st.sampled_from([1, 2, 3, 4]),
    keys=st.integers(2, 9),
    k=st.integers(1, 2),
    projection=st.sampled_from(["random", "slices"]),
    pool=st.sampled_from(["mean", "sum"]),
)
def test_looks_up_as_a_slow_loop_does(heads, keys, k, projection, pool):
    config = KeyValueConfig(heads=heads, keys=keys, key_size=5, k=k, projection=projection, pool=pool, key_passes=2)
    bottleneck, x = made(config, rows=40)
    bottleneck.double()
    found = bottleneck({READ: x})[WRITE]
    for row, got in zip(x.double(), found, strict=True):
        total = torch.zeros(3, dtype=torch.float64)
        for head in range(heads):
            if projection == "slices":
                size = 12 // heads
                part = row[head * size : (head + 1) * size]
            else:
                part = bottleneck.projection.view(heads, 5, 12)[head] @ row
            distance = (bottleneck.keys[head] - part).norm(dim=1)
            for key in distance.argsort()[:k]:
                total += bottleneck.values[head * keys + key].detach()
        total = total / (heads * k) if pool == "mean" else total
        torch.testing.assert_close(got, total + bottleneck.b_dec)


def test_a_gradient_reaches_the_chosen_values_only():
    bottleneck, x = made(KeyValueConfig(heads=4, keys=16, key_size=3))
    part = x[:3]
    codes = bottleneck.encode({READ: part})
    torch.nn.functional.cross_entropy(bottleneck.decode(codes)[WRITE], torch.tensor([0, 1, 2])).backward()
    touched = bottleneck.values.grad.abs().sum(1) > 0
    assert touched.nonzero().flatten().tolist() == codes.index.unique().tolist()
    assert {name for name, _ in bottleneck.named_parameters()} == {"values", "b_dec"}, "keys and projections are frozen"


def test_keys_end_in_the_means_of_planted_clusters():
    """Four far clusters, four keys that start at one row of each in some order: they end in the clusters' means."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    label = torch.arange(800) % 4
    rows = (centres[label] + torch.randn(800, 2, generator=draw))[:, None]
    config = KeyValueConfig(heads=1, keys=4, key_size=2, decay=0.8, key_passes=40, key_batch=100)
    means = torch.stack([rows[label == cluster, 0].mean(0) for cluster in range(4)])
    ended = 0
    for seed in range(80):
        start = learn_keys(rows, config.model_copy(update={"key_passes": 0}), seed)[0]
        if len(torch.cdist(start, centres).argmin(1).unique()) < 4:
            continue
        near = torch.cdist(means, learn_keys(rows, config, seed)[0]).min(1)
        assert sorted(near.indices.tolist()) == [0, 1, 2, 3]
        assert near.values.max() < 0.25
        assert near.values.max() < 0.5 * torch.cdist(means, start).min(1).values.max()
        ended += 1
    assert ended


def test_one_step_of_the_moving_average():
    """Two keys, one batch: N and m move by a tenth towards the batch's counts and sums."""
    rows = torch.tensor([[0.0], [0.2], [0.4], [10.0]])[:, None]
    config = KeyValueConfig(heads=1, keys=2, key_size=1, decay=0.9, key_passes=1, key_batch=4, replace_below=0.0)
    start = learn_keys(rows, config.model_copy(update={"key_passes": 0}), 3)[0, :, 0]
    nearest = (rows[:, 0] - start).abs().argmin(1)
    found = learn_keys(rows, config, 3)[0, :, 0]
    for key in range(2):
        chosen = rows[nearest == key, 0, 0]
        count, total = 0.9 * 2 + 0.1 * len(chosen), 0.9 * 2 * start[key] + 0.1 * chosen.sum()
        assert found[key] == pytest.approx(float(total / count))


def test_unused_keys_take_rows():
    """With far more keys than clusters, all keys are used; without replacement, keys left behind stay unused."""
    draw = torch.Generator().manual_seed(1)
    first, then = torch.randn(500, 1, 2, generator=draw), 50 + torch.randn(500, 1, 2, generator=draw)
    keys = {}
    for below in (0.0, 0.3):
        config = KeyValueConfig(
            heads=1, keys=16, key_size=2, decay=0.7, key_passes=15, key_batch=250, replace_below=below
        )
        keys[below] = learn_keys(torch.cat([first[:2], then]), config, 0)[0]

    def used(found: torch.Tensor) -> int:
        return len(torch.cdist(torch.cat([first[:2], then])[:, 0], found).argmin(1).unique())

    assert used(keys[0.3]) >= used(keys[0.0])
    assert used(keys[0.3]) >= 14


def test_more_keys_than_rows_and_settings_that_contradict():
    bottleneck, x = made(KeyValueConfig(heads=2, keys=64, key_size=2), rows=10)
    assert torch.isfinite(bottleneck({READ: x})[WRITE]).all()
    with pytest.raises(ConfigError, match="more than the 4 keys"):
        KeyValueConfig.parse({"keys": 4, "k": 5})
    with pytest.raises(ConfigError, match="5 slices of 12"):
        KeyValue(KeyValueConfig(heads=5, projection="slices"), {READ: 12}, {WRITE: 2})
