"""The logit lens: what the residual stream of each layer would predict if it were read out at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Result, ShapeError
from workbench.models import HookedModel

STATISTICS = ("entropy", "top_probability", "target_probability", "target_rank", "kl_to_final")


@dataclass(frozen=True)
class Readout:
    """The end of a model: final norm, unembedding and soft-cap.

    Attributes:
        norm: `rms` or `layer`. weight, bias: [d], the norm's effective multiplier and shift (or None).
        unembed: [d v]; unembed_bias: [v] or None. softcap: logits end as cap * tanh(logits / cap).
    """

    norm: str
    weight: Float[Tensor, " d"]
    bias: Float[Tensor, " d"] | None
    eps: float
    unembed: Float[Tensor, "d v"]
    unembed_bias: Float[Tensor, " v"] | None = None
    softcap: float | None = None

    def __call__(self, residual: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """Logits of residual vectors."""
        x = residual.to(self.weight)
        if self.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight
        x = x if self.bias is None else x + self.bias
        logits = x @ self.unembed
        logits = logits if self.unembed_bias is None else logits + self.unembed_bias
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def readout(model: HookedModel) -> Readout:
    """The readout of a model."""
    params, shape = model.params(), model.shape
    return Readout(
        norm=shape.norm,
        weight=params["ln_final.w"].detach(),
        bias=_detached(params.get("ln_final.b")),
        eps=shape.norm_eps,
        unembed=params["unembed.W_U"].detach(),
        unembed_bias=_detached(params.get("unembed.b_U")),
        softcap=shape.logit_softcap,
    )


@torch.no_grad()
def logit_lens(
    residual: Float[Tensor, "l t d"],
    read: Readout,
    ids: Int[Tensor, " t"],
    *,
    target: int | None = None,
    top: int = 5,
    chunk: int = 64,
    words: Callable[[list[int]], list[str]] | None = None,
) -> Result:
    """Read every layer's residual stream out (nostalgebraist 2020).

    Arrays, all [l t]: `entropy` (nats), `top_probability`, `target_probability`, `target_rank` (1 is best),
    `kl_to_final` (nats, KL of the last row's distribution from this row's); and `top_ids`,
    `top_probabilities` [l t top]. The target is `target` everywhere, or each position's next token (nan at
    the last position). Only `chunk` rows of logits exist at a time, beside the last layer's. Rows are the
    residual stream before the first block (layer -1) and after each block. `words` turns ids into texts for
    the table `lens` (layer, position, token, top, the statistics), which the figure draws.

    Raises:
        ShapeError: residual and ids disagree on the number of positions.
    """
    n_rows, n_positions, _ = residual.shape
    if len(ids) != n_positions:
        raise ShapeError(f"the lens wants {n_positions} token ids", found=f"found {len(ids)}")
    wanted = torch.full_like(ids, target) if target is not None else torch.cat([ids[1:], ids[:1]])
    arrays: dict[str, np.ndarray] = {
        name: np.full((n_rows, n_positions), np.nan, dtype=np.float32) for name in STATISTICS
    }
    arrays["top_ids"] = np.zeros((n_rows, n_positions, top), dtype=np.int64)
    arrays["top_probabilities"] = np.zeros((n_rows, n_positions, top), dtype=np.float32)
    for start in range(0, n_positions, chunk):
        part = slice(start, start + chunk)
        final = read(residual[-1, part]).log_softmax(-1)
        for row in range(n_rows):
            values = _statistics(read(residual[row, part]).log_softmax(-1), final, wanted[part], top)
            for name, value in values.items():
                arrays[name][row, part] = value.cpu().numpy()
    if target is None:
        arrays["target_probability"][:, -1] = arrays["target_rank"][:, -1] = np.nan
    return Result(
        kind="logit_lens",
        scalars={"kl_of_first_row": float(arrays["kl_to_final"][0].mean())},
        tables={"layers": _by_row(arrays), **({"lens": _cells(arrays, ids, words)} if words else {})},
        arrays=arrays,
        params={"target": target, "top": top, "statistic": "top_probability"},
        notes=("Each row is normed and unembedded as if it were the last; no translator is trained.",),
    )


def _statistics(
    logs: Float[Tensor, "t v"], final: Float[Tensor, "t v"], wanted: Int[Tensor, " t"], top: int
) -> dict[str, Tensor]:
    best = logs.topk(top)
    of_target = logs.gather(1, wanted[:, None])
    return {
        "entropy": -torch.linalg.vecdot(logs.exp(), logs),
        "top_probability": best.values[:, 0].exp(),
        "target_probability": of_target[:, 0].exp(),
        "target_rank": (logs > of_target).sum(-1) + 1,
        "kl_to_final": torch.linalg.vecdot(final.exp(), final - logs).clamp_min(0),
        "top_ids": best.indices,
        "top_probabilities": best.values.exp(),
    }


def _by_row(arrays: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """Medians over the positions where each statistic exists."""
    rows = []
    for row in range(len(arrays["entropy"])):
        values = {name: arrays[name][row] for name in STATISTICS}
        medians = {n: float(np.nanmedian(v)) for n, v in values.items() if not np.isnan(v).all()}
        rows.append({"layer": row - 1, **medians})
    return rows


def _cells(
    arrays: dict[str, np.ndarray], ids: Int[Tensor, " t"], words: Callable[[list[int]], list[str]]
) -> list[dict[str, float | str]]:
    """One row per layer and position."""
    best = arrays["top_ids"][:, :, 0]
    known = np.unique(best)
    names = dict(zip(known.tolist(), words(known.tolist()), strict=True))
    texts = words(ids.tolist())
    return [
        {
            "layer": row - 1,
            "position": position,
            "token": texts[position],
            "top": names[int(best[row, position])],
            "probability": float(arrays["top_probability"][row, position]),
            **{name: float(arrays[name][row, position]) for name in STATISTICS},
        }
        for row, position in np.ndindex(*best.shape)
    ]


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
