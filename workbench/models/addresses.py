"""Site <-> hook point of the bridge, per family, with the rules for reading and writing."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.core import Site, SiteError, nearest

from .shape import ModelShape

# kind -> name of the hook point; the bridge's aliases carry most differences between families.
_LAYER_POINTS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_in": "attn.hook_in",
    "attn_q_input": "attn.hook_q_input",
    "attn_k_input": "attn.hook_k_input",
    "attn_v_input": "attn.hook_v_input",
    "attn_q": "attn.hook_q",
    "attn_k": "attn.hook_k",
    "attn_v": "attn.hook_v",
    "attn_scores": "attn.hook_attn_scores",
    "attn_pattern": "attn.hook_pattern",
    "attn_z": "attn.hook_z",
    "attn_result": "attn.hook_result",
    "attn_out": "hook_attn_out",
    "mlp_input": "ln2.hook_in",
    "mlp_in": "mlp.hook_in",
    "mlp_pre": "mlp.hook_pre",
    "mlp_pre_linear": "mlp.hook_pre_linear",
    "mlp_post": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "ln1_scale": "ln1.hook_scale",
    "ln2_scale": "ln2.hook_scale",
    "ln1_post_scale": "ln1_post.hook_scale",
    "ln2_post_scale": "ln2_post.hook_scale",
}
_MODEL_POINTS = {
    "embed": "embed.hook_out",
    "lnf_scale": "ln_final.hook_scale",
    "final_norm": "ln_final.hook_out",
    "logits": "unembed.hook_out",
}
_SPLIT_INPUTS = ("attn_q_input", "attn_k_input", "attn_v_input")
_KEY_VALUE = ("attn_k", "attn_v", "attn_k_input", "attn_v_input")
# Hook points inside the attention computation fire only when the bridge computes it step by step.
_STEPWISE = ("attn_scores", "attn_pattern", "attn_result", *_SPLIT_INPUTS)


@dataclass(frozen=True)
class Point:
    """Where a site is read: the bridge's hook point, the switch it needs, whether attention runs step by step."""

    name: str
    hook: Any
    switch: str | None = None
    stepwise: bool = False

    def __hash__(self) -> int:
        return hash(self.name)


class Addresses:
    """Looks sites up in one bridge."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.shape = shape
        self._hooks = dict(bridge.hook_dict)
        self._absent = _absent_kinds(bridge)
        self._points: dict[Site, Point] = {}

    def point(self, site: Site) -> Point:
        """Where a site is read.

        Raises:
            SiteError: the layer or head is out of range, or the family has no such tensor.
        """
        site_without_head = site.whole()
        if site_without_head not in self._points:
            self._check_layer(site)
            self._points[site_without_head] = self._find(site)
        self._check_head(site)
        return self._points[site_without_head]

    def write_point(self, site: Site) -> Point:
        """Where a site is written.

        A write at resid_mid's own hook point would reach the MLP but never the skip path, so the change is
        added to attn_out instead.
        """
        point = self.point(site)
        return self.point(Site("attn_out", site.layer)) if site.kind == "resid_mid" else point

    def kinds(self) -> tuple[str, ...]:
        """The kinds of site that this family has."""
        return tuple(kind for kind in Site.kinds() if self._lookup(kind, 0) is not None)

    def _lookup(self, kind: str, layer: int | None) -> tuple[str, Any] | None:
        name = _MODEL_POINTS.get(kind) or f"blocks.{layer}.{_LAYER_POINTS[kind]}"
        if kind in self._absent or (kind == "resid_mid" and self.shape.parallel):
            return None
        return (name, self._hooks[name]) if name in self._hooks else None

    def _find(self, site: Site) -> Point:
        found = self._lookup(site.kind, site.layer)
        if found is None:
            parallel = site.kind == "resid_mid" and self.shape.parallel
            raise SiteError(
                f"this {self.shape.family} model has no site {site.kind}",
                "attention and MLP run in parallel here" if parallel else "the model computes no such tensor",
                "use resid_pre or resid_post" if parallel else nearest(site.kind, self.kinds(), "it has"),
            )
        switch = "use_attn_result" if site.kind == "attn_result" else None
        switch = "use_split_qkv_input" if site.kind in _SPLIT_INPUTS else switch
        name, hook = found
        return Point(hook.name or name, hook, switch, site.kind in _STEPWISE)

    def _check_layer(self, site: Site) -> None:
        if site.layer is not None and site.layer >= self.shape.n_layers:
            raise SiteError(f"no layer {site.layer} for {site}", f"layers run from 0 to {self.shape.n_layers - 1}")

    def _check_head(self, site: Site) -> None:
        heads = self.shape.n_kv_heads if site.kind in _KEY_VALUE else self.shape.n_heads
        if site.head is not None and site.head >= heads:
            kind = "key/value heads" if site.kind in _KEY_VALUE else "heads"
            raise SiteError(f"no head {site.head} for {site}", f"{kind} run from 0 to {heads - 1}")


def _absent_kinds(bridge: Any) -> frozenset[str]:
    """Sites inside attention that have hook points which never fire, or fire too late to edit anything.

    Some families' attention is Hugging Face's own from input to output; the bridge then shows patterns after use.
    """
    from transformer_lens.model_bridge.generalized_components.attention import AttentionBridge

    attention = dict(bridge.blocks[0].named_children()).get("attn")
    if attention is None or type(attention).forward is AttentionBridge.forward:
        return frozenset(_STEPWISE)
    absent = () if attention.supports_attn_result else ("attn_result",)
    return frozenset(absent if attention.supports_split_qkv_fork else (*absent, *_SPLIT_INPUTS))


def at_head(x: Tensor, site: Site) -> Tensor:
    """The part of a tensor that belongs to the site's head, without the head axis; all of it without a head."""
    if site.head is None or site.head_axis is None:
        return x
    return x.select(site.head_axis, site.head)
