"""Coder: sparse autoencoder, transcoder and skip transcoder, with any gate; they differ in Sites and skip."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sparse_kernels import gradient_rows, remove_radial_, unit_norm_
from workbench.core import Codes, Config, ConfigError, Site, get

from .active import decode, mean_l0
from .auxiliary import Chosen, auxiliary_loss, choose_rows
from .base import Dictionary, Readers
from .config import CoderConfig
from .gates import Gate
from .initialise import Affine, AffineFit, Features, Scale, features_from_data, random_features
from .objective import Objective


class Coder(Dictionary):
    """y = W_dec^T gate(W_enc x + b_enc) + W_skip x + b_dec.

    Parameters: W_enc [f, d_in], b_enc [f], W_dec [f, d_out], b_dec [d_out], W_skip [d_out, d_in] or None.
    """

    config_class: ClassVar[type[Config]] = CoderConfig
    gate_name: ClassVar[str] = "topk"
    has_skip: ClassVar[bool] = False

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__(config, reads, writes, name)
        if len(self.reads) != 1 or len(self.writes) != 1:
            raise ConfigError(
                f"{self.family} reads one site and writes one", found=f"found {len(reads)} and {len(writes)}"
            )
        d_in, d_out = reads[self.reads[0]], writes[self.writes[0]]
        self.W_enc = nn.Parameter(torch.zeros(self.width, d_in))
        self.b_enc = nn.Parameter(torch.zeros(self.width))
        self.W_dec = nn.Parameter(torch.zeros(self.width, d_out))
        self.b_dec = nn.Parameter(torch.zeros(d_out))
        self.W_skip = nn.Parameter(torch.zeros(d_out, d_in)) if self.has_skip else None
        self.gate: Gate = get("gate", self.gate_name)(self.config)

    @property
    def width(self) -> int:
        return self.config.d_sae

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        return self.gate(self._input(inputs, self.reads[0]), self.W_enc, self.b_enc)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n out"]]:
        return {self.writes[0]: decode(codes, self.W_dec) + self.b_dec}

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n out"]]:
        if self.W_skip is None:
            return super().bypass(inputs)
        return {self.writes[0]: self._input(inputs, self.reads[0]) @ self.W_skip.T}

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Float[Tensor, ""]]:
        """`loss` = FVU (squared error over the targets' squared deviation from the batch mean) + the gate's terms.

        With `aux_k` and dead features, AuxK is added in the units of FVU, times `aux_weight`.
        """
        x, target = self._input(inputs, self.reads[0]), self._input(inputs, self.writes[0])
        base = self.b_dec if self.W_skip is None else torch.addmm(self.b_dec, x, self.W_skip.T)
        weights, dead = (self.W_enc, self.b_enc, self.W_dec), self._dead_rows()
        if dead is not None:
            weights = dead[:3]
        objective = Objective.of(target, base, weights[2], self.sparsity)
        active, terms = self.gate.learn(x, *weights[:2], objective)
        self.note_firing(active)
        fvu, residual = objective.missed(active)
        if dead is not None:
            missed = auxiliary_loss(x, *dead[3:], residual, self.config.aux_k)
            terms = {**terms, "aux": self.config.aux_weight * missed / objective.total}
        record = {f"loss_{name}": term.detach() for name, term in terms.items()}
        return {"loss": sum(terms.values(), fvu), "fvu": fvu.detach(), "l0": mean_l0(active), **record}

    def _dead_rows(self) -> Chosen | None:
        """The weights and their rows of dead features; None without AuxK, or while none is dead."""
        if not (getattr(self.config, "aux_k", 0) and torch.is_grad_enabled()):
            return None
        dead = self.rows_since_fired >= self.config.dead_after_rows
        return choose_rows(self.W_enc, self.b_enc, self.W_dec, dead) if bool(dead.any()) else None

    @torch.no_grad()
    def after_backward(self) -> None:
        """With a decoder of unit norm: take out of its gradient what the norm will undo."""
        gradient = self.W_dec.grad
        if gradient is None or not self._keeps_unit_norm:
            return
        if gradient.is_sparse:
            rows, values = gradient_rows(gradient)
            remove_radial_(values, self.W_dec, rows)
            self.W_dec.grad = torch.sparse_coo_tensor(
                rows[None], values, gradient.shape, is_coalesced=True, check_invariants=False
            )
        else:
            remove_radial_(gradient, self.W_dec)

    @torch.no_grad()
    def after_step(self) -> None:
        if self._keeps_unit_norm:
            unit_norm_(self.W_dec)

    @property
    def _keeps_unit_norm(self) -> bool:
        return getattr(self.config, "unit_norm_decoder", False)

    def parameter_groups(self) -> list[dict[str, Any]]:
        skip = [] if self.W_skip is None else [self.W_skip]
        rest = [parameter for parameter in self.parameters() if parameter is not self.W_skip]
        groups = [{"params": rest, "role": "features"}, {"params": skip, "role": "skip"}]
        return [group for group in groups if group["params"]]

    @torch.no_grad()
    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        x, y = self._input(rows, self.reads[0]), self._input(rows, self.writes[0])
        if self.W_skip is not None:
            if affine is None:
                affine = AffineFit(x.shape[1], y.shape[1]).add(x, y).solve(self.config.ridge, x.dtype)
            self.W_skip.copy_(affine.weight)
            self.b_dec.copy_(affine.bias)
        else:
            self.b_dec.copy_(y.mean(0))
        self.b_enc.zero_()
        encoder, decoder = self._starting_features(x, y - self.b_dec - self.bypass(rows)[self.writes[0]], seed)
        self.W_enc.copy_(encoder)
        self.W_dec.copy_(decoder)
        if self._keeps_unit_norm:
            self.W_enc.mul_(self.W_dec.norm(dim=1, keepdim=True))
            unit_norm_(self.W_dec)
        self.gate.calibrate_(x, self.W_enc, self.b_enc)

    def _starting_features(self, x: Tensor, residual: Tensor, seed: int) -> Features:
        if self.config.start == "data":
            return features_from_data(x, residual, self.width, self.config.decoder_share, seed)
        return random_features(x.shape[1], residual.shape[1], self.width, seed, x)

    @torch.no_grad()
    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        source, target = scales[self.reads[0]], scales[self.writes[0]]
        self.gate.shift_(source.absorb_in_reader_(self.W_enc, self.b_enc))
        self.W_dec.copy_(self.W_dec.double() / target.factor)
        bias = self.b_dec.double() / target.factor + target.mean.double()
        if self.W_skip is not None:
            skip = self.W_skip.double() * (source.factor / target.factor)
            bias = bias - skip @ source.mean.double()
            self.W_skip.copy_(skip)
        self.b_dec.copy_(bias)

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        rows, bias = self.gate.readers(self.W_enc, self.b_enc, slice(None))
        return torch.addmm(bias, self._input(inputs, self.reads[0]), rows.T)

    def readers(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "m d"]] | None = None) -> Readers | None:
        index = codes.index.flatten()
        return Readers(*self.gate.readers(self.W_enc[index], self.b_enc[index], index))

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        return {self.writes[0]: self.W_dec[index]}


class SAE(Coder):
    """Sparse autoencoder: it writes where it reads."""

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        sites = tuple(Site("resid_post", layer) for layer in layers)
        return sites, sites


class Transcoder(Coder):
    """From the MLP's input to its output (Dunefsky et al. 2024)."""

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        return tuple(Site("mlp_in", layer) for layer in layers), tuple(Site("mlp_out", layer) for layer in layers)


class SkipTranscoder(Transcoder):
    """A transcoder with an affine path beside the features (Paulo et al. 2025)."""

    has_skip = True
