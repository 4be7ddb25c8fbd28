"""PlainModel: Hugging Face's own model, untouched, to compare with, or with other MLPs in the place of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import ModelError, ShapeError

from .plain_mlp import PlainMlp, read_mlp


class PlainModel:
    """A Hugging Face causal language model as it comes; loaded by `load_plain`."""

    def __init__(self, model: Any, tokenizer: Any = None, name: str = "") -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name or type(model).__name__
        config = model.config.get_text_config()
        layers = config.num_hidden_layers
        lists = (module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == layers)
        found = next(lists, None)
        if found is None:
            raise ModelError(f"found no list of {layers} blocks in {type(model).__name__}")
        self.blocks: nn.ModuleList = found
        self.n_ctx: int = config.max_position_embeddings

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

    def mlps(self) -> tuple[PlainMlp, ...]:
        """The MLP of every layer with its weights as neurons.

        Raises:
            ModelError: an MLP whose arithmetic is not known.
        """
        config = self.model.config.get_text_config()
        return tuple(read_mlp(getattr(block, "mlp", None), config) for block in self.blocks)

    @contextmanager
    def with_mlps(self, modules: Sequence[nn.Module]) -> Iterator["PlainModel"]:
        """Inside, these modules ([b t d] -> [b t d]) stand where the MLPs of the layers were.

        Raises:
            ShapeError: not one for each layer.
        """
        if len(modules) != len(self.blocks):
            raise ShapeError(f"wanted an MLP for each of {len(self.blocks)} layers", f"found {len(modules)}")
        own = [block.mlp for block in self.blocks]
        try:
            for block, module in zip(self.blocks, modules, strict=True):
                block.mlp = module  # pyright: ignore[reportArgumentType]
            yield self
        finally:
            for block, module in zip(self.blocks, own, strict=True):
                block.mlp = module


class _Caught(Exception):
    """Raised in the hook to end the pass."""
