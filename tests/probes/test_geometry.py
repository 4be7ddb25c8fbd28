"""Geometry with known answers: dimensions of Gaussians, copies, isotropy."""

import numpy as np
import pytest
import torch

from workbench.core import ShapeError, Site
from workbench_probes import GeometryConfig, geometry, similarity
from workbench_probes.dimension import maximum_likelihood, neighbour_distances, two_nn
from workbench_probes.representation_pairs import linearity


def gaussian(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def rotation(d, seed=1):
    return torch.linalg.qr(gaussian(d, d, seed).double()).Q.float()


@pytest.mark.parametrize(("n", "k"), [(4000, 2), (4000, 5)])
def test_dimension_of_a_gaussian_in_a_larger_space(n, k):
    rows = torch.nn.functional.pad(gaussian(n, k), (0, 20 - k)) @ rotation(20)
    distances = neighbour_distances(rows, 10)
    assert two_nn(distances).value == pytest.approx(k, rel=0.1)
    assert maximum_likelihood(distances).value == pytest.approx(k, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 5, 10])
def test_dimension_of_twenty_thousand_points(k):
    rows = torch.nn.functional.pad(gaussian(20_000, k), (0, 20 - k)) @ rotation(20)
    assert two_nn(neighbour_distances(rows, 3)).value == pytest.approx(k, rel=0.1)


def test_neighbours_agree_with_every_distance():
    rows = gaussian(60, 3)
    rows[7] = rows[3]
    whole = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist")
    kept = [i for i in range(60) if i != 7]
    wanted = whole[kept][:, kept].sort(1).values[:, 1:5].numpy()
    np.testing.assert_allclose(np.sort(neighbour_distances(rows, 4, chunk=13), 0), np.sort(wanted, 0), atol=1e-9)
    with pytest.raises(ShapeError, match="different rows"):
        neighbour_distances(rows[:1].repeat(9, 1), 4)


def test_a_rotated_copy_is_alike_and_noise_is_not():
    x = gaussian(400, 30)
    copy = similarity(x, 3 * x @ rotation(30) + 5, components=10)
    assert copy.cka == pytest.approx(1, abs=1e-6)
    assert copy.rsa == pytest.approx(1, abs=1e-6)
    assert copy.linearity == pytest.approx(1, abs=1e-3)
    assert similarity(x, 3 * x @ rotation(30), components=30).cca == pytest.approx(1, abs=1e-6)
    other = similarity(x, gaussian(400, 30, 9), components=10)
    assert abs(other.cka) < 0.1
    assert abs(other.rsa) < 0.1
    assert other.linearity < 0.1
    with pytest.raises(ShapeError, match="the same rows"):
        similarity(x, x[:10])


def test_linearity_with_fewer_rows_than_dimensions_is_low_at_worst():
    x, strong = gaussian(120, 90), gaussian(120, 90, 3) * torch.logspace(1, -2, 90)
    assert -0.05 < linearity(x, gaussian(120, 90, 7)) < 0.2
    assert linearity(x, x) > 0.3
    assert linearity(strong, strong @ rotation(90)) > 0.95


def test_isotropic_rows_and_a_dominant_direction():
    d = 20
    plain, stretched = gaussian(2000, d), gaussian(2000, d)
    stretched[:, 0] *= 50
    rows = {Site("resid_post", 0): plain, Site("resid_post", 1): stretched, Site("resid_post", 2): plain @ rotation(d)}
    result = geometry(rows, GeometryConfig(rows=1500, neighbours=5, pair_rows=200, all_pairs=True))
    isotropic, dominated, _ = result.tables["sites"]
    assert isotropic["anisotropy"] == pytest.approx(1 / d, rel=0.3)
    assert isotropic["participation"] == pytest.approx(d, rel=0.1)
    assert isotropic["kurtosis"] == pytest.approx(3 * (d - 1) / (d + 1), rel=0.1)
    assert abs(isotropic["mean_cosine"]) < 0.01
    assert dominated["anisotropy"] > 0.95
    assert dominated["participation"] < 1.2
    assert result.arrays["cka"][0, 2] == pytest.approx(1, abs=1e-4)
    assert isotropic["linearity_to_next"] is not None
    assert result.fig().data


def test_a_massive_row_is_counted_and_left_out_of_the_rest():
    plain = gaussian(600, 12)
    held = plain.clone()
    held[5] *= 1000
    rows = {Site("resid_post", 0): held, Site("resid_post", 1): held @ rotation(12) + gaussian(600, 12, 4)}
    first, last = geometry(rows, GeometryConfig(rows=600, neighbours=4, pair_rows=100)).tables["sites"]
    assert (first["massive"], first["anisotropy"] > 0.99) == (1, True)
    assert first["anisotropy_rest"] == pytest.approx(1 / 12, rel=0.3)
    assert first["linearity_to_next_rest"] == pytest.approx(0.5, abs=0.1)
    assert "linearity_to_next" not in last


def test_the_same_rows_are_drawn_everywhere():
    x = gaussian(500, 8)
    rows = {Site("resid_post", 0): x, Site("resid_post", 1): x}
    first, second = (geometry(rows, GeometryConfig(rows=300, neighbours=4, pair_rows=100)) for _ in range(2))
    assert first.id == second.id
    assert first.tables["sites"][0]["two_nn"] == first.tables["sites"][1]["two_nn"]
