import pytest
import torch

from workbench.core import ConfigError
from workbench.dictionaries import planar


def two_groups() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    centres = torch.eye(8)[:2].repeat_interleave(20, 0)
    return (centres + 0.1 * torch.randn(40, 8, generator=draw)) * torch.linspace(0.1, 9, 40)[:, None]


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_what_is_alike_lies_together_whatever_its_length(method):
    places = planar(two_groups(), method)
    assert places.shape == (40, 2)
    apart = (places[:20].mean(0) - places[20:].mean(0)).norm()
    assert apart > 2 * max(places[:20].std(0).norm(), places[20:].std(0).norm())
    assert torch.equal(places, planar(two_groups(), method))


def test_pca_is_that_of_the_definition_up_to_signs():
    rows = torch.nn.functional.normalize(two_groups(), dim=1)
    left, sizes, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    torch.testing.assert_close(planar(rows).abs(), (left[:, :2] * sizes[:2]).abs(), atol=1e-4, rtol=1e-3)


def test_three_points_are_no_map():
    with pytest.raises(ConfigError, match="four"):
        planar(torch.eye(3))
