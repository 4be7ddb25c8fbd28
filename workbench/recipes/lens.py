"""Train a tuned lens by name, and hold it against the logit lens."""

import torch

from workbench.core import Manifest, Progress, Result, Silent
from workbench.data import PackConfig, PackedText
from workbench.store import StreamRows
from workbench.workspace import Workspace
from workbench_probes import LensConfig, compare_lenses, lens_sites, readout, train_lens

from .subject import open_subject


def lens_by_name(
    place: Workspace,
    name: str,
    model: str,
    text: str,
    config: LensConfig | None = None,
    pack: PackConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train on the train split, compare on the held-out one; saves `models/<name>` and `results/<name>-comparison`."""
    config, progress = config or LensConfig(), progress or Silent()
    subject, packed = open_subject(model, text, pack, device=device, dtype=dtype, offline=offline, progress=progress)
    train, heldout = (_spread(packed.split(part), n) for part, n in
                      (("train", config.sequences), ("heldout", config.heldout_sequences)))  # fmt: skip
    sites = lens_sites(subject.shape.n_layers, config.every)
    rows = StreamRows(subject, train, sites, config.chunk_sequences, config.seed)
    lens, partial = train_lens(rows, readout(subject), config, progress)
    manifest = Manifest(
        kind="tuned lens",
        name=name,
        model=subject.ref,
        text=train.ref,
        mask=subject.policy,
        seed=config.seed,
        partial=partial,
        config=config.model_dump(mode="json"),
    )
    lens.save(place.path_of("models", name), manifest)
    result = compare_lenses(subject, lens, heldout, config, progress)
    if not partial and not result.partial:
        result.save(place.path_of("results", f"{name}-comparison"))
    return result


def _spread(text: PackedText, count: int) -> PackedText:
    count = min(count, len(text))
    return text.take(torch.arange(count) * len(text) // count)
