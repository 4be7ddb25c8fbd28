"""ModelShape: the sizes and conventions of a model, read once from its bridge."""

from dataclasses import dataclass
from typing import Any

from workbench.core import Site, SiteError


@dataclass(frozen=True)
class ModelShape:
    """Sizes and conventions.

    Attributes:
        family: Hugging Face's model type (`llama`, `gpt2`, `gpt_neox`, `gemma2`, `gemma3_text`, `qwen3`, ...).
        gated: the MLP multiplies an activated gate with a linear branch.
        parallel: attention and MLP read the same residual stream, so there is no resid_mid.
        norm: `rms` or `layer`. sandwich: attention and MLP outputs are normed before they are added.
        logit_softcap: the logits end as cap * tanh(logits / cap), None without a cap.
        rotary: positions enter by rotating queries and keys; otherwise by a learned embedding.
    """

    family: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    gated: bool
    parallel: bool
    act_fn: str
    norm: str
    sandwich: bool = False
    logit_softcap: float | None = None
    rotary: bool = True
    norm_eps: float = 1e-5

    def row_size(self, site: Site) -> int:
        """Length of one position's row at a site; heads lie side by side unless the site names one.

        Raises:
            SiteError: a site whose rows grow with the text, as those of scores and patterns do.
        """
        if site.position_axis != 1:
            raise SiteError(f"{site} has no row of fixed size per token")
        if site.kind.endswith("_scale"):
            return 1
        heads = 1
        if site.head_axis is not None and site.head is None:
            heads = self.n_kv_heads if site.kind[:6] in ("attn_k", "attn_v") else self.n_heads
        per_head = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_z"), self.d_head)
        per_mlp = dict.fromkeys(("mlp_pre", "mlp_pre_linear", "mlp_post"), self.d_mlp)
        return heads * {**per_head, **per_mlp, "logits": self.d_vocab}.get(site.kind, self.d_model)


def read_shape(bridge: Any) -> ModelShape:
    """The shape of a TransformerBridge over a decoder-only Hugging Face model."""
    cfg, config = bridge.cfg, bridge.original_model.config.get_text_config()
    block = bridge.blocks[0]
    parts = dict(block.named_children())
    norm = _first(config, "rms_norm_eps")
    return ModelShape(
        family=config.model_type,
        n_layers=len(bridge.blocks),
        n_heads=int(cfg.n_heads),
        n_kv_heads=int(getattr(cfg, "n_key_value_heads", None) or cfg.n_heads),
        d_model=int(cfg.d_model),
        d_head=int(cfg.d_head),
        d_mlp=int(_first(config, "ffn_dim") or cfg.d_mlp or 0),  # of an OPT the bridge assumes 4 * d_model
        d_vocab=int(config.vocab_size),
        n_ctx=int(cfg.n_ctx),
        gated="gate" in dict(parts["mlp"].named_children()) if "mlp" in parts else False,
        parallel="hook_resid_mid" not in block.hook_aliases,
        act_fn=str(_first(config, "hidden_activation", "activation_function", "hidden_act", "activation")),
        norm="layer" if norm is None else "rms",
        sandwich="ln1_post" in parts,
        logit_softcap=_first(config, "final_logit_softcapping"),
        rotary="pos_embed" not in dict(bridge.named_children()),
        norm_eps=float(norm if norm is not None else _first(config, "layer_norm_eps", "layer_norm_epsilon") or 1e-5),
    )


def _first(config: Any, *names: str) -> Any:
    """The first of these settings that the configuration has."""
    return next((value for name in names if (value := getattr(config, name, None)) is not None), None)
