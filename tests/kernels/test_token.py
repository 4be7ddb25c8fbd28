"""TokenMlp against topk_mlp and gather_mlp, bit for bit, for every number of threads."""

import pytest
import torch

from sparse_kernels import KernelError, Neurons, TokenMlp, gather_mlp, topk_mlp
from sparse_kernels.cpu.pool import torch_pool


def _neurons(m: int, d: int, e: int, dtype: torch.dtype, gated: bool, biased: bool) -> Neurons:
    generator = torch.Generator().manual_seed(m + d)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    return Neurons(
        normal(m, d) / d**0.5,
        normal(m, e) / m**0.5,
        normal(m, d) / d**0.5 if gated else None,
        normal(m) if biased else None,
        normal(m) if biased and gated else None,
        normal(e) if biased else None,
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("dtype", "gated", "biased"),
    [(torch.float32, True, True), (torch.float32, False, False), (torch.bfloat16, True, False)],
)
@pytest.mark.parametrize("k", [None, 1, 133, 700])
def test_the_same_bits_as_the_operations_themselves(threads, dtype, gated, biased, k):
    neurons = _neurons(700, 60, 50, dtype, gated, biased)
    token = TokenMlp(neurons, k, "gelu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for seed in range(3):
            x = torch.randn(1, 60, generator=torch.Generator().manual_seed(seed)).to(dtype)
            if k is None:
                every = torch.arange(700)
                wanted = gather_mlp(x, **neurons._asdict(), index=every, activation="gelu", backend="cpu")
            else:
                wanted = topk_mlp(x, **neurons._asdict(), k=k, activation="gelu", backend="cpu")[0]
            assert token(x).equal(wanted)
            assert token(x).dtype == dtype
    finally:
        torch.set_num_threads(before)


def test_one_bias_alone_counts():
    neurons = _neurons(700, 60, 50, torch.float32, True, True)._replace(b_gate=None)
    x = torch.randn(1, 60, generator=torch.Generator().manual_seed(0))
    wanted = topk_mlp(x, **neurons._asdict(), k=50, backend="cpu")[0]
    torch.testing.assert_close(TokenMlp(neurons, 50)(x), wanted)


def test_many_rows_few_neurons_and_no_pool_are_the_operations(monkeypatch):
    neurons = _neurons(700, 60, 50, torch.float32, True, False)
    x = torch.randn(5, 60, generator=torch.Generator().manual_seed(0))
    whole, own = TokenMlp(neurons), TokenMlp(neurons, 90)
    torch.testing.assert_close(whole(x), gather_mlp(x, **neurons._asdict()))
    assert own(x).equal(topk_mlp(x, **neurons._asdict(), k=90)[0])
    monkeypatch.setattr("sparse_kernels.token.torch_pool", lambda: None)
    assert TokenMlp(neurons, 90)(x[:1]).equal(own(x[:1]))
    few = _neurons(20, 6, 5, torch.float32, True, False)
    assert TokenMlp(few, 4)(x[:1, :6]).equal(topk_mlp(x[:1, :6], **few._asdict(), k=4)[0])


def test_what_does_not_fit_is_refused():
    neurons = _neurons(700, 60, 50, torch.float32, True, False)
    with pytest.raises(KernelError, match="k: wanted 1 to 700"):
        TokenMlp(neurons, 701)
    with pytest.raises(KernelError):
        TokenMlp(neurons, 5)(torch.randn(1, 61))
    with pytest.raises(KernelError):
        TokenMlp(neurons, 5)(torch.randn(60))


def test_the_pool_is_pytorchs_own_where_there_is_one():
    pool = torch_pool()
    if pool is not None:
        assert all((pool.thread_number, pool.threads, pool.barrier))
