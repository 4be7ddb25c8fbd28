"""A TopK autoencoder trained here and by plain PyTorch: the same rows, order, steps, schedule and starting weights.

    python tests/benchmarks/plain_topk.py [--workspace FOLDER] [--rounds 2] [--threads 2] [--json]

Ours is the whole of `fit` from a store: reading it, starting weights, checkpoints, the written artifact. The plain
trainer below is handed its batches ready in memory, in the units of training, and nothing but its steps is timed.
Whole runs take turns in one process, after two
steps of each that are not timed. FVU is measured on documents that were held out. Prints and never fails.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import workbench  # noqa: F401  # pyright: ignore[reportUnusedImport]  (names the providers of the registry)
from workbench.core import Silent, Site
from workbench.data import PackConfig, PackedText
from workbench.dictionaries import CoderConfig, Dictionary, DictionarySet, new_set
from workbench.models import HookedModel
from workbench.recipes import open_subject
from workbench.store import ActivationStore, StoreRows, StreamRows, capture, open_store
from workbench.training import Feed, Learner, TrainConfig, fit
from workbench.training.feed import Buffers
from workbench.training.kept import KeptRows
from workbench.training.prepare import prepare
from workbench.training.schedule import lr_factor, steps_in_chunk

MARKS = {"fvu": 1.02, "wall": 0.3}
"""Ours over plain, at most."""
NAME = "plain-topk"


class PlainTopK(nn.Module):
    """TopK autoencoder as one would write it down (Gao et al. 2024): dense scores, topk, dense codes, autograd."""

    def __init__(self, twin: Dictionary) -> None:
        super().__init__()
        self.k = twin.config.k
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = (
            nn.Parameter(twin.get_parameter(name).detach().clone()) for name in ("W_enc", "b_enc", "W_dec", "b_dec")
        )

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.relu(nn.functional.linear(x, self.W_enc, self.b_enc))
        top = scores.topk(self.k, dim=1)
        codes = torch.zeros_like(scores).scatter(1, top.indices, top.values)
        return codes @ self.W_dec + self.b_dec


def train_plain(model: PlainTopK, batches: Sequence[Tensor], config: TrainConfig, steps: int) -> PlainTopK:
    """Adam on the fraction of variance unexplained, one step a batch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, betas=config.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: lr_factor(step, steps, config.warm_up, config.decay_share)
    )
    for x in batches[:steps]:
        loss = (model(x) - x).square().sum() / (x - x.mean(0)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


class Prepared(NamedTuple):
    """What the plain trainer is handed: our starting weights, our units, the batches in our order."""

    start: Dictionary
    feed: Feed
    batches: list[Tensor]
    steps: int


def new(site: Site, size: int, given: argparse.Namespace) -> DictionarySet:
    config = CoderConfig(d_sae=given.features, k=given.k)
    return new_set([("topk-sae", config)], lambda _: size, sites=[site], name=NAME)


def hand_over(rows: StoreRows, fresh: DictionarySet, config: TrainConfig) -> Prepared:
    """Everything that `fit` makes before and between the steps, made beforehand."""
    (feed,), _ = prepare(fresh, KeptRows(rows, 0), config, Silent())
    (site,), buffers, batches = feed.scales, Buffers(), []
    for chunk in rows.chunks():
        for batch in feed.batches(chunk.inputs, feed.kept(chunk.inputs), config.batch_rows, None, buffers):
            batches.append(batch[site].clone())
    steps = rows.n_chunks * steps_in_chunk(rows.total_rows / rows.n_chunks, config.batch_rows)
    return Prepared(next(iter(fresh.values())), feed, batches, min(steps, len(batches)))


@torch.no_grad()
def fvus(ours: Dictionary, plain: PlainTopK, feed: Feed, heldout: Sequence[Tensor]) -> dict[str, float]:
    """Squared error over squared deviation from the mean, of rows that training would have kept."""
    (site,) = feed.scales
    parts = [x[feed.kept({site: x})] for x in heldout]
    mean = torch.cat(parts).mean(0)
    errors = {"ours": 0.0, "plain": 0.0}
    for x in parts:
        errors["ours"] += float((ours({site: x})[site] - x).square().sum())
        units = feed.scales[site].apply_(x.clone())
        errors["plain"] += float((plain(units) - units).square().sum()) / feed.scales[site].factor ** 2
    total = float(sum((x - mean).square().sum() for x in parts))
    return {name: error / total for name, error in errors.items()} | {"rows": float(sum(map(len, parts)))}


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    site, config = Site.parse(given.site), TrainConfig(batch_rows=given.batch_rows)
    model, packed = open_subject(given.model, given.text, PackConfig(max_sequences=given.sequences), offline=True)
    store = _store(model, packed, site, folder / "stores" / given.store)
    heldout = packed.split("heldout").take(torch.arange(given.heldout))
    held = [chunk.inputs[site].clone() for chunk in StreamRows(model, heldout, (site,)).chunks()]
    size = model.shape.row_size(site)
    del model

    def rows() -> StoreRows:
        return StoreRows(store, sites=(site,))

    handed = hand_over(rows(), new(site, size, given), config)
    _warm_up(new(site, size, given), handed)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    trained: Any = None
    plain = PlainTopK(handed.start)
    for turn in range(given.rounds):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            began = time.perf_counter()
            trained = fit(new(site, size, given), rows(), Path(place) / str(turn), config)
            seconds["ours"].append(time.perf_counter() - began)
        plain = PlainTopK(handed.start)
        began = time.perf_counter()
        train_plain(plain, handed.batches, config, handed.steps)
        seconds["plain"].append(time.perf_counter() - began)
    found = fvus(next(iter(trained.dictionaries.values())), plain, handed.feed, held)
    walls = [own / other for own, other in zip(seconds["ours"], seconds["plain"], strict=True)]
    return {
        "site": given.site,
        "features": given.features,
        "k": given.k,
        "rows": rows().total_rows,
        "steps": handed.steps,
        "batch_rows": given.batch_rows,
        "threads": torch.get_num_threads(),
        "heldout_rows": int(found["rows"]),
        "fvu_ours": found["ours"],
        "fvu_plain": found["plain"],
        "fvu": found["ours"] / found["plain"],
        "seconds_ours": seconds["ours"],
        "seconds_plain": seconds["plain"],
        "wall": statistics.median(walls),
    }


def _warm_up(fresh: DictionarySet, handed: Prepared) -> None:
    """Two steps of each, so that kernels are compiled and loaded before anything is timed."""
    train_plain(PlainTopK(handed.start), handed.batches, TrainConfig(), 2)
    (site,) = handed.feed.scales
    learner = Learner("warm-up", next(iter(fresh.values())), handed.feed, TrainConfig(), 2)
    for x in handed.batches[:2]:
        learner.optimise({site: x})


def _store(model: HookedModel, packed: PackedText, site: Site, folder: Path) -> ActivationStore:
    if not (folder / "manifest.json").exists():
        capture(model, packed.split("train"), [site], folder)
    return open_store(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="where the store is or will be; none: a temporary folder")
    parser.add_argument("--store", default=NAME, help="name of the store, captured if it is not there")
    parser.add_argument("--model", default="smollm2-135m-instruct-q4")
    parser.add_argument("--text", default="wikipedia-sample")
    parser.add_argument("--site", default="resid_post.12")
    parser.add_argument("--sequences", type=int, default=2700, help="of the text; nine in ten are trained on")
    parser.add_argument("--heldout", type=int, default=128, help="held-out sequences")
    parser.add_argument("--features", type=int, default=4608)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch-rows", type=int, default=TrainConfig().batch_rows)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each, in turn")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(given, given.workspace or Path(temporary))
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"  {name:15s} {value}")
    for name, mark in MARKS.items():
        print(f"{name}: ours / plain {found[name]:.3f}   at most {mark:g} {'met' if found[name] <= mark else 'missed'}")


if __name__ == "__main__":
    main()
