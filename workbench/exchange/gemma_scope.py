"""Gemma Scope: params.npz (1) and params.safetensors (2), one folder per dictionary."""

import re
from typing import Any

from workbench.core import Site, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .sites import hook_site, layer_in
from .source import Source, text
from .weights import CoderWeights, at_least_zero


class GemmaScope(Format):
    """y = W_dec^T JumpReLU(W_enc^T x + b_enc) + b_dec (+ skip), matrices stored [d_in, features]."""

    file: str
    encoder: str
    decoder: str

    def detect(self, source: Source) -> bool:
        return self.file in source or (source.is_file and source.path.name == self.file)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        tensors = source.tensors(self.file)
        settings = source.json("config.json") if source.has("config.json") else {}
        W_enc = tensors.take(self.encoder, None, None).T.contiguous()
        d_sae, d_in = W_enc.shape
        W_dec = tensors.take(self.decoder, d_sae, None)
        skip = "affine_skip_connection"
        read, write = self._sites(source, settings)
        return [
            CoderWeights(
                "jumprelu",
                W_enc,
                tensors.take("b_enc", d_sae),
                W_dec,
                tensors.take("b_dec", W_dec.shape[1]),
                threshold=at_least_zero(tensors.take("threshold", d_sae)),
                W_skip=tensors.take(skip, d_in, W_dec.shape[1]).T.contiguous() if skip in tensors else None,
                read=read,
                write=write,
                model=text(settings, "model_name"),
            )
        ]

    def _sites(self, source: Source, settings: dict[str, Any]) -> tuple[Site | None, Site | None]:
        """From the settings of version 2 where they are, else from the names of folders and repository."""
        named = text(settings, "hf_hook_point_in", "hook_name", "hook_point_in")
        path = str(source.path if not source.is_file else source.folder) + " " + source.label
        layer = layer_in(named, source.folder.name, *reversed(source.folder.parts))
        if named and named.startswith("blocks."):
            write = text(settings, "hook_name_out", "hook_point_out") or named
            return hook_site(named), hook_site(write)
        if layer is None:
            return None, None
        if "transcoder" in path:
            return Site("mlp_in", layer), Site("mlp_out", layer)
        kinds = (("att", "attn_z"), ("mlp", "mlp_out"), ("res", "resid_post"))
        if self.name == "gemma-scope-2":
            kinds = (("attn_out", "attn_out"), ("mlp_out", "mlp_out"), ("resid_post", "resid_post"))
        kind = next((kind for word, kind in kinds if re.search(rf"(?:^|[-_/\s]){word}", path)), None)
        site = Site(kind, layer) if kind else None
        return site, site


@register("format", "gemma-scope")
class GemmaScope1(GemmaScope):
    """Gemma Scope 1; transcoders have the same names, and only the repository tells them from autoencoders."""

    name, title = "gemma-scope", "Gemma Scope"
    file, encoder, decoder = "params.npz", "W_enc", "W_dec"


@register("format", "gemma-scope-2")
class GemmaScope2(GemmaScope):
    """Gemma Scope 2; the skip connection is stored [d_in, d_out]."""

    name, title = "gemma-scope-2", "Gemma Scope 2"
    file, encoder, decoder = "params.safetensors", "w_enc", "w_dec"
