"""Cross-layer transcoder: features read one layer's MLP input and write to that MLP and all later ones."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import Codes, Config, ConfigError, Site, get, register

from .active import Active, decode, features_active, join, mean_l0, part
from .base import Dictionary, Readers
from .config import CrossLayerConfig
from .gates import Gate
from .initialise import Affine, Scale, features_from_data, random_features
from .objective import Objective


@register("dictionary", "cross-layer-transcoder")
class CrossLayerTranscoder(Dictionary):
    """y_t = sum over s <= t of W_dec[t, s]^T a_s + b_dec[t], with a_s = gate(W_enc[s] x_s + b_enc[s]).

    Ameisen et al. 2025, "Circuit Tracing", section 2.1. The sites are met in pairs, read s before write s, so that one
    forward pass streams: each layer is encoded where it is read and decoded only into the site being written. Features
    of layer s are numbered s * d_sae to (s + 1) * d_sae - 1.

    Parameters, for L layers of f features: W_enc[s] [f, d_in], b_enc[s] [f], W_dec[t] [(t + 1) * f, d_out] (rows in
    the order of the features), b_dec[t] [d_out]: f * d * (L + L (L + 1) / 2) weights. As a node of an attribution graph
    a feature reads at its layer and writes to that MLP and all later ones.
    """

    family = "cross-layer-transcoder"
    config_class: ClassVar[type[Config]] = CrossLayerConfig
    spans_layers = True

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__(config, reads, writes, name)
        _check_pairs(self.reads, self.writes)
        f = self.config.d_sae
        self.W_enc = nn.ParameterList(nn.Parameter(torch.zeros(f, size)) for size in reads.values())
        self.b_enc = nn.ParameterList(nn.Parameter(torch.zeros(f)) for _ in reads)
        self.W_dec = nn.ParameterList(
            nn.Parameter(torch.zeros((t + 1) * f, size)) for t, size in enumerate(writes.values())
        )
        self.b_dec = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in writes.values())
        self.gates = nn.ModuleList(get("gate", self.config.gate)(self.config) for _ in reads)

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        return tuple(Site("mlp_in", layer) for layer in layers), tuple(Site("mlp_out", layer) for layer in layers)

    @property
    def width(self) -> int:
        return len(self.reads) * self.config.d_sae

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        """The codes of the read sites that are given; within one pass they come one after the other."""
        found = []
        for number, site in enumerate(self.reads):
            if site in inputs:
                codes = self._gate(number)(self._input(inputs, site), self.W_enc[number], self.b_enc[number])
                found.append(self._numbered(codes, number))
        if not found:
            self._input(inputs, self.reads[0])
        return join(found)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n d"]]:
        return {site: self._decode_at(codes, number) for number, site in enumerate(self.writes)}

    def reconstruct_at(
        self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "n d"]], site: Site
    ) -> Float[Tensor, "n d"]:
        return self._decode_at(codes, self.writes.index(site))

    def _decode_at(self, codes: Codes, number: int) -> Float[Tensor, "n d"]:
        """What the codes of layers up to this one write here; codes of later layers do not count."""
        weight = self.W_dec[number]
        if number + 1 < len(self.reads) and bool((codes.index >= len(weight)).any()):
            codes = part(codes, 0, len(weight))
        return decode(codes, weight) + self.b_dec[number]

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Float[Tensor, ""]]:
        """`loss` = the mean of the layers' FVU + the gates' terms; layers count alike, whatever their scale.

        Other sparsity penalties than the paper's tanh(c |W_dec,i| a_i) are used: those of the gates.
        """
        actives: list[Active] = []
        fvus, terms = [], {}
        for number, (read, write) in enumerate(zip(self.reads, self.writes, strict=True)):
            own = self.W_dec[number][number * self.config.d_sae :]
            objective = Objective.of(self._input(inputs, write), self.b_dec[number], own, self.sparsity)
            weights = self.W_enc[number], self.b_enc[number]
            active, extra = self._gate(number).learn(self._input(inputs, read), *weights, objective)
            actives.append(active if isinstance(active, Tensor) else self._numbered(active, number))
            fvus.append(objective.through(self.W_dec[number]).unexplained(_together(actives)))
            for name, term in extra.items():
                terms[name] = terms.get(name, 0.0) + term / len(self.reads)
        self._note_features(len(actives[0]), torch.cat([self._own(active, s) for s, active in enumerate(actives)]))
        fvu = torch.stack(fvus).mean()
        l0 = torch.stack([mean_l0(active) for active in actives]).sum()
        record = {f"loss_{name}": term.detach() for name, term in terms.items()}
        return {"loss": sum(terms.values(), fvu), "fvu": fvu.detach(), "l0": l0, **record}

    @torch.no_grad()
    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        """Features of layer s start from rows of that layer and write a share of what remains at s and later."""
        remains = []
        for bias, site in zip(self.b_dec, self.writes, strict=True):
            target = self._input(rows, site)
            bias.copy_(target.mean(0))
            remains.append(target - bias)
        f = self.config.d_sae
        for number, site in enumerate(self.reads):
            x, later = self._input(rows, site), torch.cat(remains[number:], 1)
            draw = seed + number
            if self.config.start == "data":
                encoder, decoder = features_from_data(x, later, f, self.config.decoder_share, draw)
            else:
                encoder, decoder = random_features(x.shape[1], later.shape[1], f, draw, x)
            self.W_enc[number].copy_(encoder)
            self.b_enc[number].zero_()
            self._gate(number).calibrate_(x, self.W_enc[number], self.b_enc[number])
            pieces = decoder.split([rest.shape[1] for rest in remains[number:]], 1)
            for target, piece in enumerate(pieces, number):
                # As many layers write to a target as lie before it: together they start with the share.
                self.W_dec[target][number * f : (number + 1) * f].copy_(piece / (target + 1))

    @torch.no_grad()
    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        for number, (read, write) in enumerate(zip(self.reads, self.writes, strict=True)):
            shift = scales[read].absorb_in_reader_(self.W_enc[number], self.b_enc[number])
            self._gate(number).shift_(shift)
            scales[write].absorb_in_writer_(self.W_dec[number], self.b_dec[number])

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        return torch.cat(
            [
                torch.addmm(self.b_enc[number], self._input(inputs, site), self.W_enc[number].T)
                for number, site in enumerate(self.reads)
            ],
            1,
        )

    def reads_of(self, index: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
        return index // self.config.d_sae

    def readers(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "m d"]] | None = None) -> Readers | None:
        """Wants features that read vectors of one size."""
        index = codes.index.flatten()
        layer, own = self.reads_of(index), index % self.config.d_sae
        rows = self.W_enc[0].new_zeros(len(index), self.W_enc[0].shape[1])
        bias = self.b_enc[0].new_zeros(len(index))
        for number in layer.unique().tolist():
            here = torch.nonzero(layer == number)[:, 0]
            weights = self.W_enc[number][own[here]], self.b_enc[number][own[here]]
            found = self._gate(number).readers(*weights, own[here])
            rows, bias = rows.index_copy(0, here, found[0]), bias.index_copy(0, here, found[1])
        return Readers(rows, bias)

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        found = {}
        for site, weight in zip(self.writes, self.W_dec, strict=True):
            reaches = index < len(weight)
            found[site] = torch.where(reaches[:, None], weight[index.clamp_max(len(weight) - 1)], 0.0)
        return found

    def _gate(self, number: int) -> Gate:
        gate = self.gates[number]
        assert isinstance(gate, Gate)
        return gate

    def _numbered(self, codes: Codes, number: int) -> Codes:
        return Codes(codes.index + number * self.config.d_sae, codes.value, self.width, codes.offsets)

    def _own(self, active: Active, number: int) -> Tensor:
        found, f = features_active(active), self.config.d_sae
        return found if isinstance(active, Tensor) else found[number * f : (number + 1) * f]


def _together(actives: list[Active]) -> Active:
    """What the layers so far have active, side by side."""
    dense = [active for active in actives if isinstance(active, Tensor)]
    return torch.cat(dense, 1) if dense else join([active for active in actives if isinstance(active, Codes)])


def _check_pairs(reads: tuple[Site, ...], writes: tuple[Site, ...]) -> None:
    layers = [site.layer for site in reads]
    if layers != [site.layer for site in writes] or layers != sorted(set(layers), key=lambda layer: layer or 0):
        raise ConfigError(
            "a cross-layer transcoder reads and writes one site in each of some layers, in order",
            found=f"it would read {', '.join(map(str, reads))} and write {', '.join(map(str, writes)) or 'nothing'}",
        )
