"""Put codebooks into a language model, train them on text, and say what they cost."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.core import ConfigError, Edit, Manifest, Progress, Result, Silent, Site, SiteError, child
from workbench.data import PackConfig, PackedText
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet
from workbench.models import HookedModel
from workbench.training import LanguageConfig, LanguageModule, TokenRows, TrainedLanguage, fit_language
from workbench.workspace import Workspace

from .codebook_artifact import RESULT, save_codebooks
from .codebook_losses import CodebookLosses
from .codebooks_config import CodebooksConfig
from .subject import open_subject

log = logging.getLogger(__name__)


def train_codebooks(
    place: Workspace,
    name: str,
    sites: Sequence[Site | str],
    codebook: CodebookConfig | None = None,
    config: CodebooksConfig | None = None,
    *,
    model: str,
    text: str,
    pack: PackConfig | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Train codebooks at some sites of a model by name into `dictionaries/<name>`; resumes where it stopped.

    Losses are measured on the held-out split in the dtype that trains.

    Raises:
        ConfigError: no site, or settings that contradict the folder's. SiteError: a site that is not there.
    """
    progress, config = progress or Silent(), config or CodebooksConfig()
    folder = place.path_of("dictionaries", name)
    if (folder / "manifest.json").exists():
        return Result.load(folder / RESULT)
    subject, packed = open_subject(model, text, pack, device=device, dtype=dtype, offline=offline, progress=progress)
    books = new_codebooks(subject, sites, codebook or CodebookConfig(), name)
    with place.lock(f"train-{name}"):
        return fine_tune(subject, books, packed, folder, config, progress)


def new_codebooks(
    model: HookedModel, sites: Sequence[Site | str], config: CodebookConfig, name: str = "codebooks"
) -> DictionarySet:
    """Codebooks at some sites of a model; without a number of groups, one for each head at attn_z.

    Raises:
        ConfigError: no site, or groups that do not divide its vectors. SiteError: a site that the model lacks.
    """
    made: dict[str, Codebook] = {}
    for site in map(Site.parse, sites):
        if site.layer is not None and not 0 <= site.layer < model.shape.n_layers:
            raise SiteError(f"no layer {site.layer} in {model.ref.id}", f"it has {model.shape.n_layers}")
        own, size = config, {site: model.shape.row_size(site)}
        if "groups" not in config.model_fields_set and site.kind == "attn_z" and site.head is None:
            own = config.model_copy(update={"groups": model.shape.n_heads})
        made[str(site)] = Codebook(own, size, size, f"{name}/{site}").to(model.device)
    if not made:
        raise ConfigError("there is no site to put a codebook at", hint="name some, e.g. attn_z.3 or mlp_out.5")
    return DictionarySet(made, name)


def fine_tune(
    model: HookedModel,
    books: DictionarySet,
    text: PackedText,
    folder: Path,
    config: CodebooksConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Start the codes from the model's own activations, train, measure, and write the artifact to `folder`.

    Returns:
        scalars `ce_model`, `ce_start`, `ce_trained`, `ce_codes_off` (nats a token) and the gaps to the model;
        tables `losses`, `sites` and `training`.
    """
    config, progress = config or CodebooksConfig(), progress or Silent()
    train, heldout = text.split("train"), text.split("heldout")
    start_codes(model, books, train, config, progress)
    losses = CodebookLosses(model, heldout, config.heldout_sequences, config.seed)
    module = LanguageModule(model, list(books.values()), trains=config.train, autocast=config.autocast)
    if not (folder / "start.json").exists():
        losses.measure("model", "no codes, the model as it came", progress=progress)
        losses.measure("start", "codes as they start", _edits(books), progress=progress)
        losses.write(folder / "start.json")
    else:
        losses.read(folder / "start.json")
    rows, steps = _rows(train, config)
    trained = fit_language(module, rows, folder, _language(config, steps), progress, name=books.name)
    if trained.partial:
        return _result(books, losses, trained, config, {})
    weights = trained.weights
    losses.measure("trained", "codes after training", _edits(books), weights, progress=progress)
    if weights:
        losses.measure("codes_off", "no codes, the trained model", (), weights, progress=progress)
    use = losses.use(books, weights, progress)
    result = _result(books, losses, trained, config, use)
    manifest = Manifest(
        kind="dictionary set", model=model.ref, text=text.ref, mask=model.policy, seed=config.seed,
        config=config.model_dump(mode="json"),
    )  # fmt: skip

    def fill(staging: Path) -> None:
        shutil.copy2(folder / "metrics.jsonl", staging / "metrics.jsonl")
        result.save(staging / RESULT)

    save_codebooks(books, folder, manifest, weights, model.params() if weights else {}, fill)
    return result


@torch.no_grad()
def start_codes(
    model: HookedModel, books: DictionarySet, text: PackedText, config: CodebooksConfig, progress: Progress
) -> None:
    """Set every book's codes from the activations of some training sequences, the lower books not in force."""
    progress.phase("start codes", total=len(books), unit="sites")
    sample = text.take(torch.arange(min(config.start_sequences, len(text))))
    found: dict[Site, list[Tensor]] = {book.reads[0]: [] for book in books.values()}
    for start in range(0, len(sample), config.batch_sequences):
        part = sample.take(torch.arange(start, min(start + config.batch_sequences, len(sample))))
        longest = int(part.lengths.max())
        real = torch.arange(longest)[None] < part.lengths[:, None]
        for site, x in model.capture(part.ids[:, :longest].long(), tuple(found)).items():
            found[site].append(x[real.to(x.device)].flatten(1).float())
    for book in books.values():
        assert isinstance(book, Codebook)
        rows = torch.cat(found[book.site])
        book.initialise_in_model(rows, child(config.seed, "start", str(book.site)))
        progress.advance()


def _edits(books: DictionarySet) -> list[Edit]:
    return [Edit.through(book) for book in books.values()]


def _rows(text: PackedText, config: CodebooksConfig) -> tuple[TokenRows, int]:
    """Rows of one step each, and how many steps hold the tokens asked for."""
    per_step = config.batch_sequences * float(text.lengths.float().mean())
    steps = max(1, round(config.tokens / per_step))
    passes = -(-steps // max(len(text) // config.batch_sequences, 1))
    return TokenRows(text, config.batch_sequences, passes, config.seed), steps


def _language(config: CodebooksConfig, steps: int) -> LanguageConfig:
    return LanguageConfig(
        trains=config.train, steps=steps, batch_sequences=config.batch_sequences, lr=config.lr,
        codes_lr=config.codes_lr, warm_up=config.warm_up, decay_share=config.decay_share, clip=config.clip,
        autocast=config.autocast, checkpoint_every_chunks=config.checkpoint_every_steps, seed=config.seed,
    )  # fmt: skip


def _result(
    books: DictionarySet,
    losses: CodebookLosses,
    trained: TrainedLanguage,
    config: CodebooksConfig,
    use: Mapping[str, Mapping[str, Any]],
) -> Result:
    last = trained.metrics[-1] if trained.metrics else {}
    sites = [
        {"site": str(book.reads[0]), "codes": book.config.codes, "groups": book.config.groups, "k": book.config.k}
        | dict(use.get(name, {}))
        for name, book in books.items()
    ]
    return Result(
        kind="codebook training",
        scalars=losses.scalars() | {"tokens": float(last.get("tokens", 0)), "steps": float(last.get("step", 0))},
        tables={"losses": losses.records(), "sites": sites, "training": trained.metrics},
        params=config.model_dump(mode="json"),
        inputs=losses.inputs,
        notes=losses.notes(),
        seed=config.seed,
        partial=trained.partial,
    )
