"""Logit lens and tuned lens on held-out text: how far each layer's reading is from what the model says."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site
from workbench.data import PackedText
from workbench.evaluation import EvaluateConfig, difference, ratio
from workbench.models import HookedModel, TokenBatch

from .lens import Readout, readout
from .tuned_lens import TunedLens
from .tuned_lens_config import LensConfig

LENSES = ("logit", "tuned")
ROWS = 128
"""Rows whose logits exist at a time."""


@torch.no_grad()
def compare_lenses(
    model: HookedModel,
    lens: TunedLens,
    text: PackedText,
    config: LensConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """KL of each lens from the model's own prediction (nats, over all tokens), and how often both name the same token.

    Table `lenses`: site, layer, logit, tuned (with intervals over documents), gain (logit less tuned, paired),
    logit_agreement, tuned_agreement. `text` is taken as it is: give sequences that the lens was not trained on.
    """
    config, progress = config or LensConfig(), progress or Silent()
    read = readout(model)
    sites = sorted(lens.translators, key=lambda site: site.layer or 0)
    last = Site("resid_post", model.shape.n_layers - 1)
    mask = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    documents = np.unique(text.document.numpy(), return_inverse=True)[1]
    sums = np.zeros((len(sites), 4, documents.max() + 1))
    counts = np.zeros(documents.max() + 1)
    progress.phase("compare lenses", total=len(text), unit="sequences")
    for number in range(len(text)):
        part = text.take(torch.tensor([number]))
        found = model.capture(TokenBatch(part.ids.long(), part.lengths.long()), [*sites, last])
        kept = mask[number, : int(part.lengths)].nonzero()[:, 0]
        own = {site: x[0, kept.to(x.device)].float() for site, x in found.items()}
        counts[documents[number]] += len(kept)
        for place, site in enumerate(sites):
            sums[place, :, documents[number]] += _distances(read, own[last], own[site], lens(site, own[site]))
        progress.advance()
        if progress.cancelled():
            break
    settings = EvaluateConfig(bootstrap=config.bootstrap, seed=config.seed)
    rows = []
    for place, site in enumerate(sites):
        row = {"site": str(site), "layer": site.layer}
        for column, name in enumerate(LENSES):
            kl = ratio(sums[place, column], counts, settings)
            row |= {name: kl.value, f"{name}_low": kl.low, f"{name}_high": kl.high}
        gain = difference((sums[place, 0], counts), (sums[place, 1], counts), settings)
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        rows.append(row | {f"{n}_agreement": sums[place, 2 + i].sum() / counts.sum() for i, n in enumerate(LENSES)})
    return Result(
        kind="lenses",
        scalars={f"mean_{name}_kl": float(np.mean([row[name] for row in rows])) for name in LENSES},
        tables={"lenses": rows},
        params={**config.model_dump(mode="json"), "model": model.ref.id, "text": text.ref.id},
        notes=(
            f"KL in nats from the model's prediction, all tokens; {int(counts.sum())} positions of {len(counts)} "
            "held-out documents; intervals: bootstrap over documents.",
        ),
        seed=config.seed,
        partial=bool(progress.cancelled()),
    )


def _distances(
    read: Readout, last: Float[Tensor, "n d"], plain: Float[Tensor, "n d"], translated: Float[Tensor, "n d"]
) -> Float[np.ndarray, " 4"]:
    """KL of both lenses and how often each agrees on the top token, summed."""
    total = np.zeros(4)
    for start in range(0, len(last), ROWS):
        final = read(last[start : start + ROWS]).log_softmax(-1)
        for column, residual in enumerate((plain, translated)):
            said = read(residual[start : start + ROWS]).log_softmax(-1)
            total[column] += float(torch.linalg.vecdot(final.exp(), final - said).sum())
            total[2 + column] += int((final.argmax(-1) == said.argmax(-1)).sum())
    return total
