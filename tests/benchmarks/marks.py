"""The marks that the kernels and the training step are held to, beside what this machine measures.

    python tests/benchmarks/marks.py [kernels] [training] [--rounds 9] [--threads 2]

Prints and never fails: a time depends on the machine, and the marks are those of two cores. Peers in plain PyTorch run
in the same rounds, through the same harness.
"""

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import Result, get
from workbench.evaluation import KernelBenchConfig, TrainingBenchConfig

CONFIGS = {"kernels": KernelBenchConfig, "training": TrainingBenchConfig}
FLOAT32 = "encode_topk, float32 only"


class Mark(NamedTuple):
    """At most `limit` times the case `against` at shapes that begin so, or at most `limit` MB."""

    operation: str
    shape: str
    case: str
    against: str
    limit: float


MARKS = {
    "kernels": (
        Mark("encode_topk", "4096 x 18432", FLOAT32, "bare product", 0.75),
        Mark("encode_topk", "4096 x 4608", FLOAT32, "bare product", 0.85),
        Mark("encode_topk", "4096 x 18432", FLOAT32, "matmul + topk", 0.45),
        Mark("encode_topk", "4096 x 18432", "encode_topk", FLOAT32, 0.85),
        Mark("encode_topk", "4096 x 65536", "encode_topk", "MB", 64),
        Mark("encode_topk", "4096 x 65536", FLOAT32, "MB", 64),
        Mark("decode", "4096 x 32", "decode", "embedding_bag", 1.0),
        Mark("decode + gradients", "4096 x 32", "decode", "embedding_bag", 0.9),
        Mark("nearest_code, cosine", "4096 x 10000", "nearest_code", "bare product", 1.1),
        Mark("nearest_code, euclidean", "4096 x 10000", "nearest_code", "bare product", 1.1),
        Mark("gather_mlp", "1 token", "gather_mlp, a fixed quarter", "dense MLP", 0.4),
        Mark("gather_mlp", "1 token", "gather_mlp, a quarter by index", "dense MLP", 0.4),
        Mark("gather_mlp", "1 token", "topk_mlp, the token's own quarter", "dense MLP", 0.7),
    ),
    "training": (
        Mark("training step", "4096 x 4608", "TopK, float32 only", "bare product", 1.45),
        Mark("training step", "4096 x 4608", "TopK", "bare product", 1.3),
        Mark("training step", "4096 x 4608", "TopK, AuxK on a tenth", "bare product", 1.6),
        Mark("training step", "4096 x 18432", "TopK, float32 only", "bare product", 1.3),
        Mark("training step", "4096 x 18432", "TopK", "bare product", 0.95),
        Mark("training step", "4096 x 18432", "TopK", "plain PyTorch", 0.2),
        Mark("training step", "4096 x 18432", "BatchTopK", "TopK", 1.3),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", default=list(CONFIGS), help="kernels, training; none: both")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    for name in given.benches:
        result: Result = get("benchmark", name)(CONFIGS[name](rounds=given.rounds, threads=given.threads))
        print(f"{name}: {result.params['processor']}, {result.params['threads_used']} threads")
        for mark in MARKS[name]:
            for row, found in measured(mark, result.tables[name]):
                verdict = "too noisy to tell" if row["noisy"] else "met" if found <= mark.limit else "missed"
                what = f"{mark.operation}, {row['shape']}, {row['dtype']}: {mark.case} / {mark.against}"
                print(f"  {what:105s} {found:8.3g}   at most {mark.limit:<5g} {verdict}")


def measured(mark: Mark, rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """Each row that a mark is about, with the median of the rounds' ratios (of the medians where neither is a base)."""
    for row in rows:
        if (row["operation"], row["case"]) != (mark.operation, mark.case) or not row["shape"].startswith(mark.shape):
            continue
        if mark.against == "MB":
            yield row, row["transient_mb"] or float("nan")
            continue
        same = ("operation", "shape", "dtype")
        beside = next(
            each for each in rows if each["case"] == mark.against and all(each[key] == row[key] for key in same)
        )
        if mark.against == row["floor"]:
            yield row, row["ratio_floor"]
        elif beside["ratio_plain"] == 1.0:
            yield row, row["ratio_plain"]
        else:
            yield row, row["ms"] / beside["ms"]


if __name__ == "__main__":
    main()
