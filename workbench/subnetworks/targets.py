"""Targets: the distributions that a subnetwork is asked to answer with."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import ConfigError, MaskPolicy, Site
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch

_TOKENS_AT_ONCE = 512


class Wanted(NamedTuple):
    """Distributions over the vocabulary and which of them each position wants."""

    probs: Float[Tensor, "m v"]
    index: Int[Tensor, " p"]


class Target(Protocol):
    """What to answer at some positions of some sequences."""

    def wanted(self, tokens: TokenBatch, where: Bool[Tensor, "n t"]) -> Wanted:
        """The distributions at the positions of `where`, row after row."""
        ...


class BigramTarget:
    """A target that looks at the current token alone."""

    def probs(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        """The distribution of what follows each token, float32."""
        raise NotImplementedError

    def wanted(self, tokens: TokenBatch, where: Bool[Tensor, "n t"]) -> Wanted:
        distinct, index = tokens.ids[where].unique(return_inverse=True)
        return Wanted(self.probs(distinct), index)

    def surprisal(self, current: Int[Tensor, " m"], following: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """-ln p(following | current) in nats; infinite where that is 0."""
        distinct, index = current.unique(return_inverse=True)
        found = torch.empty(len(current))
        for start in range(0, len(distinct), _TOKENS_AT_ONCE):
            probs = self.probs(distinct[start : start + _TOKENS_AT_ONCE])
            here = ((index >= start) & (index < start + _TOKENS_AT_ONCE)).nonzero()[:, 0]
            found[here] = -probs[index[here] - start, following[here]].log().cpu()
        return found

    def first(self, current: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
        """The likeliest token after each."""
        distinct, index = current.unique(return_inverse=True)
        parts = [self.probs(part).argmax(1) for part in distinct.split(_TOKENS_AT_ONCE)]
        return torch.cat(parts)[index].cpu()


class CorpusBigrams(BigramTarget):
    """Conditional counts of a text, backed off to single tokens by absolute discounting.

    p(y | x) = max(c(x, y) - d, 0) / c(x) + d * n(x) / c(x) * p(y), with n(x) the different tokens seen after x and p(y)
    the share of y with one added to every count; a token never seen goes on as p(y). A discount of 0 leaves raw counts
    (as Chang and Bergen 2025 have them), in which most pairs have no chance at all.
    """

    def __init__(self, text: PackedText, vocabulary: int, discount: float = 0.75) -> None:
        if not 0 <= discount < 1:
            raise ConfigError(f"a discount lies in [0, 1), found {discount}")
        self.vocabulary, self.discount = vocabulary, discount
        ids, lengths = text.ids.numpy().astype(np.int64), text.lengths.numpy()
        inside = np.arange(1, ids.shape[1])[None] < lengths[:, None]
        codes, self._counts = np.unique(ids[:, :-1][inside] * vocabulary + ids[:, 1:][inside], return_counts=True)
        self._current, self._following = codes // vocabulary, codes % vocabulary
        self._starts = np.searchsorted(self._current, np.arange(vocabulary + 1))
        singles = np.bincount(self._following, self._counts, minlength=vocabulary) + 1
        self._single = torch.from_numpy(singles / singles.sum()).float()
        self.seen = np.bincount(self._current, self._counts, minlength=vocabulary)

    def counts(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        """How often each token followed each of these."""
        found = torch.zeros(len(tokens), self.vocabulary)
        for row, token in zip(found, tokens.tolist(), strict=True):
            span = slice(self._starts[token], self._starts[token + 1])
            row[torch.from_numpy(self._following[span])] = torch.from_numpy(self._counts[span]).float()
        return found

    def probs(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        counts = self.counts(tokens.cpu())
        total = counts.sum(1, keepdim=True)
        left = self.discount * (counts > 0).sum(1, keepdim=True)
        found = ((counts - self.discount).clamp_min_(0) + left * self._single) / total.clamp_min(1)
        return torch.where(total > 0, found, self._single).to(tokens.device)


class OwnBigrams(BigramTarget):
    """The model's answer to a token alone (after BOS, if the policy puts one in front), computed when first asked for.

    What is kept of each token is the row before the unembedding, so that all of a large vocabulary fits into memory.
    """

    def __init__(self, model: HookedModel, weights: Mapping[str, Tensor] | None = None) -> None:
        self.model, self._weights = model, dict(weights or {})
        shape, bos = model.shape, getattr(model.tokenizer, "bos_id", None)
        self._head = [bos] if model.policy.prepend_bos and bos is not None else []
        self._rows = torch.zeros(shape.d_vocab, shape.d_model, dtype=model.dtype)
        self._known = torch.zeros(shape.d_vocab, dtype=torch.bool)

    def probs(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        return torch.softmax(self.logits(tokens), 1)

    @torch.no_grad()
    def logits(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        """The model's logits after each token alone, float32."""
        self._learn(tokens.cpu())
        params = self.model.params() | self._weights
        rows = self._rows[tokens.cpu()].to(self.model.device)
        logits = (rows @ params["unembed.W_U"]).float()
        if (bias := params.get("unembed.b_U")) is not None:
            logits += bias
        cap = self.model.shape.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _learn(self, tokens: Int[Tensor, " m"]) -> None:
        missing = tokens[~self._known[tokens]].unique()
        for part in missing.split(_TOKENS_AT_ONCE) if len(missing) else ():
            head = torch.tensor(self._head, dtype=part.dtype).expand(len(part), -1)
            site, ids = Site("final_norm"), torch.cat([head, part[:, None]], 1)
            run = self.model.run(ids, sites=[site], logits=False, weights=self._weights or None)
            self._rows[part] = run.activations[site][:, -1].cpu()
            self._known[part] = True


class FullAnswer:
    """The model's whole answer, context and all: the target of the subnetwork that is called optimal."""

    def __init__(self, model: HookedModel) -> None:
        self.model = model

    @torch.no_grad()
    def wanted(self, tokens: TokenBatch, where: Bool[Tensor, "n t"]) -> Wanted:
        logits = self.model.run(tokens).logits
        assert logits is not None
        probs = torch.softmax(logits[where].float(), 1)
        return Wanted(probs, torch.arange(len(probs), device=probs.device))


def trained_positions(tokens: TokenBatch, policy: MaskPolicy, bos: int | None) -> Bool[Tensor, "n t"]:
    """Real positions without the BOS in front."""
    places = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    real = places < tokens.lengths[:, None]
    if policy.prepend_bos and bos is not None:
        real[:, 0] = False
    return real
