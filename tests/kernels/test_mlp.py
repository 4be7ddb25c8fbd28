"""gather_mlp and topk_mlp against torch.nn's own MLP with the other neurons switched off."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import TOLERANCE

from sparse_kernels import KernelError, Neurons, gather_mlp, slice_mlp, topk_mlp
from sparse_kernels.cpu import mlp

FUNCTIONS = {
    "silu": torch.nn.SiLU(),
    "gelu": torch.nn.GELU(),
    "gelu_tanh": torch.nn.GELU(approximate="tanh"),
    "relu": torch.nn.ReLU(),
}


def _neurons(
    generator: torch.Generator, m: int, d: int, e: int, dtype: torch.dtype, gated: bool, biased: bool
) -> Neurons:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    w_in, w_out = normal(m, d) / max(d, 1) ** 0.5, normal(m, e) / m**0.5
    return Neurons(
        w_in,
        w_out,
        normal(m, d) if gated else None,
        normal(m) if biased else None,
        normal(m) if biased and gated else None,
        normal(e) if biased else None,
    )


def _whole(x: torch.Tensor, neurons: Neurons, counts: torch.Tensor, activation: str) -> torch.Tensor:
    """Every neuron in float64, each times how often it was chosen, [n m] or [m]."""
    w_in, w_out, w_gate, b_in, b_gate, b_out = (None if w is None else w.double() for w in neurons)
    up = torch.nn.functional.linear(x.double(), w_in, b_in)
    if w_gate is None:
        hidden = FUNCTIONS[activation](up)
    else:
        hidden = FUNCTIONS[activation](torch.nn.functional.linear(x.double(), w_gate, b_gate)) * up
    return torch.nn.functional.linear(hidden * counts, w_out.T, b_out)


def _close(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else TOLERANCE[dtype]
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(found.double() / scale, wanted / scale, **tolerance)


shapes = st.tuples(st.integers(0, 20), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))
dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes,
    chosen=st.integers(0, 300),
    dtype=dtypes,
    gated=st.booleans(),
    biased=st.booleans(),
    shared=st.booleans(),
    activation=st.sampled_from(list(FUNCTIONS)),
    index_dtype=st.sampled_from([torch.int64, torch.int32]),
    strided=st.booleans(),
    backend=st.sampled_from(["cpu", "cpu", "reference"]),
    seed=st.integers(0, 1000),
)
def test_chosen_neurons_are_the_whole_mlp_with_the_others_switched_off(
    shape, chosen, dtype, gated, biased, shared, activation, index_dtype, strided, backend, seed
):
    n, m, d, e = shape
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(d, n, generator=generator).T if strided else torch.randn(n, d, generator=generator)).to(dtype)
    neurons = _neurons(generator, m, d, e, dtype, gated, biased)
    if strided:
        neurons = neurons._replace(w_out=neurons.w_out.T.contiguous().T)
    index = torch.randint(0, m, (chosen,) if shared else (n, chosen), generator=generator)
    counts = torch.zeros(*index.shape[:-1], m, dtype=torch.float64)
    counts.scatter_add_(-1, index, torch.ones(index.shape, dtype=torch.float64))
    given = {"index": index.to(index_dtype), "activation": activation, "backend": backend}
    found = gather_mlp(x, **neurons._asdict(), **given)
    _close(found, _whole(x, neurons, counts, activation), dtype)


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    part=st.floats(0, 1),
    dtype=dtypes,
    gated=st.booleans(),
    biased=st.booleans(),
    activation=st.sampled_from(list(FUNCTIONS)),
    backend=st.sampled_from(["cpu", "cpu", "reference"]),
    seed=st.integers(0, 1000),
)
def test_the_largest_activations_are_chosen(shape, part, dtype, gated, biased, activation, backend, seed):
    n, m, d, e = shape
    k = max(1, round(part * m))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator).to(dtype)
    neurons = _neurons(generator, m, d, e, dtype, gated, biased)
    out, index = topk_mlp(x, k=k, **neurons._asdict(), activation=activation, backend=backend)
    assert index.shape == (n, k)
    assert index.dtype == torch.int64
    assert (index.diff(dim=1) > 0).all(), "rising, so all different"
    counts = torch.zeros(n, m, dtype=torch.float64).scatter_(1, index, 1.0)
    _close(out, _whole(x, neurons, counts, activation), dtype)
    weight, bias = (None if tensor is None else tensor.double() for tensor in neurons.first())
    sizes = FUNCTIONS[activation](torch.nn.functional.linear(x.double(), weight, bias)).abs()
    left_out = sizes.masked_fill(counts.bool(), -1.0).amax(1, keepdim=True) if n else sizes[:, :1]
    assert (sizes.gather(1, index) >= left_out - 1e-4).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_ties_go_to_the_lowest_neurons(backend: str):
    x, w_in = torch.ones(1, 1), torch.tensor([[0.0], [2.0], [1.0], [2.0], [-3.0], [2.0]])
    _, index = topk_mlp(x, w_in, torch.ones(6, 1), 2, activation="relu", backend=backend)
    assert index.tolist() == [[1, 3]]
    _, index = topk_mlp(x, -w_in.abs(), torch.ones(6, 1), 3, activation="relu", backend=backend)
    assert index.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_nan_is_chosen_first_and_infinities_are_numbers(backend: str):
    x = torch.tensor([[1.0], [float("nan")]])
    w_in = torch.tensor([[1.0], [float("nan")], [float("inf")], [5.0]])
    out, index = topk_mlp(x, w_in, torch.ones(4, 1), 2, activation="relu", backend=backend)
    assert index.tolist() == [[1, 2], [0, 1]]
    assert out.isnan().all()
    kept = gather_mlp(x[:1], w_in, torch.ones(4, 1), torch.tensor([0, 3]), activation="relu", backend=backend)
    assert kept.tolist() == [[6.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 3, mlp.MANY])
def test_large_sets_are_cut_into_shares(n: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    x, neurons = (
        torch.randn(n, 96, generator=generator).to(dtype),
        _neurons(generator, 3000, 96, 70, dtype, True, False),
    )
    index = torch.randperm(3000, generator=generator)[:2777]
    counts = torch.zeros(3000, dtype=torch.float64)
    counts[index] = 1
    _close(gather_mlp(x, **neurons._asdict(), index=index, backend="cpu"), _whole(x, neurons, counts, "silu"), dtype)


def test_a_sliced_core_is_the_fixed_set():
    generator = torch.Generator().manual_seed(0)
    x, neurons = torch.randn(2, 8, generator=generator), _neurons(generator, 300, 8, 6, torch.float32, True, True)
    index = torch.tensor([5, 0, 77, 5])
    core = slice_mlp(neurons, index)
    assert core.w_out.shape == (4, 6)
    assert core.w_out.is_contiguous()
    wanted = gather_mlp(x, **neurons._asdict(), index=index, backend="cpu")
    torch.testing.assert_close(gather_mlp(x, **core._asdict(), backend="cpu"), wanted)
    with pytest.raises(KernelError, match="index: wanted neurons 0 to 299"):
        slice_mlp(neurons, torch.tensor([300]))


@pytest.mark.parametrize("operation", ["gather", "topk"])
def test_the_same_on_every_run_and_for_every_number_of_threads(operation: str):
    generator = torch.Generator().manual_seed(0)
    x, neurons = torch.randn(2, 50, generator=generator), _neurons(generator, 900, 50, 60, torch.float32, True, True)
    index = torch.randperm(900, generator=generator)[:333]

    def run(threads: int) -> torch.Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            if operation == "gather":
                return gather_mlp(x, **neurons._asdict(), index=index, backend="cpu")
            return topk_mlp(x, k=333, **neurons._asdict(), backend="cpu")[0]
        finally:
            torch.set_num_threads(before)

    assert torch.equal(run(1), run(1))
    assert torch.equal(run(1), run(2))


def test_no_gradients_and_operands_that_require_them():
    neurons = _neurons(torch.Generator().manual_seed(0), 300, 4, 4, torch.float32, True, True)
    neurons = Neurons(*(weight.requires_grad_() for weight in neurons))
    x = torch.randn(1, 4, requires_grad=True)
    assert not gather_mlp(x, **neurons._asdict()).requires_grad
    assert not topk_mlp(x, k=3, **neurons._asdict())[0].requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(4)}, r"x: wanted rows \[n, d\]; found \[4\]"),
        ({"w_in": torch.zeros(6, 5)}, r"w_in: wanted \[m, 4\] .* found \[6, 5\]"),
        ({"w_out": torch.zeros(3, 6)}, r"w_out: wanted \[6, d_out\] .* found \[3, 6\] .* try .T"),
        ({"w_gate": torch.zeros(5, 4)}, r"w_gate: wanted \[6, 4\] .* found \[5, 4\]"),
        ({"w_gate": torch.zeros(6, 4).bfloat16()}, r"w_gate: wanted the dtype of x"),
        ({"b_in": torch.zeros(5)}, r"b_in: wanted \[6\]"),
        ({"b_out": torch.zeros(6)}, r"b_out: wanted \[3\]"),
        ({"b_gate": torch.zeros(6)}, r"b_gate: wanted w_gate beside it"),
        ({"activation": "tanh"}, r"activation: wanted one of silu, gelu, gelu_tanh, relu; found 'tanh'"),
        ({"index": torch.tensor([0, 6])}, r"index: wanted neurons 0 to 5 of w_in; found 0 to 6"),
        ({"index": torch.tensor([-1])}, r"index: wanted neurons 0 to 5"),
        ({"index": torch.zeros(2)}, r"index: wanted int64 or int32; found \[2\] float32"),
        ({"index": torch.zeros(3, 1, dtype=torch.int64)}, r"index: wanted \[j\], or \[2, j\] .* found \[3, 1\]"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {"x": torch.zeros(2, 4), "w_in": torch.zeros(6, 4), "w_out": torch.zeros(6, 3), "index": None} | change
    with pytest.raises(KernelError, match=message):
        gather_mlp(**given)


@pytest.mark.parametrize(("k", "message"), [(0, "k: wanted 1 to 6"), (7, "k: wanted 1 to 6"), (1.0, "whole number")])
def test_a_number_of_neurons_that_cannot_be_chosen(k: int, message: str):
    with pytest.raises(KernelError, match=message):
        topk_mlp(torch.zeros(2, 4), torch.zeros(6, 4), torch.zeros(6, 3), k)
