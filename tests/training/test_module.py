import pytest
import torch
from torch import nn

from workbench.core import ConfigError, Silent
from workbench.training import ModuleConfig, TrainingError, fit_module


class Line(nn.Module):
    """y = a x, trained towards a = 3."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))
        self.shares = []

    def loss(self, batch, share):
        self.shares.append(share)
        return {"loss": (self.slope * batch - 3 * batch).square().mean(), "slope": self.slope.sum()}


def draw(seed):
    return torch.randn(16, generator=torch.Generator().manual_seed(seed))


CONFIG = ModuleConfig(steps=60, lr=0.2, warm_up=5, steps_per_record=7, records_per_checkpoint=2)


def test_a_module_learns_and_its_record_says_how(tmp_path):
    module = Line()
    trained = fit_module(module, draw, tmp_path, CONFIG)
    assert module.slope.item() == pytest.approx(3, abs=0.05)
    assert [record["step"] for record in trained.metrics] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert trained.metrics[-1]["loss"] < trained.metrics[0]["loss"] / 100
    assert module.shares == [step / 60 for step in range(60)]
    assert not trained.partial


def test_going_on_is_the_same_as_never_stopping(tmp_path):
    class Stops(Silent):
        def __init__(self, after):
            self.left = after

        def cancelled(self):
            self.left -= 1
            return self.left < 0

    whole, parted = Line(), Line()
    fit_module(whole, draw, tmp_path / "whole", CONFIG)
    assert fit_module(parted, draw, tmp_path / "parted", CONFIG, Stops(3)).partial
    again = Line()
    assert not fit_module(again, draw, tmp_path / "parted", CONFIG).partial
    assert torch.equal(again.slope, whole.slope)


def test_a_folder_of_another_run_is_refused_and_a_diverged_one_stops(tmp_path):
    fit_module(Line(), draw, tmp_path, CONFIG, identity={"task": "a"})
    with pytest.raises(ConfigError, match="another run"):
        fit_module(Line(), draw, tmp_path, CONFIG, identity={"task": "b"})
    with pytest.raises(TrainingError, match="diverged"):
        fit_module(Line(), lambda seed: draw(seed) * float("nan"), tmp_path / "nan", CONFIG)
