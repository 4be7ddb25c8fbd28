"""Goodfire's open weights: one pickled state dict of two linear layers."""

from workbench.core import ArtifactError, Site, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .openai import keys
from .sites import layer_in
from .source import Source
from .weights import CoderWeights


@register("format", "goodfire")
class Goodfire(Format):
    """y = W_dec ReLU(W_enc x + b_enc) + b_dec, on the residual stream after a layer that the file name gives."""

    name, title = "goodfire", "Goodfire"

    def detect(self, source: Source) -> bool:
        name = source.one(".pt", ".pth")
        return name is not None and {"encoder_linear.weight", "decoder_linear.weight"} <= keys(source, name)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        name = source.one(".pt", ".pth")
        if name is None:
            raise ArtifactError(f"{source.label} wants one .pt or .pth file", found=source.summary())
        tensors = source.tensors(name)
        W_enc = tensors.take("encoder_linear.weight", None, None)
        d_sae, d_in = W_enc.shape
        layer = layer_in(name.rsplit(".", 1)[0], source.folder.name)
        site = None if layer is None else Site("resid_post", layer)
        return [
            CoderWeights(
                "relu",
                W_enc,
                tensors.take("encoder_linear.bias", d_sae),
                tensors.take("decoder_linear.weight", d_in, d_sae).T.contiguous(),
                tensors.take("decoder_linear.bias", d_in),
                read=site,
                write=site,
            )
        ]
