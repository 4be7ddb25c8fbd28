"""One row of every site for each text, with what a probe could cheat by."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from workbench.core import Progress, Silent, Site, SiteError, position_mask
from workbench.models import HookedModel, TokenBatch

from .probe_config import TextRowsConfig

Array = np.ndarray
BAG_NORM = 10.0
"""Mean norm of the rows of counts, so that the usual penalties suit them."""


class TextRows(NamedTuple):
    """Rows of some texts.

    Attributes:
        types: the token that was read, or the first one where the text was averaged: what a memory could key on.
        baselines: `tokens` (counts, rare ones weighing more) and `length` (tokens, characters, their logarithms), and,
            where one token was read, `token read` (which of the frequent ones it is).
    """

    rows: dict[Site, Float[Array, "n d"]]
    types: Int[Array, " n"]
    baselines: dict[str, Float[Array, "n _"]]


def parse_sites(text: Sequence[str], model: HookedModel) -> tuple[Site, ...]:
    """Sites; a kind without a layer (`resid_post`) means all layers, `mlp_out.4-7` a range.

    Raises:
        SiteError: no such kind or layer.
    """
    found: list[Site] = []
    for part in (piece.strip() for words in text for piece in words.split(",") if piece.strip()):
        kind, _, layers = part.partition(".")
        first, dash, last = layers.partition("-")
        if not layers and kind not in ("embed", "final_norm", "logits", "lnf_scale"):
            found += [Site(kind, layer) for layer in range(model.shape.n_layers)]
        elif dash and first.isdigit() and last.isdigit():
            found += [Site(kind, layer) for layer in range(int(first), int(last) + 1)]
        else:
            found.append(Site.parse(part))
    for site in found:
        if site.layer is not None and site.layer >= model.shape.n_layers:
            raise SiteError(f"no layer {site.layer} in {model.ref.id}", f"its layers end at {model.shape.n_layers - 1}")
    return tuple(dict.fromkeys(found))


def text_rows(
    model: HookedModel,
    texts: Sequence[str],
    sites: Sequence[Site],
    config: TextRowsConfig | None = None,
    progress: Progress | None = None,
) -> TextRows:
    """Read every text once. A text is cut in front of its end where it is longer than `config.tokens`."""
    config, progress = config or TextRowsConfig(), progress or Silent()
    progress.phase("read texts", total=len(texts), unit="texts")
    own = token_ids(model, texts, config.tokens)
    rows: dict[Site, list[tuple[int, Array]]] = {site: [] for site in sites}
    for here, batch, mask in text_batches(model, own, config.batch_texts):
        mask[torch.arange(len(here)), batch.lengths - 1] = True  # a text of one token is read where it stands
        for site, found in model.capture(batch, sites).items():
            found = found.float().flatten(2).cpu()
            read = _pooled(found, mask, batch.lengths, config.pool).numpy()
            rows[site] += list(zip(here.tolist(), read, strict=True))
        progress.advance(len(here))
    placed = {
        site: np.stack([row for _, row in sorted(found, key=lambda pair: pair[0])]) for site, found in rows.items()
    }
    types = np.array([ids[-1] if config.pool == "last" else ids[0] for ids in own])
    baselines = {"tokens": _bag(own, config.bag), "length": _lengths(texts, own)}
    if config.pool == "last":
        baselines["token read"] = _bag([ids[-1:] for ids in own], config.bag)
    return TextRows(placed, types, baselines)


def token_ids(model: HookedModel, texts: Sequence[str], most: int) -> list[list[int]]:
    """The tokens of each text without BOS, cut so that at most `most` are left with it."""
    most -= len(_front(model))
    return [model.tokenizer.encode(text)[:most] for text in texts]


def text_batches(
    model: HookedModel, own: Sequence[Sequence[int]], size: int
) -> Iterator[tuple[Int[Array, " n"], TokenBatch, Bool[torch.Tensor, "n t"]]]:
    """Texts of similar length together: which ones, their tokens (BOS by the model's policy), positions that count."""
    special, order = tuple(model.tokenizer.special_ids), np.argsort([len(ids) for ids in own], kind="stable")
    for start in range(0, len(order), size):
        here = order[start : start + size]
        batch = _batch([[*_front(model), *own[i]] for i in here])
        yield here, batch, position_mask(batch.ids, model.policy, special, batch.lengths)


def _front(model: HookedModel) -> list[int]:
    return [model.tokenizer.bos_id] if model.policy.prepend_bos and model.tokenizer.bos_id is not None else []


def _batch(rows: Sequence[Sequence[int]]) -> TokenBatch:
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = torch.tensor(row)
    return TokenBatch(ids, lengths)


def _pooled(found: torch.Tensor, mask: torch.Tensor, lengths: torch.Tensor, pool: str) -> torch.Tensor:
    if pool == "last":
        return found[torch.arange(len(found)), lengths - 1]
    weight = mask[..., None].float()
    return (found * weight).sum(1) / weight.sum(1)


def _bag(own: Sequence[Sequence[int]], most: int) -> Float[Array, "n v"]:
    """Square roots of counts times inverse document frequencies."""
    documents = Counter(token for ids in own for token in set(ids))
    place = {token: number for number, (token, _) in enumerate(documents.most_common(most))}
    counts = np.zeros((len(own), max(len(place), 1)), dtype=np.float32)
    for row, ids in zip(counts, own, strict=True):
        for token in ids:
            if token in place:
                row[place[token]] += 1
    rarity = np.log(len(own) / np.array([documents[token] for token in place])) if place else np.ones(1)
    weighted = np.sqrt(counts) * (1 + rarity)
    return BAG_NORM * weighted / max(float(np.linalg.norm(weighted, axis=1).mean()), 1e-12)


def _lengths(texts: Sequence[str], own: Sequence[Sequence[int]]) -> Float[Array, "n 4"]:
    tokens, characters = np.array([len(ids) for ids in own]), np.array([len(text) for text in texts])
    return np.stack([tokens, characters, np.log1p(tokens), np.log1p(characters)], 1).astype(float)
