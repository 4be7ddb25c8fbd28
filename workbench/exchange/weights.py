"""What every format boils down to: encoder, decoder and a gate, in our orientation, before a kind is chosen."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from workbench.core import ArtifactError, Site


@dataclass(frozen=True)
class CoderWeights:
    """One coder: y = W_dec^T gate(W_enc x + b_enc) + W_skip x + b_dec; a row is a feature.

    Attributes:
        gate: relu, topk, jumprelu, batchtopk, matryoshka, gated, signed-topk, abs-topk or groupmax.
        k: active features of the gates that count them.
        threshold: [f], or one number for batchtopk and matryoshka.
        r_mag, b_mag: the magnitude path of gated coders.
        ends: the last feature of each nested dictionary but the whole (matryoshka).
        row_norm: how each row is normalised before encoding; `restore` says whether the output is scaled back.
        read, write: Sites, None where the format does not say.
        model: id of the language model, None where the format does not say.
        notes: what a reader should know, one line each.
    """

    gate: str
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    W_skip: Tensor | None = None
    k: int | None = None
    threshold: Tensor | None = None
    r_mag: Tensor | None = None
    b_mag: Tensor | None = None
    ends: tuple[int, ...] = ()
    row_norm: str = "none"
    row_eps: float = 0.0
    restore: bool = True
    read: Site | None = None
    write: Site | None = None
    model: str | None = None
    prepend_bos: bool | None = None
    skip_first: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[0]

    def centred(self, bias: Tensor) -> "CoderWeights":
        """The same coder when `bias` is subtracted from its input: folded into the biases of the encoder, in float64.

        The skip connection sees the input as it is in every format that has both.
        """
        shift = self.W_enc.double() @ bias.double()
        changed = {"b_enc": (self.b_enc.double() - shift).to(self.W_enc.dtype)}
        if self.b_mag is not None and self.r_mag is not None:
            moved = self.b_mag.double() - self.r_mag.double().exp() * shift
            changed["b_mag"] = moved.to(self.W_enc.dtype)
        return replace(self, **changed)

    def scaled(self, source: float, target: float) -> "CoderWeights":
        """The same coder on raw activations, when its weights act on x * `source` and write y * `target`.

        Values come out in the units of the raw activations: W_enc stays, biases and thresholds shrink with the input.
        """

        def divided(tensor: Tensor | None, by: float) -> Tensor | None:
            return None if tensor is None else (tensor.double() / by).to(tensor.dtype)

        def multiplied(tensor: Tensor | None, by: float) -> Tensor | None:
            return None if tensor is None else (tensor.double() * by).to(tensor.dtype)

        return replace(
            self, b_enc=divided(self.b_enc, source), threshold=divided(self.threshold, source),
            b_mag=divided(self.b_mag, source), W_dec=multiplied(self.W_dec, source / target),
            b_dec=divided(self.b_dec, target), W_skip=multiplied(self.W_skip, source / target),
        )  # fmt: skip

    def gated_by_decoder_norm(self) -> "CoderWeights":
        """The same coder when its gate sees pre-activations times the norm of their decoder row, undone after it."""
        norm = self.W_dec.double().norm(dim=1)
        if not bool((norm > 0).all()):
            raise ArtifactError("a gate scaled by decoder norms wants decoder rows that are not zero")
        dtype = self.W_enc.dtype
        return replace(
            self, W_enc=(self.W_enc.double() * norm[:, None]).to(dtype), b_enc=(self.b_enc.double() * norm).to(dtype),
            W_dec=(self.W_dec.double() / norm[:, None]).to(dtype),
        )  # fmt: skip


@dataclass(frozen=True)
class CrossLayerWeights:
    """A cross-layer transcoder: encoder l reads layer l, decoder (l, t) writes from layer l to layer t >= l.

    Attributes:
        decoders: by source and target layer, each [f, d].
        skips: by layer, [d_out, d_in]; empty without a skip connection.
    """

    gate: str
    W_enc: tuple[Tensor, ...]
    b_enc: tuple[Tensor, ...]
    decoders: dict[tuple[int, int], Tensor]
    b_dec: tuple[Tensor, ...]
    thresholds: tuple[Tensor, ...] = ()
    skips: tuple[Tensor, ...] = ()
    k: int | None = None
    reads: tuple[Site, ...] = ()
    writes: tuple[Site, ...] = ()
    model: str | None = None
    skip_first: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_layers(self) -> int:
        return len(self.W_enc)


def at_least_zero(threshold: Tensor) -> Tensor:
    """Thresholds of formats that apply a ReLU as well: below 0 they do nothing."""
    return torch.clamp_min(threshold, 0.0)
