"""Stored activations put back at their Site leave the model's answer as it was."""

import pytest
import torch
from models.families import FAMILIES, build_hooked

from workbench.core import Edit
from workbench.models import TokenBatch
from workbench.store import CaptureConfig, StoreRows, StreamRows, capture

from .small_model import packed

KINDS = ("resid_pre", "attn_q", "attn_z", "attn_out", "mlp_in", "mlp_post", "mlp_out", "resid_post", "final_norm")
SITES = [f"{kind}.1" if kind != "final_norm" else kind for kind in KINDS]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return build_hooked(request.param)[0]


@pytest.fixture(scope="module")
def text():
    return packed(6, longest=10, shortest=4)


def logits(model, batch: TokenBatch, edits=()) -> torch.Tensor:
    """Log-probabilities at the real positions."""
    real = torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    return model.run(batch, edits).logits[real]


@torch.no_grad()
def test_float32_rows_give_the_same_logits(model, text, tmp_path):
    config = CaptureConfig(dtype="float32", batch_sequences=2, shard_sequences=4)
    store = capture(model, text, SITES, tmp_path / "s", config)
    batch, values = store.read_sequences(range(len(text)))
    plain = logits(model, batch)
    for site in store.sites:
        again = logits(model, batch, [Edit.set(site, values[site])])
        torch.testing.assert_close(again, plain, rtol=0, atol=1e-5, msg=lambda text, site=site: f"{site}: {text}")
    other = Edit.set(store.sites[0], values[store.sites[0]].roll(1, 0))
    assert (logits(model, batch, [other]) - plain).abs().max() > 0.1


@torch.no_grad()
def test_bfloat16_rows_give_nearly_the_same_distribution(model, text, tmp_path):
    store = capture(model, text, ["resid_post.0", "mlp_out.1"], tmp_path / "s")
    batch, values = store.read_sequences(range(len(text)))
    plain = logits(model, batch).double().log_softmax(-1)
    for site in store.sites:
        edited = logits(model, batch, [Edit.set(site, values[site].float())]).double().log_softmax(-1)
        divergence = (plain.exp() * (plain - edited)).sum(-1).mean().item()
        print(f"{model.ref.id} {site}: KL of the bfloat16 store {divergence:.2e} nats per token")
        assert 0 < divergence < 1e-3


def test_store_and_stream_offer_the_same_rows(model, text, tmp_path):
    sites = ["mlp_in.1", "attn_z.0", "mlp_out.1"]
    store = capture(model, text, sites, tmp_path / "s", CaptureConfig(dtype="float32"))
    stored = StoreRows(store, 1000).chunk(0)
    streamed = StreamRows(model, text, sites, chunk_sequences=len(text), batch_sequences=2).chunk(0)
    assert torch.equal(stored.row_ids.sort().values, streamed.row_ids.sort().values)
    for site in store.sites:
        one, other = stored.inputs[site][stored.row_ids.argsort()], streamed.inputs[site][streamed.row_ids.argsort()]
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    store.check_compatible(model)
