"""PlainDecoder: a text fed piece by piece to a plain model, which keeps its keys and values."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import TextError, generator

from .generate import choose
from .plain import PlainModel
from .sampling import Sampling


class PlainDecoder:
    """One sequence so far. What was fed can be taken back, so that continuations start from the same place."""

    def __init__(self, model: PlainModel) -> None:
        from transformers import DynamicCache

        self._model, self._cache = model, DynamicCache()
        self.length = 0

    @torch.no_grad()
    def feed(self, ids: Int[Tensor, " t"], keep: int = 0) -> Float[Tensor, "k v"]:
        """Logits after each of the last `keep` tokens of these (0: after every one).

        Raises:
            TextError: no token, or more than the model's context holds.
        """
        if not len(ids) or self.length + len(ids) > self._model.n_ctx:
            raise TextError(
                f"wanted between 1 and {self._model.n_ctx - self.length} tokens more",
                f"found {len(ids)} after {self.length}",
                "the context of the model bounds prompt and new tokens together",
            )
        out = self._model.model(
            input_ids=ids[None], past_key_values=self._cache, use_cache=True, logits_to_keep=keep
        )  # fmt: skip
        self.length += len(ids)
        return out.logits[0]

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert 0 < length <= self.length, (length, self.length)
        if length < self.length:
            self._cache.crop(length - self.length)
            self.length = length


class Sampler:
    """Chooses one next token after the other, as `HookedModel.generate` does for its first row."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling, self._sources = sampling, [generator(seed, "generate", 0)]

    def __call__(self, logits: Float[Tensor, " v"]) -> int:
        return int(choose(logits[None].float(), self._sampling, self._sources))
