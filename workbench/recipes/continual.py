"""Class-incremental learning by name: on digits, or on topics of Wikipedia articles as a language model sees them."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site, TextError
from workbench.data import ARTICLE_TOPICS, LabelledRows, PackConfig, PackedText, digits
from workbench.dictionaries import KeyValueConfig
from workbench.evaluation import ContinualConfig, continual
from workbench.models import HookedModel, TokenBatch
from workbench.workspace import Workspace

from .continual_config import TopicRowsConfig
from .subject import open_subject


def continual_by_name(
    place: Workspace,
    data: str,
    config: ContinualConfig,
    bottleneck: KeyValueConfig,
    rows: TopicRowsConfig | None = None,
    *,
    model: str = "",
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """`continual` on `digits` or `topics`; the Result is saved as `results/continual-<data>`.

    Raises:
        TextError: the text lacks articles of a topic.
    """
    progress = progress or Silent()
    if data == "digits":
        found = digits()
    else:
        rows = rows or TopicRowsConfig()
        pack = PackConfig(sequence_length=rows.window)
        subject, text = open_subject(
            model, "wikipedia-sample", pack, device=device, dtype=dtype, offline=offline, progress=progress
        )
        found = topic_rows(subject, text, rows, progress)
    result = continual(found, config, bottleneck, progress)
    if not result.partial:
        result.save(place.path_of("results", f"continual-{data}"))
    return result


def topic_rows(
    model: HookedModel, text: PackedText, config: TopicRowsConfig, progress: Progress | None = None
) -> LabelledRows:
    """One row for each window of the articles in `ARTICLE_TOPICS`: the mean state of its counted positions."""
    progress = progress or Silent()
    topic_of = {title: number for number, titles in enumerate(ARTICLE_TOPICS.values()) for title in titles}
    documents = [number for number, title in enumerate(text.document_ids) if title in topic_of]
    if {topic_of[text.document_ids[number]] for number in documents} != set(range(len(ARTICLE_TOPICS))):
        raise TextError(f"{text.ref.id} lacks articles of a topic", hint="use wikipedia-sample")
    chosen = torch.cat([_spread(text, number, config.windows_per_article) for number in documents])
    part = text.take(chosen)
    progress.phase("mean states", total=len(part), unit="windows")
    rows = []
    for start in range(0, len(part), config.batch_windows):
        rows.append(_mean_states(model, part.take(_range(start, config.batch_windows, len(part))), config.layer))
        progress.advance(len(rows[-1]))
    label = torch.tensor([topic_of[text.document_ids[number]] for number in part.document.tolist()])
    source = f"{text.ref.id} ({text.ref.licence}), mean states of {model.ref.id} at resid_post.{config.layer}"
    return LabelledRows(torch.cat(rows), label, part.document.long(), tuple(ARTICLE_TOPICS), source)


def _range(start: int, count: int, end: int) -> Tensor:
    return torch.arange(start, min(start + count, end))


def _spread(text: PackedText, document: int, count: int) -> Tensor:
    """Up to `count` full windows of a document, evenly spread over it."""
    here = ((text.document == document) & (text.lengths == text.lengths.max())).nonzero()[:, 0]
    return here[torch.linspace(0, len(here) - 1, min(count, len(here))).round().long()] if len(here) else here


def _mean_states(model: HookedModel, part: PackedText, layer: int) -> Float[Tensor, "n d"]:
    site = Site("resid_post", layer)
    states = model.capture(TokenBatch(part.ids.long(), part.lengths.long()), [site])[site].float().cpu()
    mask = part.mask(model.policy, tuple(model.tokenizer.special_ids))[..., None].float()
    return (states * mask).sum(1) / mask.sum(1).clamp_min(1)
