"""transcoder_circuits (Dunefsky et al.): a pickle of settings and state dict, .pt or .pkl.gz."""

from dataclasses import replace
from typing import Any

from workbench.core import ArtifactError, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .restricted_pickle import Record
from .sites import hook_site
from .source import Source, text
from .torch_file import tensors_of
from .weights import CoderWeights

RECORDS = frozenset(
    f"{package}.{name}"
    for package in ("sae_training.config", "transcoder_training.config", "sae_training.sparse_autoencoder")
    for name in ("LanguageModelSAERunnerConfig", "RunnerConfig")
)
"""The classes of their settings, read as inert records of fields."""
_ENDINGS = (".pt", ".pkl", ".pkl.gz")


@register("format", "dunefsky")
class Dunefsky(Format):
    """ReLU((x - b_dec) W_enc + b_enc) W_dec + b_dec_out; an autoencoder has no b_dec_out and adds b_dec again."""

    name, title = "dunefsky", "transcoder_circuits"

    def detect(self, source: Source) -> bool:
        name = source.one(*_ENDINGS)
        try:
            value = source.checkpoint(name, RECORDS) if name else None
        except ArtifactError:
            return False
        return isinstance(value, dict) and {"cfg", "state_dict"} <= value.keys()

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        name = source.one(*_ENDINGS)
        value = source.checkpoint(name, RECORDS) if name else None
        if not isinstance(value, dict) or "state_dict" not in value:
            raise ArtifactError(f"{source.label} wants one file with cfg and state_dict", found=source.summary())
        settings = _fields(value.get("cfg"))
        tensors = tensors_of(value["state_dict"], source.label)
        source.opened.append(tensors)
        W_enc = tensors.take("W_enc", None, None).T.contiguous()
        d_sae, d_in = W_enc.shape
        W_dec = tensors.take("W_dec", d_sae, None)
        bias, b_enc = tensors.take("b_dec", d_in), tensors.take("b_enc", d_sae)
        out = "b_dec_out" if "b_dec_out" in tensors else "b_dec"
        found = CoderWeights("relu", W_enc, b_enc, W_dec, tensors.take(out, W_dec.shape[1])).centred(bias)
        read = hook_site(text(settings, "hook_point"))
        write = hook_site(text(settings, "out_hook_point")) if out == "b_dec_out" else read
        return [replace(found, read=read, write=write, model=text(settings, "model_name"))]


def _fields(settings: Any) -> dict[str, Any]:
    if isinstance(settings, Record):
        return settings.fields
    return settings if isinstance(settings, dict) else {}
