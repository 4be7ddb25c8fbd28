"""Times of the sparse kernels beside the bare product and plain PyTorch: `python tests/benchmarks/bench_kernels.py`.

Interleaved rounds; the median time, and the median over the rounds of the ratio to the bare product. "Bare product"
is `torch.ops.mkldnn._linear_pointwise` in float32 with weights packed beforehand and a fresh output.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

from sparse_kernels import decode, encode_topk
from sparse_kernels.cpu.product import linear_packed, pack

Case = Callable[[], object]
NOISY = 1.5
"""Upper over lower quartile of the bare product's times from which the machine was too noisy to tell."""


def encode_cases(n: int, f: int, d: int, k: int) -> dict[str, Case]:
    x, weight, bias = torch.randn(n, d), torch.randn(f, d) / d**0.5, torch.zeros(f)
    packed = pack(weight, n)
    rough_x, rough_weight = x.bfloat16(), weight.bfloat16()
    return {
        "bare product": lambda: linear_packed(x, packed, bias),
        "bare product, bfloat16": lambda: torch.nn.functional.linear(rough_x, rough_weight),
        "matmul + topk": lambda: torch.relu(torch.addmm(bias, x, weight.T)).topk(k),
        "encode_topk": lambda: encode_topk(x, weight, bias, k, backend="cpu"),
    }


def decode_cases(n: int, f: int, d: int, k: int) -> dict[str, Case]:
    index, value = torch.randint(0, f, (n, k)), torch.rand(n, k)
    weight = torch.randn(f, d)
    leaves = [tensor.clone().requires_grad_() for tensor in (value, weight)]

    def bag(v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding_bag(index, w, per_sample_weights=v, mode="sum")

    def own(v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return decode(index, v, w, backend="cpu")

    def both_ways(operation: Callable[..., torch.Tensor]) -> None:
        for leaf in leaves:
            leaf.grad = None
        operation(*leaves).sum().backward()

    return {
        "embedding_bag": lambda: bag(value, weight),
        "decode": lambda: own(value, weight),
        "embedding_bag, with gradients": lambda: both_ways(bag),
        "decode, with gradients": lambda: both_ways(own),
    }


def step_cases(n: int, f: int, d: int, k: int) -> dict[str, Case]:
    x = torch.randn(n, d)

    def trained(reconstruct: Callable[..., torch.Tensor]) -> Case:
        generator = torch.Generator().manual_seed(0)
        shapes = ((f, d), (f,), (f, d), (d,))
        weights = [torch.nn.Parameter(torch.randn(*s, generator=generator) / d**0.5) for s in shapes]
        adam = torch.optim.Adam(weights, lr=1e-4, fused=True)

        def step() -> None:
            adam.zero_grad()
            (reconstruct(*weights) - x).square().sum(1).mean().backward()
            adam.step()

        return step

    def sparse(encoder: torch.Tensor, bias: torch.Tensor, decoder: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        return decode(*encode_topk(x, encoder, bias, k, backend="cpu"), decoder, backend="cpu") + offset

    def dense(encoder: torch.Tensor, bias: torch.Tensor, decoder: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        scores = torch.relu(torch.nn.functional.linear(x, encoder, bias))
        top = scores.topk(k)
        return torch.zeros_like(scores).scatter(1, top.indices, top.values) @ decoder + offset

    packed = pack(torch.randn(f, d), n)
    return {
        "bare product": lambda: linear_packed(x, packed, None),
        "training step": trained(sparse),
        "training step, plain PyTorch": trained(dense),
    }


def measure(cases: dict[str, Case], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each case in each round, every case once a round, after two rounds of warming up."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 2):
        for name, case in cases.items():
            begin = time.perf_counter()
            case()
            if turn >= 2:
                times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def report(title: str, times: dict[str, list[float]]) -> None:
    first = next(iter(times.values()))
    low, _, high = statistics.quantiles(first, n=4)
    print(
        f"\n{title}" + (f"  (too noisy to tell: quartiles {low:.1f} and {high:.1f} ms)" if high > NOISY * low else "")
    )
    for name, each in times.items():
        ratio = statistics.median(own / base for own, base in zip(each, first, strict=True))
        print(f"  {name:32s} {statistics.median(each):9.2f} ms  x {ratio:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1024])
    parser.add_argument("--features", type=int, nargs="+", default=[2048, 4608])
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    for n in given.rows:
        for f in given.features:
            for name, cases in (("encode", encode_cases), ("decode", decode_cases), ("step", step_cases)):
                title = f"{name}: {n} rows x {f} features, width {given.width}, k {given.k}, {given.threads} threads"
                report(title, measure(cases(n, f, given.width, given.k), given.rounds))


if __name__ == "__main__":
    main()
