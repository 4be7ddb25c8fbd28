"""EleutherAI sparsify: one folder per hookpoint with cfg.json and sae.safetensors."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.core import ArtifactError, register

from .format import Foreign, Format, coders
from .import_config import ImportConfig
from .sites import module_path, module_site
from .source import Source, flag, text, whole
from .weights import CoderWeights
from .writing import write_tensors, write_text_json

WEIGHTS, SETTINGS = "sae.safetensors", "cfg.json"


@register("format", "sparsify")
class Sparsify(Format):
    """Autoencoder: x - b_dec first; transcoder: x as it is. ReLU, then the k largest or the largest of k groups.

    y = acts W_dec + b_dec (+ x W_skip^T); b_dec has the size of the input, so input and output must agree.
    """

    name, title, writes = "sparsify", "EleutherAI sparsify", True

    def detect(self, source: Source) -> bool:
        return WEIGHTS in source and SETTINGS in source

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        where, settings, tensors = source.label, source.json(SETTINGS), source.tensors(WEIGHTS)
        d_in, k = whole(settings, "d_in", where), whole(settings, "k", where, 32)
        activation = settings.get("activation", "topk")
        if activation not in ("topk", "groupmax"):
            raise ArtifactError(f"{where} has the activation {str(activation)[:40]!r}", hint="read: topk, groupmax")
        if flag(settings, "signed", where):
            raise ArtifactError(f"{where} uses signed latents, which no kind here computes")
        if settings.get("num_latents"):
            d_sae = whole(settings, "num_latents", where)
        else:
            d_sae = d_in * whole(settings, "expansion_factor", where, 32)
        transcodes = flag(settings, "transcode", where)
        skip = flag(settings, "skip_connection", where)
        sites = module_site(source.name, transcodes)
        found = CoderWeights(
            gate=activation,
            W_enc=tensors.take("encoder.weight", d_sae, d_in),
            b_enc=tensors.take("encoder.bias", d_sae),
            W_dec=tensors.take("W_dec", d_sae, d_in),
            b_dec=tensors.take("b_dec", d_in),
            W_skip=tensors.take("W_skip", d_in, d_in) if skip else None,
            k=k,
            read=sites[0] if sites else None,
            write=sites[1] if sites else None,
            model=self._model(source),
        )
        return [found if transcodes else found.centred(found.b_dec)]

    def _model(self, source: Source) -> str | None:
        """The run's config.json lies one folder up."""
        run = source.path.parent / "config.json"
        return (
            text(Source(run).json("config.json"), "model") if run.is_file() and run.stat().st_size < 1 << 20 else None
        )

    def write(self, dictionaries: Sequence[Foreign], folder: Path) -> list[str]:
        members = coders(dictionaries, self)
        rounded = sum(self._write_one(weights, folder) for weights in members)
        models = {weights.model for weights in members} - {None}
        if len(models) == 1:
            write_text_json(folder / "config.json", {"model": models.pop()})
        return [f"{rounded} encoder biases are rounded: sparsify subtracts b_dec first"] if rounded else []

    def _write_one(self, weights: CoderWeights, folder: Path) -> int:
        """Returns how many encoder biases will not come back bit for bit."""
        d_sae, d_in = weights.W_enc.shape
        if weights.gate not in ("topk", "groupmax") or weights.row_norm != "none":
            raise self.cannot(f"a {weights.gate} gate or normalised rows", "it holds topk and groupmax")
        if weights.W_dec.shape[1] != d_in:
            raise self.cannot(f"an output of size {weights.W_dec.shape[1]} for an input of size {d_in}")
        if weights.read is None or weights.write is None:
            raise self.cannot("a dictionary without a site")
        transcodes = weights.read != weights.write
        bias = weights.b_enc
        if not transcodes and bool(weights.b_dec.any()):
            # Theirs subtracts b_dec first. The bias that undoes it is kept in float64, so that nothing is lost; it is
            # rounded to the weights' dtype when sparsify loads it.
            wide = replace(weights, b_enc=bias.double(), W_enc=weights.W_enc.double())
            bias = wide.centred(-weights.b_dec).b_enc
        place = folder / module_path(weights.read, weights.write)
        tensors = {"encoder.weight": weights.W_enc, "encoder.bias": bias, "W_dec": weights.W_dec}
        write_tensors(place / WEIGHTS, {**tensors, "b_dec": weights.b_dec, "W_skip": weights.W_skip})
        write_text_json(
            place / SETTINGS,
            {
                "activation": weights.gate,
                "expansion_factor": max(d_sae // d_in, 1),
                "normalize_decoder": False,
                "num_latents": d_sae,
                "k": weights.k,
                "multi_topk": False,
                "skip_connection": weights.W_skip is not None,
                "transcode": transcodes,
                "d_in": d_in,
            },
        )
        if transcodes:
            return 0
        return int((replace(weights, b_enc=bias).centred(weights.b_dec).b_enc != weights.b_enc).sum())
