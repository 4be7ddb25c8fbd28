"""Checkpoints of codebook-features, made by hand under the names that the library gives its tensors."""

import json

import pytest
import torch
from safetensors.torch import save_file

from workbench.core import ArtifactError, Site
from workbench.exchange import Source, read_codebook_features

D, HEADS, CODES = 8, 2, 6
CONFIG = {
    "model_type": "codebook",
    "codebook_at": ["attn_preproj", "mlp"],
    "codebook_type": ["group", "vanilla"],
    "num_codebooks": [-1, 1],
    "num_codes": [CODES, CODES],
    "k_codebook": [1, 2],
    "similarity_metric": "inner_product",
    "loss": "fullaeloss-0.5",
    "layers_to_snap": [0],
}


def layer(prefix, size, draw):
    return {
        f"{prefix}.codebook.weight": torch.randn(CODES, size, generator=draw),
        f"{prefix}.ln.weight": 1 + torch.rand(size, generator=draw),
        f"{prefix}.ln.bias": torch.rand(size, generator=draw),
    }


def tensors():
    draw = torch.Generator().manual_seed(0)
    block = "model.gpt_neox.layers.0"
    found = {f"{block}.attention.dense.weight": torch.zeros(D, D), f"{block}.mlp.module_layer.w": torch.zeros(2)}
    for head in range(HEADS):
        found |= layer(f"{block}.attention.codebook_layer.codebook.{head}", D // HEADS, draw)
    return found | layer(f"{block}.mlp.codebook_layer", D, draw)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(), tmp_path / "model.safetensors")
    return tmp_path


def by_hand(x, prefix, k, held):
    """The library's forward pass of one layer: LN, similarity to unit codes, the mean of the k best."""
    norm = torch.nn.functional.layer_norm(x, x.shape[-1:], held[f"{prefix}.ln.weight"], held[f"{prefix}.ln.bias"])
    codes = held[f"{prefix}.codebook.weight"]
    index = (norm @ codes.T / codes.norm(dim=1)).topk(k, dim=1).indices
    return codes[index].mean(1)


@pytest.mark.parametrize("pickled", [False, True])
def test_books_do_what_the_checkpoint_does(folder, pickled):
    held = tensors()
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(held, folder / "pytorch_model.bin")
    books = read_codebook_features(Source(folder))
    assert list(books) == ["attn_z.0", "mlp_out.0"]
    attention, mlp = books["attn_z.0"], books["mlp_out.0"]
    assert (attention.config.groups, attention.config.k, mlp.config.groups, mlp.config.k) == (HEADS, 1, 1, 2)
    assert (mlp.config.objective, mlp.config.commitment) == ("autoencoding-commitment", 0.5)
    x = torch.randn(30, D, generator=torch.Generator().manual_seed(1))
    block = "model.gpt_neox.layers.0"
    with torch.no_grad():
        found = attention({Site("attn_z", 0): x})[Site("attn_z", 0)]
        heads = [
            by_hand(part, f"{block}.attention.codebook_layer.codebook.{head}", 1, held)
            for head, part in enumerate(x.chunk(HEADS, 1))
        ]
        torch.testing.assert_close(found, torch.cat(heads, 1))
        found = mlp({Site("mlp_out", 0): x})[Site("mlp_out", 0)]
        torch.testing.assert_close(found, by_hand(x, f"{block}.mlp.codebook_layer", 2, held))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "no checkpoint of codebook-features"),
        ({"codebook_at": ["attn", "mlp"]}, "no site"),
        ({"similarity_metric": "hamming"}, "unknown"),
        ({"k_codebook": [1, CODES + 1]}, "contradict"),
        ({"k_codebook": [0, 1]}, "whole number"),
    ],
)
def test_what_cannot_be_read_is_refused(folder, change, message):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(ArtifactError, match=message):
        read_codebook_features(Source(folder))


def test_a_group_that_is_missing_is_noticed(folder):
    held = tensors()
    del held["model.gpt_neox.layers.0.attention.codebook_layer.codebook.0.codebook.weight"]
    save_file(held, folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="lacks groups"):
        read_codebook_features(Source(folder))
