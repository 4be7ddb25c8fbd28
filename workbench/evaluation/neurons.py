"""Plain neurons as dictionaries: what the model's own coordinates explain with as few of them."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from workbench.core import Codes, Config, ConfigError, Site
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel

from .batches import batches


class NeuronsConfig(Config):
    """How many neurons may speak in one row."""

    k: int = Field(default=32, ge=1, description="neurons active in a row; the others stand at their mean")


class Neurons(Dictionary):
    """y = b + sum over the k neurons with the largest |a_i - mean_i| * |w_i| of (a_i - mean_i) * w_i.

    The baseline of every dictionary at a matched L0: neurons of an MLP (a = `mlp_post`, w = W_out), or the plain
    coordinates of any Site (w = the standard basis). With k = all neurons it is exact.

    Args:
        directions: what each neuron writes [f, d]; mean: of each neuron [f]; bias: what is written at the mean.
    """

    family: ClassVar[str] = "neurons"
    config_class: ClassVar[type[Config]] = NeuronsConfig

    def __init__(
        self,
        config: NeuronsConfig,
        read: Site,
        write: Site,
        directions: Float[Tensor, "f d"],
        mean: Float[Tensor, " f"],
        bias: Float[Tensor, " d"],
        name: str = "",
    ) -> None:
        self._width = len(directions)
        super().__init__(config, {read: len(mean)}, {write: directions.shape[1]}, name)
        self.k = min(config.k, self._width)
        self.directions = torch.nn.Parameter(directions.detach().float(), requires_grad=False)
        self.register_buffer("mean", mean.detach().float())
        self.register_buffer("bias", bias.detach().float())
        self.mean: Tensor
        self.bias: Tensor

    @property
    def width(self) -> int:
        return self._width

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        deviation = self._input(inputs, self.reads[0]) - self.mean
        index = (deviation.abs() * self.directions.norm(dim=1)).topk(self.k, dim=1).indices
        return Codes(index, deviation.gather(1, index), self.width)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n d"]]:
        return {self.writes[0]: codes.dense() @ self.directions + self.bias}

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n d"]]:
        rows = self._input(inputs, self.reads[0])
        return {self.writes[0]: rows.new_zeros(len(rows), self.directions.shape[1])}

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        return {self.writes[0]: self.directions[index]}


def neurons_at(
    model: HookedModel,
    sites: Mapping[Site, int],
    text: PackedText,
    sequences: int = 64,
    name: str = "neurons",
) -> DictionarySet:
    """The neuron baseline that writes each of some Sites, with k given for each; means over `sequences` of the text.

    At `mlp_out` it is made of the MLP's neurons, elsewhere of the Site's coordinates.

    Raises:
        ConfigError: the MLP's output is normed before it is added (sandwich norms), so that no neuron writes a
            fixed direction.
    """
    reads = {site: Site("mlp_post", site.layer) if site.kind == "mlp_out" else site for site in sites}
    if model.shape.sandwich and any(site.kind == "mlp_out" for site in sites):
        raise ConfigError(
            f"no neuron of {model.ref.id} writes a fixed direction", hint="its MLP's output passes a norm first"
        )
    means = _means(model, text, tuple(dict.fromkeys(reads.values())), sequences)
    made = [_neurons(model, reads[site], site, means[reads[site]], k, name) for site, k in sites.items()]
    return DictionarySet(made, name)


def _neurons(model: HookedModel, read: Site, write: Site, mean: Tensor, k: int, name: str) -> Neurons:
    directions, bias = torch.eye(len(mean)), torch.zeros(len(mean))
    if read != write:
        parameters = model.params()
        directions = parameters[f"blocks.{write.layer}.mlp.W_out"].float().cpu()
        bias = parameters.get(f"blocks.{write.layer}.mlp.b_out", torch.zeros(directions.shape[1])).float().cpu()
    label = f"{name}/{read}"
    made = Neurons(NeuronsConfig(k=k), read, write, directions, mean, mean @ directions + bias, label)
    return made.to(model.device)


def _means(model: HookedModel, text: PackedText, sites: Sequence[Site], sequences: int) -> dict[Site, Tensor]:
    sums: dict[Site, Tensor] = {}
    count = 0
    for batch in batches(model, text, 8, sequences):
        mask = batch.mask.to(model.device)
        for site, x in model.capture(batch.tokens, sites).items():
            total = x[mask].flatten(1).double().sum(0).cpu()
            sums[site] = sums[site] + total if site in sums else total
        count += int(mask.sum())
    return {site: (total / max(count, 1)).float() for site, total in sums.items()}
