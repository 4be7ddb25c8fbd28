"""Ablation: what stands in for a component's output: the corrupted prompt's, the mean one, or zero."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Silent, Site

from .component_model import Activations, ComponentModel
from .contrast import Contrast


class Ablation:
    """Stand-ins for one set of prompts.

    resample: the activations of the corrupted twin at the same position. mean: the mean over the clean prompts'
    real tokens. zero: nothing.
    """

    def __init__(
        self,
        parts: ComponentModel,
        contrast: Contrast,
        kind: str,
        batch: int,
        progress: Progress | None = None,
    ) -> None:
        self.parts, self.kind = parts, kind
        self._means: dict[Site, Tensor] = {}
        self._mean_outputs: Tensor | None = None
        if kind == "mean":
            self._gather(contrast, batch, progress or Silent())

    def _gather(self, contrast: Contrast, batch: int, progress: Progress) -> None:
        progress.phase("averaging activations", len(contrast), "prompts")
        count = int(contrast.lengths.sum())
        for some in contrast.batches(batch):
            held = self.parts.activations(some.clean_batch)
            real = some.real
            for site in self.parts.sites:
                self._means[site] = self._means.get(site, 0) + held[site][real].sum(0) / count
            outputs = self.parts.outputs(held)[:, real.flatten()].sum(1) / count
            self._mean_outputs = outputs if self._mean_outputs is None else self._mean_outputs + outputs
            progress.advance(len(some))

    def activations(self, some: Contrast) -> dict[Site, Tensor]:
        """Stand-ins where sources are read (`ComponentModel.sites`), shaped like a run of these prompts."""
        if self.kind == "resample":
            return self.parts.activations(some.corrupted_batch)
        shape = tuple(some.clean.shape)
        if self.kind == "mean":
            return {site: mean.expand(*shape, *mean.shape) for site, mean in self._means.items()}
        model = self.parts.model
        heads = (model.shape.n_heads, model.shape.d_head)
        widths = {site: heads if site.kind == "attn_z" else (model.shape.d_model,) for site in self.parts.sites}
        zero = torch.zeros((), dtype=model.dtype, device=model.device)
        return {site: zero.expand(*shape, *width) for site, width in widths.items()}

    def outputs(self, some: Contrast, held: Activations | None = None) -> Float[Tensor, "sources n d"]:
        """Stand-ins for what sources write; `held` are the activations above, if they are known."""
        if self.kind == "resample":
            return self.parts.outputs(held if held is not None else self.activations(some))
        n, model = some.clean.numel(), self.parts.model
        if self._mean_outputs is not None:
            return self._mean_outputs[:, None].expand(-1, n, -1).contiguous()
        return torch.zeros(
            len(self.parts.components.sources), n, model.shape.d_model, dtype=model.dtype, device=model.device
        )
