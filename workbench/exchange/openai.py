"""openai/sparse_autoencoder: one pickled state dict."""

from dataclasses import replace

from workbench.core import ArtifactError, Site, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .sites import layer_in
from .source import Source, part, whole
from .weights import CoderWeights

_LOCATIONS = {
    "resid_delta_attn": "attn_out",
    "resid_delta_mlp": "mlp_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
    "mlp_post_act": "mlp_post",
}


@register("format", "openai")
class OpenAI(Format):
    """latents = act(W (x - pre_bias) + latent_bias), y = latents W_dec + pre_bias.

    With TopK each row is first brought to mean 0 and standard deviation 1 (over d - 1, plus 1e-5), and brought back.
    """

    name, title = "openai", "openai/sparse_autoencoder"
    harmless = "stats_last_nonzero|latents_activation_frequency|latents_mean_square"

    def detect(self, source: Source) -> bool:
        name = source.one(".pt", ".pth")
        return name is not None and {"pre_bias", "latent_bias"} <= keys(source, name)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        name = source.one(".pt", ".pth")
        if name is None:
            raise ArtifactError(f"{source.label} wants one .pt file", found=source.summary())
        tensors = source.tensors(name)
        W_enc = tensors.take("encoder.weight", None, None)
        d_sae, d_in = W_enc.shape
        bias = tensors.take("pre_bias", d_in)
        decoder = tensors.take("decoder.weight", d_in, d_sae) if "decoder.weight" in tensors else W_enc.T
        found = CoderWeights("relu", W_enc, tensors.take("latent_bias", d_sae), decoder.T.contiguous(), bias)
        activation = tensors.extra.get("activation", "ReLU")
        if activation == "TopK":
            state = part(tensors.extra, "activation_state_dict")
            after = state.get("postact_fn", "ReLU")
            if after not in ("ReLU", "Identity"):
                raise ArtifactError(f"{source.label} applies {str(after)[:40]!r} after TopK, which is not known")
            gate, k = "topk" if after == "ReLU" else "signed-topk", whole(state, "k", source.label)
            found = replace(found, gate=gate, k=k, row_norm="layer-norm", row_eps=1e-5)
        elif activation != "ReLU":
            raise ArtifactError(f"{source.label} has the activation {str(activation)[:40]!r}", hint="read: ReLU, TopK")
        full = str(source.path)
        kind = next((kind for words, kind in _LOCATIONS.items() if words in full), None)
        layer = layer_in(source.path.name, source.path.parent.name) if config.layer is None else config.layer
        site = Site(kind, layer) if kind and layer is not None else None
        return [replace(found.centred(bias), read=site, write=site)]


def keys(source: Source, name: str) -> set[str]:
    """Top-level names of a pickled state dict; nothing for a file that cannot be read (reading says why)."""
    try:
        value = source.checkpoint(name)
    except ArtifactError:
        return set()
    return {key for key in value if isinstance(key, str)} if isinstance(value, dict) else set()
