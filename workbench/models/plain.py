"""PlainModel: Hugging Face's own model, untouched, to compare with."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import ModelError


class PlainModel:
    """A Hugging Face causal language model as it comes; loaded by `load_plain`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        layers = model.config.get_text_config().num_hidden_layers
        lists = (module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == layers)
        found = next(lists, None)
        if found is None:
            raise ModelError(f"found no list of {layers} blocks in {type(model).__name__}")
        self.blocks: nn.ModuleList = found

    @torch.no_grad()
    def capture(self, ids: Int[Tensor, "b t"], layer: int) -> Float[Tensor, "b t d"]:
        """The residual stream after a layer, by a forward hook that ends the pass there."""
        caught: list[Tensor] = []

        def catch(module: nn.Module, inputs: Any, output: Any) -> None:
            caught.append(output[0] if isinstance(output, tuple) else output)
            raise _Caught

        handle = self.blocks[layer].register_forward_hook(catch)
        try:
            self.model(input_ids=ids, use_cache=False)
        except _Caught:
            pass
        finally:
            handle.remove()
        return caught[0]

    def linear_weights(self, layer: int) -> Iterator[Float[Tensor, "e d"]]:
        """The weight of every linear layer up to the end of block `layer`, [out, in]."""
        for block in list(self.blocks)[: layer + 1]:
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    yield module.weight.detach()
                elif type(module).__name__ == "Conv1D":
                    yield module.weight.detach().T.contiguous()  # pyright: ignore[reportCallIssue]


class _Caught(Exception):
    """Raised in the hook to end the pass."""
