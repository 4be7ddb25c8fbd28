"""Known answers of the coder: its equation written out, its loss, its refusals."""

import pytest
import torch

from workbench.core import ArtifactError, ConfigError, Manifest, ShapeError, Site, read_artifact, write_artifact
from workbench.dictionaries import CoderConfig, load_dictionary, make_dictionary

READ, WRITE = Site("mlp_in", 0), Site("mlp_out", 0)


def make(family: str = "topk-skip-transcoder", d_sae: int = 20, k: int = 4):
    coder = make_dictionary(family, CoderConfig(d_sae=d_sae, k=k), {READ: 6}, {WRITE: 5})
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in coder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return coder.double()


@pytest.fixture
def x():
    return torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_equation(x):
    coder = make()
    with torch.no_grad():
        acts = (x @ coder.W_enc.T + coder.b_enc).relu()
        codes = torch.zeros_like(acts)
        for row in range(50):
            top = acts[row].argsort(descending=True)[:4]
            codes[row, top] = acts[row, top]
        wanted = codes @ coder.W_dec + x @ coder.W_skip.T + coder.b_dec
        torch.testing.assert_close(coder({READ: x})[WRITE], wanted)
        torch.testing.assert_close(coder.encode({READ: x}).dense(), codes)


def test_loss_is_the_fraction_of_variance_unexplained(x):
    coder = make()
    y = torch.randn(50, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = coder.loss({READ: x, WRITE: y})
    out = coder({READ: x})[WRITE]
    wanted = (out - y).square().sum() / (y - y.mean(0)).square().sum()
    torch.testing.assert_close(found["loss"], wanted)
    assert found["l0"] <= 4


def test_gradients_are_those_of_autograd(x):
    coder = make()
    y = torch.randn(50, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parameters = dict(coder.named_parameters())
    found = torch.autograd.grad(coder.loss({READ: x, WRITE: y})["loss"], list(parameters.values()))
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        with torch.no_grad():
            place = tuple(size // 2 for size in parameter.shape)
            before, step = float(parameter[place]), 1e-6
            parameter[place] = before + step
            up = coder.loss({READ: x, WRITE: y})["loss"]
            parameter[place] = before - step
            down = coder.loss({READ: x, WRITE: y})["loss"]
            parameter[place] = before
        assert float((up - down) / (2 * step)) == pytest.approx(float(gradient[place]), rel=1e-4, abs=1e-9), name


def test_an_autoencoder_writes_where_it_reads():
    site = Site("resid_post", 3)
    coder = make_dictionary("topk-sae", CoderConfig(d_sae=8, k=2), {site: 6}, {site: 6})
    assert coder.reads == coder.writes == (site,)
    assert coder.W_skip is None
    assert coder.bypass({site: torch.ones(2, 6)})[site].abs().sum() == 0


def test_refusals():
    with pytest.raises(ConfigError, match="k 9 is more than the 8 features"):
        CoderConfig.parse({"d_sae": 8, "k": 9})
    with pytest.raises(ConfigError, match="reads one site and writes one"):
        make_dictionary("topk-sae", None, {READ: 6, Site("mlp_in", 1): 6}, {WRITE: 6})
    with pytest.raises(ConfigError, match="wants settings of type CoderConfig"):
        make_dictionary(
            "topk-sae", make_dictionary("affine", None, {READ: 2}, {WRITE: 2}).config, {READ: 6}, {WRITE: 6}
        )
    with pytest.raises(ShapeError, match=r"wants rows \[n, 6\] at mlp_in.0. found \(3, 5\)"):
        make().encode({READ: torch.zeros(3, 5)})
    with pytest.raises(ShapeError, match="found mlp_out.0"):
        make().encode({WRITE: torch.zeros(3, 5)})


def test_tensors_of_another_shape_are_refused(tmp_path):
    coder = make()
    coder.save(tmp_path / "one")
    manifest = read_artifact(tmp_path / "one").manifest
    tensors = {**coder.state_dict(), "W_dec": torch.zeros(20, 4)}
    write_artifact(tmp_path / "one", manifest, tensors)
    with pytest.raises(ArtifactError, match=r"do not fit a topk-skip-transcoder.*W_dec \(20, 4\)"):
        load_dictionary(tmp_path / "one")


def test_a_manifest_without_a_family_is_refused(tmp_path):
    write_artifact(tmp_path / "one", Manifest(kind="dictionary"), {"W_enc": torch.zeros(2, 2)})
    with pytest.raises(ArtifactError, match="names no family"):
        load_dictionary(tmp_path / "one")
    write_artifact(tmp_path / "one", Manifest(kind="dictionary", details={"family": "topk-sa"}))
    with pytest.raises(ConfigError, match="topk-sae"):
        load_dictionary(tmp_path / "one")
