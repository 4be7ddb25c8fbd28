"""encode_topk against the reference, which sorts every row whole."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import TOLERANCE, Encoder, encoders

from sparse_kernels import KernelError, encode_topk
from sparse_kernels.cpu import encoder


@settings(max_examples=80, deadline=None)
@given(case=encoders(), relu=st.booleans())
def test_same_features_in_the_same_order_as_a_whole_sort(case: Encoder, relu: bool):
    index, value = encode_topk(case.x, case.weight, case.bias, case.k, relu=relu, backend="cpu")
    wanted_index, wanted = encode_topk(case.x, case.weight, case.bias, case.k, relu=relu, backend="reference")
    assert index.dtype == torch.int64
    assert value.dtype == case.x.dtype
    torch.testing.assert_close(value, wanted, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(index, wanted_index, rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(
    case=encoders(largest=1100),
    groups=st.integers(1, 40),
    share=st.floats(0, 1),
    relu=st.booleans(),
    large=st.sampled_from([1, 20, 1024]),
)
def test_the_same_features_of_each_group_as_a_whole_sort(
    case: Encoder, groups: int, share: float, relu: bool, large: int
):
    size = max(1, len(case.weight) // groups)
    groups = len(case.weight) // size
    weight, bias = case.weight[: groups * size], case.bias[: groups * size]
    k = 1 + round(share * (size - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "LARGE_GROUP", large)
        index, value = encode_topk(case.x, weight, bias, k, relu=relu, groups=groups, backend="cpu")
    wanted_index, wanted = encode_topk(case.x, weight, bias, k, relu=relu, groups=groups, backend="reference")
    torch.testing.assert_close(value, wanted, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(index, wanted_index, rtol=0, atol=0)
    for group in range(groups):
        own = slice(group * size, (group + 1) * size)
        alone, _ = encode_topk(case.x, weight[own], bias[own], k, relu=relu, backend="reference")
        assert torch.equal(index[:, group * k : (group + 1) * k], alone + own.start)


@pytest.mark.parametrize("size", [9, 900, 2000])
def test_groups_over_several_tiles_and_their_gradients(size: int):
    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        f = 18000
        leaves = [torch.randn(*s, generator=generator).requires_grad_() for s in ((300, 6), (f, 6), (f,))]
        index, value = encode_topk(*leaves, 2, groups=f // size, backend=backend)
        value.square().sum().backward()
        return [index, value.detach(), *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        scale = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(found / scale, wanted / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (33, 577, 1025, 32), (600, 24, 1300, 7), (5, 8, 2000, 300)])
@pytest.mark.parametrize("relu", [True, False])
def test_real_numbers_agree_to_rounding(shape: tuple[int, int, int, int], relu: bool):
    n, d, f, k = shape
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(n, d, generator=generator), torch.randn(f, d, generator=generator)
    bias = torch.randn(f, generator=generator)
    index, value = encode_topk(x, weight, bias, k, relu=relu, backend="cpu")
    scores = x @ weight.T + bias
    wanted = (scores.relu() if relu else scores).topk(k).values
    torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-4)
    chosen = scores.gather(1, index)
    torch.testing.assert_close(value, chosen.relu() if relu else chosen, rtol=1e-4, atol=1e-4)
    assert all(len(set(row)) == k for row in index.tolist())


def test_more_rows_than_one_block_and_scratch_memory_used_again():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(70, 4, generator=generator)
    for n in (4096, 4097, 3):
        x = torch.randn(n, 4, generator=generator)
        index, value = encode_topk(x, weight, None, 5, backend="cpu")
        wanted = torch.relu(x @ weight.T).topk(5)
        torch.testing.assert_close(value, wanted.values, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(index, wanted.indices)


def test_rows_without_enough_positives_are_padded_with_the_lowest_other_features():
    weight = torch.tensor([[-1.0], [2.0], [-3.0], [1.0]])
    index, value = encode_topk(torch.tensor([[1.0]]), weight, torch.zeros(4), 4, backend="cpu")
    assert index.tolist() == [[1, 3, 0, 2]]
    assert value.tolist() == [[2.0, 1.0, 0.0, 0.0]]


def test_a_nan_row_says_so_and_leaves_its_neighbours_alone():
    x = torch.tensor([[1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0], [-1.0, 0.0]])
    index, value = encode_topk(x, weight, None, 2, backend="cpu")
    assert index[0].tolist() == [1, 2]
    assert value[0].tolist() == [3.0, 2.0]
    assert value[1].isnan().all()
    assert torch.isnan(value[2]).any()  # 0 * inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("relu", [True, False])
def test_gradients_agree_with_autograd_through_the_whole_sort(dtype: torch.dtype, relu: bool):
    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        operands = [torch.randn(*shape, generator=generator).to(dtype) for shape in ((21, 13), (77, 13), (77,))]
        leaves = [operand.requires_grad_() for operand in operands]
        _, value = encode_topk(*leaves, 40, relu=relu, backend=backend)
        target = torch.randn(value.shape, generator=generator)
        (value.float() * target).sum().backward()
        return [value, *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, **TOLERANCE[dtype])


def test_gradcheck_in_float64():
    generator = torch.Generator().manual_seed(0)
    operands = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((3, 4), (6, 4), (6,))]
    leaves = [operand.requires_grad_() for operand in operands]
    assert torch.autograd.gradcheck(lambda *given: encode_topk(*given, 2)[1], leaves)


def test_without_bias_and_without_need_of_a_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    weight = torch.randn(9, 3)
    _, value = encode_topk(x, weight, None, 2, backend="cpu")
    value.sum().backward()
    assert x.grad is not None
    assert weight.grad is None
    with torch.no_grad():
        assert not encode_topk(x, weight, None, 2, backend="cpu")[1].requires_grad


def test_two_runs_are_bit_identical():
    def run() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        leaves = [torch.randn(*s, generator=generator).requires_grad_() for s in ((300, 40), (900, 40), (900,))]
        index, value = encode_topk(*leaves, 16, backend="cpu")
        value.square().sum().backward()
        return [index, value, *(leaf.grad for leaf in leaves)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def test_gradients_do_not_depend_on_the_number_of_threads():
    def run(count: int) -> list[torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            generator = torch.Generator().manual_seed(1)
            x = torch.randint(-3, 4, (90, 8), generator=generator).float()
            weight = torch.randint(-3, 4, (120, 8), generator=generator).float().requires_grad_()
            bias = torch.zeros(120, requires_grad=True)
            _, value = encode_topk(x, weight, bias, 10, backend="cpu")
            (value * torch.rand(value.shape, generator=generator)).sum().backward()
            return [value, weight.grad, bias.grad]
        finally:
            torch.set_num_threads(before)

    for one, two in zip(run(1), run(2), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"k: wanted 1 to 6 .* found 0"),
        ({"k": 7}, r"k: wanted 1 to 6 .* found 7"),
        ({"k": 2.0}, r"k: wanted a whole number; found 2.0"),
        ({"groups": 4}, r"groups: wanted a divisor of 6 .* found 4"),
        ({"groups": 0}, r"groups: wanted a divisor of 6 .* found 0"),
        ({"groups": 2.0}, r"groups: wanted a whole number; found 2.0"),
        ({"groups": 6}, r"k: wanted 1 to 1 \(the features of a group\); found 2"),
        ({"x": torch.zeros(4)}, r"x: wanted rows \[n, d\]; found \[4\]"),
        ({"x": torch.zeros(2, 4, dtype=torch.int64)}, r"x: wanted a floating dtype"),
        ({"weight": torch.zeros(6, 5)}, r"weight: wanted \[f, 4\] .* found \[6, 5\] float32 on cpu"),
        ({"weight": torch.zeros(6, 4, dtype=torch.float64)}, r"weight: wanted the dtype of x \(torch.float32\)"),
        ({"weight": torch.zeros(6, 4, device="meta")}, r"weight: wanted the device of x"),
        ({"bias": torch.zeros(5)}, r"bias: wanted \[6\] .* found \[5\]"),
        ({"backend": "gpu"}, r"wanted a backend of auto, reference, cpu, triton; found 'gpu'"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {"x": torch.zeros(2, 4), "weight": torch.zeros(6, 4), "bias": torch.zeros(6), "k": 2} | change
    with pytest.raises(KernelError, match=message):
        encode_topk(**given)
