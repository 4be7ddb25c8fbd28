"""Ten dictionaries on one stream, beside one pass of the model and the ten trained one after the other.

    python tests/benchmarks/sweep.py [--rounds 2] [--threads 2] [--json]

The sweep is the whole of `fit` on rows straight from the model. The sum is one pass over the same stream with nothing
trained, and `fit` of each member alone on the rows of that pass, held in memory. They take turns in one process.
Prints and never fails.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import workbench  # noqa: F401  # pyright: ignore[reportUnusedImport]  (names the providers of the registry)
from workbench.core import Site
from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig, DictionarySet, Wanted, new_set
from workbench.recipes import open_subject
from workbench.store import Chunk, StreamRows
from workbench.training import TrainConfig, fit

MARK = 1.1
"""The sweep over the sum, at most."""


class HeldRows:
    """The rows of a stream after one pass over it."""

    def __init__(self, stream: StreamRows) -> None:
        self.sites, self.total_rows, self.n_chunks = stream.sites, stream.total_rows, stream.n_chunks
        self.ref, self.identity = stream.ref, stream.identity
        self._held = [stream.chunk(number) for number in range(stream.n_chunks)]

    def chunk(self, number: int) -> Chunk:
        return self._held[number]

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return iter(self._held[start:])


def ten(given: argparse.Namespace) -> list[Wanted]:
    return [("topk-sae", CoderConfig(d_sae=features, k=k)) for features in given.features for k in (8, 16, 32, 64, 128)]


def measure(given: argparse.Namespace) -> dict[str, Any]:
    site, config, wanted = Site.parse(given.site), TrainConfig(), ten(given)
    model, packed = open_subject(given.model, given.text, PackConfig(max_sequences=given.sequences), offline=True)
    stream = StreamRows(model, packed, (site,), chunk_sequences=64)

    def new(members: list[Wanted]) -> DictionarySet:
        return new_set(members, model.shape.row_size, sites=[site], name="sweep")

    # Compiled kernels and packed weights are there before anything is timed.
    with tempfile.TemporaryDirectory() as place:
        fit(new(wanted), HeldRows(StreamRows(model, packed.take(torch.arange(64)), (site,))), Path(place) / "0")
    seconds: dict[str, list[float]] = {"sweep": [], "pass": [], "alone": []}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            fit(new(wanted), stream, Path(place) / "sweep", config)
            swept = time.perf_counter()
            held = HeldRows(stream)
            passed = time.perf_counter()
            for number, one in enumerate(wanted):
                fit(new([one]), held, Path(place) / str(number), config)
            done = time.perf_counter()
        for name, value in (("sweep", swept - began), ("pass", passed - swept), ("alone", done - passed)):
            seconds[name].append(value)
    ratios = [sweep / (once + alone) for sweep, once, alone in zip(*seconds.values(), strict=True)]
    return {
        "model": given.model,
        "site": given.site,
        "dictionaries": len(wanted),
        "rows": stream.total_rows,
        "threads": torch.get_num_threads(),
        **{f"seconds_{name}": values for name, values in seconds.items()},
        "ratio": statistics.median(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct-q4")
    parser.add_argument("--text", default="wikipedia-sample")
    parser.add_argument("--site", default="resid_post.6")
    parser.add_argument("--sequences", type=int, default=384)
    parser.add_argument("--features", type=int, nargs="+", default=[1024, 2048], help="each with five k")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads or torch.get_num_threads())
    found = measure(given)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"  {name:15s} {value}")
    verdict = "met" if found["ratio"] <= MARK else "missed"
    print(f"sweep / (pass + sum): {found['ratio']:.3f}   at most {MARK:g} {verdict}")


if __name__ == "__main__":
    main()
