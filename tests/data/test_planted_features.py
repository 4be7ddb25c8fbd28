"""Planted features against their own settings."""

import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import ConfigError
from workbench.data import BENCH_A, BENCH_B, PlantedConfig, PlantedFeatures


@pytest.fixture(scope="module", params=[BENCH_A, BENCH_B], ids=["A", "B"])
def planted(request) -> PlantedFeatures:
    return PlantedFeatures(request.param)


@pytest.fixture(scope="module")
def sample(planted):
    return planted.sample(40_000, 3)


def test_features_fire_as_often_as_they_should(planted, sample):
    fired = (sample.values != 0).double().mean(0)
    assert float(planted.probability.sum()) == pytest.approx(8, rel=1e-5)
    assert float(fired.sum()) == pytest.approx(8, rel=0.02)
    spread = (planted.probability * (1 - planted.probability) / 40_000).sqrt()
    assert float(((fired - planted.probability).abs() / spread).max()) < 6


def test_frequencies_follow_the_rank():
    ordered = PlantedFeatures(BENCH_A).probability.sort(descending=True).values
    ranks = torch.arange(1, 257, dtype=torch.float64)
    assert torch.allclose((ordered / ordered[0]).double(), ranks**-0.7, rtol=1e-5)


def test_amplitudes_and_noise(planted, sample):
    logs = sample.values[sample.values != 0].log()
    assert float(logs.mean()) == pytest.approx(0, abs=0.01)
    assert float(logs.std()) == pytest.approx(0.5, rel=0.02)
    clean = sample.values @ planted.directions
    noise = (sample.x - clean).square().sum(1).mean()
    energy = sample.values.square().sum(1).mean()
    assert float(noise / energy) == pytest.approx(0.01, rel=0.03)
    assert torch.allclose(planted.directions.norm(dim=1), torch.ones(256))


def test_a_child_fires_only_with_its_parent_and_alone_among_its_siblings():
    planted = PlantedFeatures(BENCH_B)
    values = planted.sample(20_000, 0).values
    children = (planted.parent >= 0).nonzero().flatten()
    assert len(children) == 96
    fired = values[:, children] != 0
    assert not (fired & (values[:, planted.parent[children]] == 0)).any()
    for parent in range(32):
        mine = (values[:, planted.parent == parent] != 0).sum(1)
        assert int(mine.max()) == 1
        with_parent = mine[values[:, parent] != 0].double().mean()
        assert float(with_parent) == pytest.approx(0.75, abs=0.15)


def test_members_of_a_group_come_together():
    planted = PlantedFeatures(BENCH_B)
    fired = (planted.sample(40_000, 0).values != 0).double()
    together = torch.corrcoef(fired.T)
    group = planted.group
    same = (group[:, None] == group) & (group[:, None] >= 0) & ~torch.eye(len(group), dtype=torch.bool)
    apart = (group[:, None] != group) & (group[:, None] >= 0) & (group >= 0)
    assert float(together[same].mean()) > 0.05
    assert abs(float(together[apart].mean())) < 0.005


def test_equal_seeds_give_equal_rows(planted):
    assert torch.equal(planted.sample(10, 5).x, planted.sample(10, 5).x)
    assert not torch.equal(planted.sample(10, 5).x, planted.sample(10, 6).x)
    other = PlantedFeatures(planted.config.model_copy(update={"seed": 1}))
    assert not torch.equal(other.directions, planted.directions)


@given(st.integers(2, 9), st.integers(10, 40), st.integers(0, 3), st.integers(0, 3), st.integers(1, 30))
def test_shapes(d, features, parents, groups, rows):
    config = PlantedConfig(d=d, features=features, active=1, exponent=0.1, parents=parents, children=1, groups=groups)
    x, values = PlantedFeatures(config).sample(rows, 0)
    assert x.shape == (rows, d)
    assert values.shape == (rows, features)
    assert bool((values >= 0).all())


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="with probability"):
        PlantedFeatures(PlantedConfig(features=10, active=9))
    for wrong in ({"parents": 80}, {"groups": 300}, {"group_lift": 5.0}):
        with pytest.raises(ValueError, match=r"children need more|groups for|rarer than never"):
            PlantedConfig(**wrong)
