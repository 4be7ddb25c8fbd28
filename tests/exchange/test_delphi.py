"""The latent cache: exactly the non-zero codes, where they were, in shards of latents."""

import json

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.numpy import load_file

from workbench.core import Codes, ConfigError, ShapeError, Site
from workbench.exchange import LatentCache, cache_folder_name


def batches(seed: int, width: int, length: int, ragged: bool):
    """Tokens, mask and dense activations of a few batches, the last one shorter."""
    draw = torch.Generator().manual_seed(seed)
    for count, positions in ((3, length), (2, max(1, length - 1))):
        tokens = torch.randint(0, 50, (count, positions), generator=draw)
        mask = torch.rand(count, positions, generator=draw) < 0.7
        dense = torch.randn(int(mask.sum()), width, generator=draw) * (
            torch.rand(int(mask.sum()), width, generator=draw) < 0.4
        )
        if ragged:
            rows, index = dense.nonzero(as_tuple=True)
            counts = torch.bincount(rows, minlength=len(dense))
            codes = Codes(
                index, dense[rows, index], width, torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
            )
        else:
            order = (
                torch.stack([torch.randperm(width, generator=draw) for _ in range(len(dense))]) if len(dense) else None
            )
            index = torch.zeros(0, width, dtype=torch.long) if order is None else order
            codes = Codes(index, dense.gather(1, index), width)
        yield tokens, mask, dense, codes


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 6), st.booleans(), st.data())
@settings(max_examples=30)
def test_every_active_latent_is_found_again(tmp_path_factory, seed, width, length, ragged, data):
    splits = data.draw(st.integers(1, width))
    folder = tmp_path_factory.mktemp("cache")
    cache, tokens, wanted = LatentCache(width, length), [], {}
    for ids, mask, dense, codes in batches(seed, width, length, ragged):
        for row, (sequence, position) in enumerate(mask.nonzero().tolist()):
            for latent in dense[row].nonzero().flatten().tolist():
                if abs(float(dense[row, latent])) > 1e-5:
                    wanted[len(tokens) + sequence, position, latent] = float(dense[row, latent])
        tokens += [[*row, *[0] * (length - len(row))] for row in ids.tolist()]
        cache.add(ids, codes, mask)
    paths = cache.write(folder, {"model_name": "tiny"}, splits)
    assert len(paths) == splits
    found, edges = {}, []
    for path in paths:
        shard = load_file(path)
        start, end = map(int, path.stem.split("_"))
        edges += [start, end]
        assert shard["locations"].dtype == "uint16"
        assert shard["activations"].dtype == "float16"
        assert shard["tokens"].tolist() == tokens
        places = [tuple(place) for place in shard["locations"].tolist()]
        assert places == sorted(places)
        for (sequence, position, latent), value in zip(places, shard["activations"].tolist(), strict=True):
            assert latent <= end - start
            found[sequence, position, latent + start] = value
    assert edges[0] == 0
    assert edges[-1] == width - 1
    assert found.keys() == wanted.keys()
    assert all(found[place] == pytest.approx(value, rel=1e-3, abs=1e-6) for place, value in wanted.items())
    about = json.loads((folder / "config.json").read_text())
    assert about == {"model_name": "tiny", "cache_ctx_len": length, "n_splits": splits}


def test_large_activations_are_not_made_infinite(tmp_path):
    cache = LatentCache(4, 2)
    cache.add(
        torch.zeros(1, 2, dtype=torch.long),
        Codes(torch.tensor([[1], [2]]), torch.tensor([[1e5], [1.0]]), 4),
        torch.ones(1, 2, dtype=torch.bool),
    )
    (path,) = cache.write(tmp_path, {}, 1)
    assert load_file(path)["activations"].tolist() == [1e5, 1.0]


def test_refusals(tmp_path):
    cache = LatentCache(4, 2)
    with pytest.raises(ConfigError, match="wants sequences"):
        cache.write(tmp_path, {})
    codes, mask = Codes(torch.tensor([[1]]), torch.ones(1, 1), 4), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ShapeError, match="wants codes of 2 positions over 4 latents; found 1 over 4"):
        cache.add(torch.zeros(1, 2, dtype=torch.long), codes, mask)


def test_folders_are_module_paths_where_there_is_one():
    assert cache_folder_name(Site("resid_post", 3), Site("resid_post", 3)) == "layers.3"
    assert cache_folder_name(Site("mlp_in", 2), Site("mlp_out", 2)) == "layers.2.mlp"
    assert cache_folder_name(Site("attn_z", 2), Site("attn_z", 2)) == "attn_z.2"
