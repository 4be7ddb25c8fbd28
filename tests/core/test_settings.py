import pytest
import torch
from pydantic import Field

from workbench.core import Config, ConfigError, MaskPolicy, child, generator, position_mask
from workbench.core.registry import get, names, register


class Sample(Config):
    steps: int = Field(10, ge=1, description="steps")
    lr: float = Field(1e-3, gt=0)


def test_toml_and_overrides(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("steps = 5\nlr = 0.1\n")
    assert Sample.from_toml(path, lr=0.2) == Sample(steps=5, lr=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stesp = 5", "unknown key 'stesp', did you mean steps"),
        ("steps = 0", "steps: .*found 0"),
        ("a b", "not valid TOML"),
    ],
)
def test_bad_settings_name_the_key(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Sample.from_toml(path)


def test_positions_that_count():
    tokens = torch.tensor([[9, 1, 2, 3], [9, 1, 9, 0]])
    assert position_mask(tokens, MaskPolicy()).tolist() == [[False, True, True, True]] * 2
    strict = MaskPolicy(exclude_special=True, skip_first=0)
    mask = position_mask(tokens, strict, special_ids={9}, lengths=torch.tensor([4, 3]))
    assert mask.tolist() == [[False, True, True, True], [False, True, False, False]]


def test_children_differ_and_repeat():
    assert child(0, "fit", 3) == child(0, "fit", 3) != child(0, "fit", 4)
    assert torch.equal(torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a")))


def test_registry_offers_the_nearest_name_and_refuses_twins():
    register("sample", "alpha")(object())
    assert names("sample") == ("alpha",)
    with pytest.raises(ConfigError, match=r"did you mean alpha\?"):
        get("sample", "alpah")
    with pytest.raises(ValueError, match="registered twice"):
        register("sample", "alpha")(object())
