"""NeuronGate: the neurons of one MLP that stay on in a token, by a published rule; the others are set to 0."""

import copy
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.core import Codes, ConfigError, Site, child
from workbench.models import HookedModel

Rule = Literal["top-k", "teal", "cett", "cats", "random"]
RULES: tuple[Rule, ...] = get_args(Rule)
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "gelu_new": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
}
_SMALLEST = torch.finfo(torch.float32).tiny
"""A neuron at exactly 0 is silent under any threshold."""


class NeuronGate:
    """Keeps a neuron in a token where its score is large enough; a codec over `mlp_post`, exact where all are kept.

    The rules' scores, with a = `mlp_post`, s the activated gate and w_i what neuron i writes (a row of W_out):
    `top-k` keeps the `amount` largest |a| of a token (Li et al. 2022); `teal` keeps |a| >= `amount`; `cett` keeps
    |a_i| * |w_i| >= `amount` (ProSparse, Sparsing Law); `cats` keeps |s| >= `amount`; `random` keeps that share of
    the neurons, drawn anew for every token, whatever they do.

    Args:
        amount: how many, how large or which share; see the rules.
        norms: |w_i| of every neuron [f], for `cett`.
        activation: of the gate, for `cats`.
    """

    def __init__(
        self,
        layer: int,
        rule: Rule,
        amount: float,
        *,
        norms: Float[Tensor, " f"] | None = None,
        activation: str = "silu",
        seed: int = 0,
    ) -> None:
        if rule not in RULES:
            raise ConfigError(f"unknown rule {rule!r}", hint=f"rules: {', '.join(RULES)}")
        if rule == "cett" and norms is None:
            raise ConfigError("the rule cett wants the norms of what the neurons write")
        self.layer, self.rule, self.amount, self.norms, self.seed = layer, rule, amount, norms, seed
        self.site, self.gate_site = Site("mlp_post", layer), Site("mlp_pre", layer)
        self._activation = _ACTIVATIONS[activation] if rule == "cats" else None
        self.name = f"{rule}.{layer}"
        self.reads = (self.gate_site, self.site) if rule == "cats" else (self.site,)
        self.writes = (self.site,)

    def at(self, amount: float) -> "NeuronGate":
        """The same rule with another amount."""
        made = copy.copy(self)
        made.amount = amount
        return made

    def score(self, inputs: Mapping[Site, Float[Tensor, "*n f"]]) -> Float[Tensor, "*n f"]:
        """What the rule compares."""
        if self.rule == "cats":
            assert self._activation is not None
            return self._activation(inputs[self.gate_site]).abs()
        rows = inputs[self.site]
        if self.rule == "random":
            draw = torch.Generator(rows.device).manual_seed(child(self.seed, "random gate", self.layer))
            return torch.rand(rows.shape, generator=draw, device=rows.device)
        size = rows.abs()
        return size if self.norms is None or self.rule != "cett" else size * self.norms.to(size)

    def keep(self, inputs: Mapping[Site, Float[Tensor, "*n f"]]) -> Bool[Tensor, "*n f"]:
        """True where a neuron stays on."""
        score = self.score(inputs)
        if self.rule == "random":
            return score < self.amount
        if self.rule != "top-k":
            return score >= max(self.amount, _SMALLEST)
        index = score.topk(self._count(score.shape[-1]), dim=-1, sorted=False).indices
        return torch.zeros_like(score, dtype=torch.bool).scatter(-1, index, True)

    def _count(self, width: int) -> int:
        return min(max(int(self.amount), 0), width)

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n f"]]) -> Codes:
        """The kept neurons of every row with their activations; padded for `top-k`, ragged for thresholds."""
        rows = inputs[self.site]
        if self.rule == "top-k":
            index = self.score(inputs).topk(self._count(rows.shape[-1]), dim=-1, sorted=False).indices
            return Codes(index, rows.gather(1, index), rows.shape[1])
        kept = self.keep(inputs)
        place = kept.nonzero()
        offsets = torch.zeros(len(rows) + 1, dtype=torch.long, device=rows.device)
        offsets[1:] = kept.sum(1).cumsum(0)
        return Codes(place[:, 1], rows[kept], rows.shape[1], offsets)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n f"]]:
        out = codes.value.new_zeros(len(codes), codes.width)
        return {self.site: out.index_put((codes.row_ids(), codes.index), codes.value)}

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n f"]]) -> dict[Site, Float[Tensor, "n f"]]:
        return {self.site: torch.zeros_like(inputs[self.site])}

    def functions(
        self, rows: Bool[Tensor, "b t"] | None = None, count: Callable[[Bool[Tensor, "n f"]], None] | None = None
    ) -> list[tuple[Site, Callable[[Tensor], Tensor | None]]]:
        """The same as functions for `HookedModel.intervene`, without sparse codes in between, for a single pass.

        Args:
            rows: positions at which neurons are silenced; none: all.
            count: sees which neurons were kept at these positions.
        """
        held: dict[Site, Tensor] = {}

        def hold(x: Tensor) -> None:
            held[self.gate_site] = x

        def close(x: Tensor) -> Tensor:
            kept = self.keep({**held, self.site: x})
            if count is not None:
                count(kept.flatten(0, 1) if rows is None else kept[rows])
            return x * (kept if rows is None else kept | ~rows[..., None])

        functions: list[tuple[Site, Callable[[Tensor], Tensor | None]]] = [(self.site, close)]
        return [(self.gate_site, hold), *functions] if self.rule == "cats" else functions


def neuron_gate(model: HookedModel, layer: int, rule: Rule, amount: float, seed: int = 0) -> NeuronGate:
    """The gate of one MLP of a model.

    Raises:
        ConfigError: `cats` for an MLP without a gate, or with an activation that is not known.
    """
    if rule == "cats" and not model.shape.gated:
        raise ConfigError(f"the MLPs of {model.ref.id} have no gate to go by", hint="use teal, cett or top-k")
    if rule == "cats" and model.shape.act_fn not in _ACTIVATIONS:
        raise ConfigError(
            f"the activation {model.shape.act_fn!r} is not known", hint=f"known: {', '.join(_ACTIVATIONS)}"
        )
    norms = output_norms(model, layer) if rule == "cett" else None
    return NeuronGate(layer, rule, amount, norms=norms, activation=model.shape.act_fn, seed=seed)


def output_norms(model: HookedModel, layer: int) -> Float[Tensor, " f"]:
    """The norm of what each neuron of a layer writes when its activation is 1."""
    return model.params()[f"blocks.{layer}.mlp.W_out"].float().norm(dim=1)
