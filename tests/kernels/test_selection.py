"""encode_batch_topk and encode_threshold against references that hold all features of all rows."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import TOLERANCE, Encoder, encoders

from sparse_kernels import KernelError, decode, encode_batch_topk, encode_threshold, encode_topk
from sparse_kernels.cpu import batch_topk, rough, threshold

Ragged = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _same(found: Ragged, wanted: Ragged) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=80, deadline=None)
@given(case=encoders())
def test_batch_topk_takes_the_same_entries_as_one_whole_sort(case: Encoder):
    operands = case.x, case.weight, case.bias, case.k
    found = encode_batch_topk(*operands, backend="cpu")
    assert found[0].dtype == found[2].dtype == torch.int64
    assert found[1].dtype == case.x.dtype
    _same(found, encode_batch_topk(*operands, backend="reference"))


@settings(max_examples=80, deadline=None)
@given(
    case=encoders(),
    cutoff=st.one_of(st.sampled_from([0.0, 2.0, -3.0, 1e30, float("inf"), -float("inf")]), st.none()),
    positive=st.booleans(),
)
def test_threshold_takes_the_same_entries_as_a_dense_comparison(case: Encoder, cutoff: float | None, positive: bool):
    limit = case.bias.roll(1) if cutoff is None else cutoff
    operands = case.x, case.weight, case.bias, limit
    found = encode_threshold(*operands, positive=positive, backend="cpu")
    _same(found, encode_threshold(*operands, positive=positive, backend="reference"))
    dense = case.x.float() @ case.weight.float().T + case.bias.float()
    wanted = (dense > (limit.float() if isinstance(limit, torch.Tensor) else limit)) & (dense > 0 if positive else True)
    assert len(found[0]) == int((wanted | dense.isnan()).sum())


@pytest.mark.parametrize("kind", ["plain", "ties", "nan", "hopeless", "outliers", "unlike the sample"])
@pytest.mark.parametrize("bfloat16", [True, False])
def test_batch_topk_of_many_rows(kind: str, bfloat16: bool, monkeypatch: pytest.MonkeyPatch):
    """Whole numbers, so that every product is exact; several blocks of rows and tiles of features."""
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(batch_topk, "ROWS", 300)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 5, (700, 24), generator=generator).float()
    weight = torch.randint(-4, 5, (1300, 24), generator=generator).float()
    if kind == "ties":
        x, weight = x.sign(), weight.sign()
    if kind == "nan":
        x[::70] = float("nan")
        x[5, 0] = float("inf")
    if kind == "hopeless":
        weight += 1000
    if kind == "outliers":
        x[::50] *= 100
    if kind == "unlike the sample":
        x[:: 300 // 64] *= 100
    bias = torch.randint(-3, 4, (1300,), generator=generator).float()
    found = encode_batch_topk(x, weight, bias, 11, backend="cpu")
    _same(found, encode_batch_topk(x, weight, bias, 11, backend="reference"))
    assert len(found[0]) == 700 * 11


@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("limit", [40.0, 0.0, -5.0, "each", "mixed"])
def test_threshold_of_many_rows(bfloat16: bool, limit: float | str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(threshold, "ROWS", 300)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 5, (400, 24), generator=generator).float()
    weight = torch.randint(-4, 5, (9000, 24), generator=generator).float()
    bias = torch.randint(-3, 4, (9000,), generator=generator).float()
    cutoff = limit
    if limit == "each":
        cutoff = torch.randint(20, 60, (9000,), generator=generator).float()
    if limit == "mixed":  # few pass in the first tiles, many in the last
        cutoff = torch.linspace(90, -20, 9000).round()
    for positive in (True, False):
        found = encode_threshold(x, weight, bias, cutoff, positive=positive, backend="cpu")
        _same(found, encode_threshold(x, weight, bias, cutoff, positive=positive, backend="reference"))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    common=st.sampled_from([0.0, 1.0, 10.0]),
    scale=st.sampled_from([1e-20, 1.0, 1e12]),
    gate=st.sampled_from(["batch", "threshold"]),
)
def test_no_entry_that_belongs_is_lost_by_screening(seed: int, common: float, scale: float, gate: str):
    """Judged in float64: what is left out scores no more than the cut, and what is taken no less, to rounding."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(300, 96, generator=generator) + common * torch.randn(96, generator=generator)) * scale
    weight = torch.randn(1200, 96, generator=generator)
    bias = torch.randn(1200, generator=generator)
    scores = x.double() @ weight.double().T + bias.double()
    limit = float(scores.abs().max()) / 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rough, "multiplies_bfloat16", lambda: True)
        if gate == "batch":
            index, _, offsets = encode_batch_topk(x, weight, bias, 8, backend="cpu")
        else:
            index, _, offsets = encode_threshold(x, weight, bias, limit, backend="cpu")
    rows = torch.repeat_interleave(torch.arange(300), offsets.diff())
    taken = torch.zeros_like(scores, dtype=torch.bool)
    taken[rows, index] = True
    assert int(taken.sum()) == len(index)
    slack = 1e-5 * float(scores.abs().max())
    cut = float(scores.flatten().topk(300 * 8).values[-1]) if gate == "batch" else limit
    assert bool((scores[taken] >= max(cut, 0) - slack).all())
    assert bool((scores[~taken] <= cut + slack).all())


def test_screening_settles_ordinary_batches(monkeypatch: pytest.MonkeyPatch):
    """Nothing is gained where the fallback does the work."""
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(batch_topk, "_exact", None)
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(512, 64, generator=generator), torch.randn(4096, 64, generator=generator)
    assert len(encode_batch_topk(x, weight, None, 32, backend="cpu")[0]) == 512 * 32


def test_nan_ranks_above_everything_and_never_takes_more_than_its_places():
    weight = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]])
    x = torch.tensor([[1.0, 1.0], [float("nan"), 1.0], [4.0, 9.0]])
    index, value, offsets = encode_batch_topk(x, weight, None, 1, backend="cpu")
    assert index.tolist() == [0, 1, 2]
    assert offsets.tolist() == [0, 0, 3, 3]
    assert value.isnan().all()
    x[:] = float("nan")
    for backend in ("cpu", "reference"):
        index, _, offsets = encode_batch_topk(x, weight, None, 2, backend=backend)
        assert index.tolist() == [0, 1, 2, 0, 1, 2]
        assert offsets.tolist() == [0, 3, 6, 6]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_only_nan_passes_a_nan_threshold(backend: str):
    x, weight = torch.tensor([[1.0], [float("nan")]]), torch.tensor([[1.0], [2.0], [3.0]])
    limit = torch.tensor([0.0, float("nan"), 5.0])
    index, _, offsets = encode_threshold(x, weight, None, limit, backend=backend)
    assert index.tolist() == [0, 0, 1, 2]
    assert offsets.tolist() == [0, 1, 4]


def test_nothing_positive_gives_nothing():
    x, weight = torch.ones(5, 3), -torch.ones(300, 3)
    for found in (encode_batch_topk(x, weight, None, 4), encode_threshold(x, weight, None, 0.0)):
        assert [len(part) for part in found] == [0, 0, 6]
        assert decode(found[0], found[1], weight, found[2]).tolist() == [[0.0] * 3] * 5


def test_batch_topk_of_one_row_is_topk():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 16, generator=generator), torch.randn(500, 16, generator=generator)
    index, value, _ = encode_batch_topk(x, weight, None, 9, backend="cpu")
    wanted_index, wanted = encode_topk(x, weight, None, 9, backend="cpu")
    order = wanted_index[0].argsort()
    assert torch.equal(index, wanted_index[0, order])
    torch.testing.assert_close(value, wanted[0, order])


def test_the_window_of_a_straight_through_gradient():
    """threshold - bandwidth / 2 shows what lies within the bandwidth, negative thresholds and scores included."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(40, 16, generator=generator), torch.randn(300, 16, generator=generator)
    limit, bandwidth = torch.randn(300, generator=generator), 0.5
    index, value, offsets = encode_threshold(x, weight, None, limit - bandwidth / 2, positive=False, backend="cpu")
    rows = torch.repeat_interleave(torch.arange(40), offsets.diff())
    inside = value <= limit[index] + bandwidth / 2
    found = torch.zeros(40, 300, dtype=torch.bool)
    found[rows[inside], index[inside]] = True
    assert torch.equal(found, (x @ weight.T - limit).abs() <= bandwidth / 2)
    assert (value[inside] < 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gate", ["batch", "threshold", "raw"])
def test_gradients_agree_with_autograd_through_the_reference(dtype: torch.dtype, gate: str):
    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        operands = [torch.randn(*shape, generator=generator).to(dtype) for shape in ((21, 13), (77, 13), (77,))]
        leaves = [operand.requires_grad_() for operand in operands]
        if gate == "batch":
            index, value, offsets = encode_batch_topk(*leaves, 5, backend=backend)
        else:
            index, value, offsets = encode_threshold(
                *leaves, 1.0 if gate == "threshold" else -2.0, positive=gate != "raw", backend=backend
            )
        target = torch.randn(value.shape, generator=generator)
        (value.float() * target).sum().backward()
        return [index, offsets, value, *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, **TOLERANCE.get(found.dtype, {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("gate", ["batch", "threshold"])
def test_gradcheck_in_float64(gate: str):
    generator = torch.Generator().manual_seed(0)
    operands = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((3, 4), (6, 4), (6,))]
    leaves = [operand.requires_grad_() for operand in operands]
    operation = (lambda *given: encode_batch_topk(*given, 2)[1]) if gate == "batch" else None
    operation = operation or (lambda *given: encode_threshold(*given, 0.3)[1])
    assert torch.autograd.gradcheck(operation, leaves)


@pytest.mark.parametrize("gate", ["batch", "threshold"])
def test_two_runs_are_bit_identical(gate: str):
    def run() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        leaves = [torch.randn(*s, generator=generator).requires_grad_() for s in ((300, 40), (1100, 40), (1100,))]
        selected = encode_batch_topk(*leaves, 16) if gate == "batch" else encode_threshold(*leaves, 5.0)
        selected[1].square().sum().backward()
        return [*selected, *(leaf.grad for leaf in leaves)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def _given() -> dict:
    return {"x": torch.zeros(2, 4), "weight": torch.zeros(6, 4), "bias": torch.zeros(6)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"k: wanted 1 to 6 .* found 0"),
        ({"k": 7}, r"k: wanted 1 to 6 .* found 7"),
        ({"x": torch.zeros(4)}, r"x: wanted rows \[n, d\]; found \[4\]"),
        ({"weight": torch.zeros(6, 5)}, r"weight: wanted \[f, 4\] .* found \[6, 5\] float32 on cpu"),
        ({"bias": torch.zeros(5)}, r"bias: wanted \[6\] .* found \[5\]"),
        ({"backend": "gpu"}, r"wanted a backend of auto, reference, cpu, triton; found 'gpu'"),
    ],
)
def test_operands_of_batch_topk_that_do_not_fit_are_named(change: dict, message: str):
    with pytest.raises(KernelError, match=message):
        encode_batch_topk(**{**_given(), "k": 2, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": torch.zeros(5)}, r"threshold: wanted a number or \[6\] .* found \[5\] float32 on cpu"),
        ({"threshold": torch.zeros(6, dtype=torch.float64)}, r"threshold: wanted the dtype of x"),
        ({"threshold": "0"}, r"threshold: wanted a number or a tensor \[6\]; found '0'"),
        ({"threshold": True}, r"threshold: wanted a number or a tensor \[6\]; found True"),
        ({"weight": torch.zeros(6, 4, device="meta")}, r"weight: wanted the device of x"),
    ],
)
def test_operands_of_threshold_that_do_not_fit_are_named(change: dict, message: str):
    with pytest.raises(KernelError, match=message):
        encode_threshold(**{**_given(), "threshold": 0.0, **change})
