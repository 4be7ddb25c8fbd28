"""A tuned lens learns a map that is known, is no worse than nothing, and comes back from disk."""

import pytest
import torch
from models.families import build_hooked

from workbench.core import Manifest, Site
from workbench.store import Chunk
from workbench_probes import LensConfig, Readout, load_tuned_lens, readout, train_lens
from workbench_probes.lens_comparison import _distances
from workbench_probes.tuned_lens import lens_sites, on_likely_tokens

FIRST, LAST = Site("resid_post", 0), Site("resid_post", 1)


class MadeRows:
    """Rows of which the last layer's are an affine map of the first's."""

    sites, total_rows, n_chunks = (FIRST, LAST), 2400, 4
    ref, identity = {}, {}

    def __init__(self, d=12):
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(2400, d, generator=draw)
        self.map = torch.linalg.qr(torch.randn(d, d, generator=draw)).Q
        self.y = self.x @ self.map.T + 0.3

    def chunk(self, number):
        part = torch.arange(number * 600, (number + 1) * 600)
        return Chunk(number, {FIRST: self.x[part].clone(), LAST: self.y[part].clone()}, part)

    def chunks(self, start=0):
        return (self.chunk(number) for number in range(start, self.n_chunks))


def read_of(d=12, v=40):
    draw = torch.Generator().manual_seed(3)
    return Readout("rms", torch.ones(d), None, 1e-6, torch.randn(d, v, generator=draw))


@pytest.mark.parametrize("ridge", [1e-4, 1e6])
def test_it_learns_a_known_map_from_either_start(ridge):
    rows, read = MadeRows(), read_of()
    lens, partial = train_lens(rows, read, LensConfig(lr=2e-2, passes=12, batch_rows=100, ridge=ridge, vocabulary=None))
    assert not partial
    plain, tuned, agree_plain, agree_tuned = _distances(read, rows.y, rows.x, lens(FIRST, rows.x)) / len(rows.x)
    assert tuned < 0.05 * plain
    assert agree_tuned > 0.9 > agree_plain


def test_it_comes_back_from_disk(tmp_path):
    rows, read = MadeRows(), read_of()
    lens, _ = train_lens(rows, read, LensConfig(passes=1, vocabulary=20))
    lens.save(tmp_path / "lens", Manifest(kind="tuned lens"))
    again = load_tuned_lens(tmp_path / "lens")
    torch.testing.assert_close(again(FIRST, rows.x), lens(FIRST, rows.x), atol=2e-2, rtol=2e-2)
    assert torch.equal(again(LAST, rows.y), rows.y)


def test_the_likely_tokens_keep_their_logits():
    read, rows = read_of(), MadeRows()
    few = on_likely_tokens(read, rows.y, 10)
    mass = read(rows.y).softmax(-1).mean(0)
    kept = mass.topk(10).indices.sort().values
    torch.testing.assert_close(few(rows.y), read(rows.y)[:, kept])


def test_sites_count_from_the_last():
    assert [site.layer for site in lens_sites(7, 3)] == [0, 3, 6]
    model, _ = build_hooked("llama")
    assert readout(model).unembed.shape[1] == model.shape.d_vocab
