"""The model's own MLP neurons as nodes of a graph."""

from collections.abc import Iterable

from workbench.core import ConfigError
from workbench.dictionaries import DictionarySet, MLPNeurons, MLPNeuronsConfig
from workbench.models import HookedModel


def neuron_set(
    model: HookedModel, k: int = 32, layers: Iterable[int] | None = None, name: str = "neurons"
) -> DictionarySet:
    """The k strongest neurons of every MLP at each position, to be traced like transcoders; the rest is error.

    Raises:
        ConfigError: the MLP's output is normed before it is added (sandwich norms), so that no neuron writes a fixed
            direction, or an activation function that is not known.
    """
    if model.shape.sandwich:
        raise ConfigError(
            f"no neuron of {model.ref.id} writes a fixed direction", hint="its MLP's output passes a norm first"
        )
    params = model.params()
    made = []
    for layer in range(model.shape.n_layers) if layers is None else layers:
        prefix = f"blocks.{layer}.mlp."
        gate = params[f"{prefix}W_gate"].T if model.shape.gated else None
        weights = params[f"{prefix}W_in"].T, params[f"{prefix}W_out"], gate
        biases = params.get(f"{prefix}b_in"), params.get(f"{prefix}b_out")
        config = MLPNeuronsConfig(k=k)
        made.append(MLPNeurons(config, layer, model.shape.act_fn, *weights, *biases, name=f"{name}/mlp_in.{layer}"))
    return DictionarySet(made, name)
