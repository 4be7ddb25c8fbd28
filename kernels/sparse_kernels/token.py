"""TokenMlp: topk_mlp and gather_mlp of one MLP for token after token, checked and laid out once."""

import functools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels.cpu.compiled import kernel_module
from sparse_kernels.cpu.mlp import ACTIVATIONS, shares_of
from sparse_kernels.cpu.pool import Pool, torch_pool
from sparse_kernels.dispatch import choose_backend
from sparse_kernels.mlp import gather_mlp, readable, topk_mlp
from sparse_kernels.neurons import Activation, Neurons, check_neurons
from sparse_kernels.operands import check_k, check_matrix


class TokenMlp:
    """The same as `topk_mlp` (with k) or `gather_mlp` of all neurons (without), at a fraction of the cost of a call.

    A token's MLP between other operations of PyTorch takes as long as a few hundred kilobytes take to read: checks,
    and a second pool of threads beside PyTorch's own, cost as much. One row on a CPU runs in PyTorch's own threads;
    everything else, and where those cannot be had, is `topk_mlp` and `gather_mlp` themselves. Not for several threads
    at once: buffers are kept.

    Raises: KernelError for weights that do not fit one another, or a k outside 1..m.
    """

    def __init__(self, neurons: Neurons, k: int | None = None, activation: Activation = "silu") -> None:
        check_neurons(neurons.w_in[:0], neurons, activation)
        if k is not None:
            check_k(k, len(neurons.w_in))
        self.neurons, self.k, self.activation = readable(neurons), k, activation
        self._prepared: _Prepared | None = None
        w_in = self.neurons.w_in
        few = 0 in (*w_in.shape, *neurons.w_out.shape) or neurons.w_in.dtype == torch.float16
        if not few and w_in.device.type == "cpu" and choose_backend("auto", w_in, len(w_in)) == "cpu":
            pool = torch_pool()
            self._prepared = None if pool is None else _Prepared(pool, self.neurons, k, activation)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        """x in the dtype of the weights.

        Raises: KernelError for an x that does not fit.
        """
        check_matrix("x", x, "rows [n, d]")
        w_in = self.neurons.w_in
        if self._prepared is not None and x.shape == (1, w_in.shape[1]) and x.dtype == w_in.dtype:
            return self._prepared(x)
        given: dict[str, Any] = self.neurons._asdict() | {"activation": self.activation}
        return gather_mlp(x, **given) if self.k is None else topk_mlp(x, k=self.k, **given)[0]


class _Prepared:
    """The operands of one token's MLP as addresses, and the buffers behind them."""

    def __init__(self, pool: Pool, neurons: Neurons, k: int | None, activation: Activation) -> None:
        module = kernel_module("token_mlp")
        kind = "whole" if k is None else "topk"
        dtype = "float32" if neurons.w_in.dtype == torch.float32 else "bfloat16"
        self._run = functools.partial(pool, getattr(module, f"{kind}_{dtype}").address)
        (m, d), e = neurons.w_in.shape, neurons.w_out.shape[1]
        chosen = m if k is None else k
        shares = shares_of(chosen)
        biases = {
            name: torch.zeros(size) if bias is None else bias.float().contiguous()
            for name, bias, size in (
                ("b_gate", neurons.b_gate, m),
                ("b_in", neurons.b_in, m),
                ("b_out", neurons.b_out, e),
            )
        }
        self._kept = {
            **biases,
            "w_in": neurons.w_in,
            "w_out": neurons.w_out,
            "w_gate": neurons.w_in if neurons.w_gate is None else neurons.w_gate,
            "every": torch.arange(m),
            "scores": torch.empty(m),
            "keys": torch.empty(m, dtype=torch.int64),
            "index": torch.empty(chosen, dtype=torch.int64),
            "hidden": torch.empty(chosen),
            "partial": torch.empty(shares, e),
        }
        numbers = {
            "thread_number": pool.thread_number, "threads": pool.threads, "barrier": pool.barrier, "d": d, "e": e,
            "m": m, "k": chosen, "activation": ACTIVATIONS.index(activation),
            "gated": neurons.w_gate is not None, "biased": neurons.b_in is not None or neurons.b_gate is not None,
            "scored": shares_of(m), "shares": shares,
        }  # fmt: skip
        self._operands = np.array([int(numbers.get(name, 0)) for name in module.FIELDS], np.int64)
        for place, name in enumerate(module.FIELDS):
            if name in self._kept:
                self._operands[place] = self._kept[name].data_ptr()
        self._address, self._width, self._dtype = self._operands.ctypes.data, e, neurons.w_out.dtype
        self._x, self._out = module.FIELDS.index("x"), module.FIELDS.index("out")

    def __call__(self, x: Tensor) -> Tensor:
        x = x.detach()
        wide = x if x.dtype == torch.float32 and x.is_contiguous() else x.float().contiguous()
        out = torch.empty(1, self._width)
        self._operands[self._x], self._operands[self._out] = wide.data_ptr(), out.data_ptr()
        self._run(self._address)
        return out if self._dtype == torch.float32 else out.to(self._dtype)
