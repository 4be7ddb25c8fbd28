"""Path patching: what a sender does to receivers directly, not through other heads (Wang et al. 2022, 2211.00593).

First run: the clean prompts with the sender's output ablated and every other head held at its clean output, so that
the change reaches the receivers along direct paths only (through MLPs, unless they are held, too). Second run: the
clean prompts with only the receivers' queries, keys, values or MLP inputs as they were in the first.
"""

import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent, Site
from workbench.models import HookedModel

from .ablation import Ablation
from .component_config import PathPatchConfig
from .component_model import FINAL, Activations, ComponentModel, Function
from .component_scores import node_result, stop_if_cancelled
from .contrast import Contrast, Pairs, contrast_of
from .patch import node_sites, replace

_READS = {"q": "attn_q", "k": "attn_k", "v": "attn_v"}


@torch.no_grad()
def path_patch(
    model: HookedModel, pairs: Pairs, config: PathPatchConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score every node by what the metric loses through its direct paths into the receivers: table `nodes`.

    Raises:
        ConfigError: an unknown receiver. TextError: pairs that do not fit together.
    """
    config, progress = config or PathPatchConfig(), progress or Silent()
    parts = ComponentModel(model)
    receivers = receiver_sites(parts, config.receivers)
    contrast = contrast_of(model, pairs)
    ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
    scores = torch.zeros(len(parts.components.sources), dtype=torch.float64)
    progress.phase("patching paths", len(contrast) * len(scores), "runs")
    for some in contrast.batches(config.batch):
        clean, instead, base = parts.activations(some.clean_batch), ablation.activations(some), parts.value(some)
        for number, (site, head) in enumerate(node_sites(parts)):
            stop_if_cancelled(progress)
            first = [*_held(parts, clean, site, config.through_mlps), replace(site, head, instead)]
            value = _received(parts, some, first, receivers)
            scores[number] += float((base - value).double().sum()) / len(contrast)
            progress.advance(len(some))
    return node_result(parts, "path patching", scores, config, pairs=contrast.digest)


def receiver_sites(parts: ComponentModel, names: tuple[str, ...]) -> list[tuple[Site, int | None]]:
    """Where receivers are written in the second run, with the head; final_norm for `logits`.

    Raises:
        ConfigError: an unknown receiver, or no receiver.
    """
    if not names:
        raise ConfigError("path patching needs a receiver", hint="logits, m3, a9.h9 or a9.h9<q>")
    if "logits" in names and len(names) > 1:
        raise ConfigError("the receiver logits goes alone", "its input would hide what the other receivers change")
    found: list[tuple[Site, int | None]] = []
    for name in names:
        if name == "logits":
            found.append((FINAL, None))
            continue
        whole = name.startswith("a") and "<" not in name
        for reader in [f"{name}<{part}>" for part in "qkv"] if whole else [name]:
            parts.components.reader(reader)
            node, _, part = reader.rstrip(">").partition("<")
            layer, _, head = node[1:].partition(".h")
            if not part:
                found.append((Site("mlp_in", int(layer)), None))
                continue
            size = 1 if part == "q" else parts.components.n_heads // parts.components.n_kv_heads
            found.append((Site(_READS[part], int(layer)), int(head) // size))
    return list(dict.fromkeys(found))


def _held(parts: ComponentModel, clean: Activations, sender: Site, through_mlps: bool) -> list[Function]:
    """All heads (and MLPs) at their clean outputs; the sender's own change comes after."""
    kinds = ("attn_z",) if through_mlps else ("attn_z", "mlp_out")
    return [replace(site, None, clean) for site in parts.sites if site.kind in kinds]


def _received(
    parts: ComponentModel, some: Contrast, first: list[Function], receivers: list[tuple[Site, int | None]]
) -> Tensor:
    """The metric of the second run."""
    sites = [site for site, _ in receivers]
    seen = parts.model.intervene(some.clean_batch, first, sites=list(dict.fromkeys(sites)), logits=False).activations
    if FINAL in seen:
        return parts.readout.metric(seen[FINAL], some)
    return parts.value(some, [replace(site, head, seen) for site, head in receivers])
