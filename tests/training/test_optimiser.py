"""Row-sparse Adam, unit norm and AuxK in the loop: what moves, what rests, and that a resumed run is the same run."""

import pytest
import torch
from torch import Tensor

from sparse_kernels import decode, sparse_gradients
from training.planted_rows import planted_rows
from workbench.core import Silent
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers
from workbench.training import TrainConfig, fit
from workbench.training.learner import Learner
from workbench.training.optimiser import RowSparseAdam, clip_gradients_

LARGE = CoderConfig(d_sae=300, k=4)
"""More features than the plain reference takes, so that gradients are sparse."""


def new(config: CoderConfig, family: str = "topk-skip-transcoder") -> DictionarySet:
    return dictionaries_for_layers(family, range(1), 16, config, "demo")


def settings(**changes) -> TrainConfig:
    base = {"batch_rows": 64, "initial_rows": 1500, "checkpoint_every_chunks": 2, "checkpoint_share": None, "seed": 3}
    return TrainConfig(**(base | changes))


class CancelAfter(Silent):
    """Cancels when so many records have been seen."""

    def __init__(self, borders: int) -> None:
        self.left = borders

    def partial(self, value) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left <= 0


@pytest.mark.parametrize(
    ("coder", "train"),
    [
        (LARGE, {"optimiser": "row-sparse-adam"}),
        (LARGE, {"optimiser": "row-sparse-adam", "clip": 0.5}),
        (LARGE.model_copy(update={"unit_norm_decoder": True}), {}),
        (
            LARGE.model_copy(update={"unit_norm_decoder": True, "aux_k": 8, "dead_after_rows": 700}),
            {"optimiser": "row-sparse-adam"},
        ),
        (LARGE.model_copy(update={"aux_k": 8, "dead_after_rows": 700}), {}),
    ],
    ids=["row-sparse", "row-sparse, clipped", "unit norm", "row-sparse, unit norm, AuxK", "AuxK"],
)
def test_it_trains_and_a_resumed_run_is_the_same_run(coder: CoderConfig, train: dict, tmp_path):
    rows, config = planted_rows(layers=1, rows=2000, passes=3), settings(**train)
    whole = fit(new(coder), rows, tmp_path / "whole", config)
    assert fit(new(coder), rows, tmp_path / "part", config, CancelAfter(3)).partial
    resumed = fit(new(coder), rows, tmp_path / "part", config)
    (first,), (second,) = whole.dictionaries.values(), resumed.dictionaries.values()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with torch.no_grad():
        start, end = (float(found.loss(rows.data)["fvu"]) for found in (*whole.initial.values(), first))
    assert end < 0.8 * start
    if coder.unit_norm_decoder:
        lengths = first.W_dec.norm(dim=1)
        torch.testing.assert_close(lengths, lengths[0].expand(300), rtol=1e-4, atol=0)


def test_features_that_are_not_active_rest_bit_for_bit():
    (module,) = new(LARGE, "topk-transcoder").values()
    rows = planted_rows(layers=1, rows=1000)
    module.initialise({site: found[:400] for site, found in rows.data.items()}, 0)
    learner = Learner("one", module, None, settings(optimiser="row-sparse-adam", warm_up=0), 100)
    batch = {site: found[:10] for site, found in rows.data.items()}
    for _ in range(3):
        before = [parameter.detach().clone() for parameter in (module.W_enc, module.b_enc, module.W_dec)]
        active = torch.zeros(300, dtype=torch.bool)
        codes = module.encode(batch)
        active[codes.index[codes.value != 0]] = True
        learner.optimise(batch)
        for old, now in zip(before, (module.W_enc, module.b_enc, module.W_dec), strict=True):
            moved = (old != now.detach()).reshape(300, -1).any(1)
            assert torch.equal(moved, active)


def test_dense_gradients_make_it_adam():
    draw = torch.Generator().manual_seed(0)
    found, wanted = (torch.nn.Parameter(torch.ones(5, 4)) for _ in range(2))
    own, theirs = RowSparseAdam([found], lr=0.1), torch.optim.Adam([wanted], lr=0.1, fused=True)
    for _ in range(4):
        found.grad = torch.randn(5, 4, generator=draw)
        wanted.grad = found.grad.clone()
        own.step()
        theirs.step()
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("limit", [0.1, 1e6])
def test_sparse_gradients_are_clipped_like_dense_ones(limit: float):
    index, value = torch.randint(0, 600, (30, 4)), torch.randn(30, 4)

    def clipped(sparse: bool) -> list[Tensor]:
        weight, other = torch.nn.Parameter(torch.ones(600, 3)), torch.nn.Parameter(torch.ones(3))
        with sparse_gradients(sparse):
            twice = [decode(index, value, weight, backend="cpu") for _ in range(2)]
        ((twice[0] + 2 * twice[1]) * other).square().sum().backward()
        assert weight.grad.is_sparse == sparse
        clip_gradients_([weight, other, torch.nn.Parameter(torch.ones(1))], limit)
        return [weight.grad.to_dense(), other.grad]

    reference = clipped(False)
    for found, wanted in zip(clipped(True), reference, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    norm = torch.stack([gradient.norm() for gradient in reference]).norm()
    assert float(norm) == pytest.approx(limit, rel=1e-3) or (limit == 1e6 and float(norm) < limit)


def test_losses_are_read_once_a_chunk(tmp_path, monkeypatch):
    """Each read of a tensor's number stops a GPU; between two borders there is none."""
    reads = 0
    read = Tensor.__float__

    def counted(self) -> float:
        nonlocal reads
        reads += 1
        return read(self)

    rows = planted_rows(layers=1, rows=2048, chunk_rows=1024)
    (module,) = new(LARGE).values()
    module.initialise({site: found[:400] for site, found in rows.data.items()}, 0)
    learner = Learner("one", module, None, settings(lr=1e-4, diverged_factor=1e9), 100)
    batches = [{site: found[at : at + 64] for site, found in rows.data.items()} for at in range(0, 1024, 64)]
    losses: list = []
    monkeypatch.setattr(Tensor, "__float__", counted)
    for batch in batches:
        learner._update(batch, losses)
    assert reads == 0
    sums = learner._checked_sums(losses)
    assert sums["loss"] / len(batches) == pytest.approx(
        sum(float(found["loss"]) for _, found in losses) / len(batches), rel=1e-5
    )
