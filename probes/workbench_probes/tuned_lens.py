"""A tuned lens: per layer an affine translator into the last layer's basis, trained on KL (Belrose et al. 2023)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core import Artifact, Manifest, Progress, Silent, Site, read_artifact, write_artifact
from workbench.dictionaries import AffineFit, Scale
from workbench.store import Rows
from workbench.training import Feed, Learner, TrainConfig, train

from .lens import Readout
from .tuned_lens_config import LensConfig

KIND = "tuned lens"


class Translator(nn.Module):
    """x + weight (x - mean) / scale + bias: what the last layer's residual stream would be; begins as nothing added.

    `loss` is the mean KL of the translated prediction from the last layer's, in nats, over the readout's tokens.
    """

    def __init__(self, site: Site, last: Site, read: Readout | None, d_model: int) -> None:
        super().__init__()
        self.site, self.last, self._read = site, last, read
        self.weight = nn.Parameter(torch.zeros(d_model, d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("scale", torch.ones(()))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return x + torch.addmm(self.bias, (x - self.mean) / self.scale, self.weight.T)

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Tensor]:
        assert self._read is not None
        with torch.no_grad():
            final = self._read(inputs[self.last]).log_softmax(-1)
        said = self._read(self(inputs[self.site])).log_softmax(-1)
        return {"loss": torch.linalg.vecdot(final.exp(), final - said).mean()}

    @torch.no_grad()
    def start(self, inputs: Mapping[Site, Float[Tensor, "n d"]], ridge: float) -> None:
        """Take the units of the rows, and the least-squares map if it says the held-back quarter better than nothing.

        With some hundred rows for each dimension least squares would be close; with few it overfits where the
        residual stream is nearly the last one, and nothing added is the better start.
        """
        x, y = inputs[self.site], inputs[self.last]
        scale = Scale.of(x)
        self.mean.copy_(scale.mean)
        self.scale.fill_(1 / scale.factor)
        fitted = len(x) * 3 // 4
        plain = self.loss({site: rows[fitted:] for site, rows in inputs.items()})["loss"]
        inner = (x - self.mean) / self.scale
        found = AffineFit(x.shape[1], x.shape[1]).add(inner[:fitted], (y - x)[:fitted]).solve(ridge)
        self.weight.copy_(found.weight)
        self.bias.copy_(found.bias)
        if self.loss({site: rows[fitted:] for site, rows in inputs.items()})["loss"] >= plain:
            self.weight.zero_()
            self.bias.zero_()

    def before_step(self, sparsity: float) -> None: ...

    def after_backward(self) -> None: ...

    def after_step(self) -> None: ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "role": "lens"}]


class TunedLens:
    """Translators by layer; a layer without one is read as it is."""

    def __init__(self, translators: Mapping[Site, Translator], manifest: Manifest | None = None) -> None:
        self.translators, self.manifest = dict(translators), manifest

    @torch.no_grad()
    def __call__(self, site: Site, residual: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The residual stream of a site in the last layer's basis."""
        found = self.translators.get(site)
        return residual if found is None else found(residual.to(found.weight))

    def save(self, folder: Path, manifest: Manifest) -> Artifact:
        """Write as an artifact of kind `tuned lens`, weights in float16."""
        tensors = {
            f"{site}.{name}": tensor.half() if name in ("weight", "bias") else tensor
            for site, translator in self.translators.items()
            for name, tensor in translator.state_dict().items()
        }
        details = {"sites": [str(site) for site in self.translators], "last": str(self._last())}
        return write_artifact(folder, manifest.model_copy(update={"kind": KIND, "details": details}), tensors)

    def _last(self) -> Site:
        return next(iter(self.translators.values())).last


def load_tuned_lens(folder: Path) -> TunedLens:
    """Open what `TunedLens.save` wrote.

    Raises:
        ArtifactError: missing, damaged, or not a tuned lens.
    """
    artifact = read_artifact(Path(folder), KIND)
    tensors, last = artifact.tensors(), Site.parse(artifact.manifest.details["last"])
    translators = {}
    for name in artifact.manifest.details["sites"]:
        site = Site.parse(name)
        translator = Translator(site, last, None, len(tensors[f"{name}.bias"]))
        own = {key.removeprefix(f"{name}."): t.float() for key, t in tensors.items() if key.startswith(f"{name}.")}
        translator.load_state_dict(own)
        translators[site] = translator
    return TunedLens(translators, artifact.manifest)


def train_lens(
    rows: Rows, read: Readout, config: LensConfig | None = None, progress: Progress | None = None
) -> tuple[TunedLens, bool]:
    """Train a translator for every Site of the rows but the last, in one pass through the one training loop.

    Returns:
        The lens, and whether it was cut short.
    """
    config, progress = config or LensConfig(), progress or Silent()
    last = max(rows.sites, key=lambda site: site.layer or 0)
    first = rows.chunk(0).inputs
    read = read if config.vocabulary is None else on_likely_tokens(read, first[last], config.vocabulary)
    translators = {}
    progress.phase("start translators", total=len(rows.sites) - 1, unit="layers")
    for site in rows.sites:
        if site != last:
            translators[site] = Translator(site, last, read, first[last].shape[1]).to(first[last].device)
            translators[site].start({place: first[place] for place in (site, last)}, config.ridge)
            progress.advance()
    learners = [_learner(site, translator, rows, config) for site, translator in translators.items()]
    _, partial = train(learners, rows, 0, lambda _, records: progress.partial(records), progress)
    return TunedLens(translators), partial


def _learner(site: Site, translator: Translator, rows: Rows, config: LensConfig) -> Learner:
    steps = rows.n_chunks * max(1, round(rows.total_rows / rows.n_chunks / config.batch_rows)) * config.passes
    settings = TrainConfig(
        batch_rows=config.batch_rows,
        lr=config.lr,
        replays=config.passes,
        warm_up=5,
        outlier_factor=None,
        seed=config.seed,
    )
    zero = torch.zeros(len(translator.bias), device=translator.bias.device)
    feed = Feed({place: Scale(zero, 1.0) for place in (site, translator.last)}, {})
    return Learner(str(site), translator, feed, settings, steps)


@torch.no_grad()
def on_likely_tokens(read: Readout, final: Float[Tensor, "n d"], count: int) -> Readout:
    """A readout of only the tokens that these last residual streams give the most probability."""
    mean = torch.zeros(read.unembed.shape[1], device=final.device)
    for part in final[:2048].split(128):
        mean += read(part).softmax(-1).sum(0)
    kept: Int[Tensor, " k"] = mean.topk(min(count, len(mean))).indices.sort().values
    bias = None if read.unembed_bias is None else read.unembed_bias[kept]
    return replace(read, unembed=read.unembed[:, kept].contiguous(), unembed_bias=bias)


def lens_sites(n_layers: int, every: int) -> tuple[Site, ...]:
    """The residual stream after every n-th layer, counted from the last, which is always among them."""
    return tuple(Site("resid_post", layer) for layer in sorted(range(n_layers - 1, -1, -every)))
