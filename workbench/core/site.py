"""Site: the typed address of a tensor in a model."""

import functools
import re
from dataclasses import dataclass

from .errors import SiteError, nearest

# kind -> TransformerLens name with the layer left open; aliases that users know follow the first.
_LAYER_KINDS: dict[str, tuple[str, ...]] = {
    "resid_pre": ("hook_resid_pre", "hook_in"),
    "resid_mid": ("hook_resid_mid",),
    "resid_post": ("hook_resid_post", "hook_out"),
    "attn_in": ("ln1.hook_normalized", "attn.hook_in"),
    "attn_q_input": ("hook_q_input",),
    "attn_k_input": ("hook_k_input",),
    "attn_v_input": ("hook_v_input",),
    "attn_q": ("attn.hook_q", "attn.q.hook_out"),
    "attn_k": ("attn.hook_k", "attn.k.hook_out"),
    "attn_v": ("attn.hook_v", "attn.v.hook_out"),
    "attn_scores": ("attn.hook_attn_scores",),
    "attn_pattern": ("attn.hook_pattern",),
    "attn_z": ("attn.hook_z", "attn.o.hook_in"),
    "attn_result": ("attn.hook_result",),
    "attn_out": ("hook_attn_out", "attn.hook_out"),
    "mlp_input": ("hook_mlp_in", "ln2.hook_in"),
    "mlp_in": ("mlp.hook_in", "ln2.hook_normalized", "ln2.hook_out"),
    "mlp_pre": ("mlp.hook_pre", "mlp.gate.hook_out"),
    "mlp_pre_linear": ("mlp.hook_pre_linear",),
    "mlp_post": ("mlp.hook_post", "mlp.out.hook_in"),
    "mlp_out": ("hook_mlp_out", "mlp.hook_out"),
    "ln1_scale": ("ln1.hook_scale",),
    "ln2_scale": ("ln2.hook_scale",),
    "ln1_post_scale": ("ln1_post.hook_scale",),
    "ln2_post_scale": ("ln2_post.hook_scale",),
}
_MODEL_KINDS: dict[str, tuple[str, ...]] = {
    "embed": ("hook_embed", "embed.hook_out"),
    "lnf_scale": ("ln_final.hook_scale",),
    "final_norm": ("ln_final.hook_normalized", "ln_final.hook_out"),
    "logits": ("unembed.hook_out",),
}
_HEAD_KINDS = frozenset(
    {"attn_q", "attn_k", "attn_v", "attn_scores", "attn_pattern", "attn_z", "attn_result"}
    | {"attn_q_input", "attn_k_input", "attn_v_input"}
)
_CANONICAL = re.compile(r"(?P<kind>[a-z0-9_]+?)(?:\.(?P<layer>\d+))?(?:\.h(?P<head>\d+))?")
_LENS = re.compile(r"blocks\.(?P<layer>\d+)\.(?P<name>.+)")
_BY_LENS_NAME = {
    name: kind for kinds in (_LAYER_KINDS, _MODEL_KINDS) for kind, names in kinds.items() for name in names
}


@functools.total_ordering
@dataclass(frozen=True)
class Site:
    """Where a tensor lives: a kind, a layer (None for whole-model kinds), a head (None for all heads).

    `head` counts query heads; for attn_k and attn_v it counts key/value heads (fewer under grouped-query
    attention). attn_q and attn_k mean before rotary embedding and query/key norms; attn_q_input,
    attn_k_input, attn_v_input (a copy per head) and `mlp_input` are what attention and MLP read from the
    residual stream, before their norm: a change there reaches no other reader. `mlp_in` is the MLP's input
    after its norm, weight included; `mlp_pre` is the gate's pre-activation in a gated MLP and
    `mlp_pre_linear` the other branch; `logits` come before any soft-cap.

    Raises:
        SiteError: unknown kind, a layer where none belongs or none where one does, a head at a kind without.
    """

    kind: str
    layer: int | None = None
    head: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in _LAYER_KINDS and self.kind not in _MODEL_KINDS:
            raise SiteError(f"unknown site kind {self.kind!r}", hint=nearest(self.kind, self.kinds()))
        if (self.layer is not None) != (self.kind in _LAYER_KINDS):
            wants = "needs a layer" if self.kind in _LAYER_KINDS else "takes no layer"
            raise SiteError(f"site {self.kind} {wants}", hint=f"write {self.kind}.3" if "needs" in wants else None)
        if self.head is not None and self.kind not in _HEAD_KINDS:
            raise SiteError(
                f"site {self.kind} has no heads", hint=f"kinds with heads: {', '.join(sorted(_HEAD_KINDS))}"
            )

    @staticmethod
    def kinds() -> tuple[str, ...]:
        """Every kind of site, in the order in which a forward pass meets them."""
        return ("embed", *_LAYER_KINDS, "lnf_scale", "final_norm", "logits")

    @classmethod
    def parse(cls, text: "str | Site") -> "Site":
        """Read `mlp_in.3`, `attn_z.2.h5` or a TransformerLens name such as `blocks.3.hook_mlp_out`."""
        if isinstance(text, Site):
            return cls(text.kind, text.layer, text.head)
        text = text.strip()
        if lens := _LENS.fullmatch(text):
            if kind := _BY_LENS_NAME.get(lens["name"]):
                return cls(kind, int(lens["layer"]))
            raise SiteError(f"unknown hook name {text!r}", hint=nearest(lens["name"], _BY_LENS_NAME))
        if text in _BY_LENS_NAME and _BY_LENS_NAME[text] in _MODEL_KINDS:
            return cls(_BY_LENS_NAME[text])
        if match := _CANONICAL.fullmatch(text):
            layer, head = match["layer"], match["head"]
            return cls(match["kind"], int(layer) if layer else None, int(head) if head else None)
        raise SiteError(f"cannot read the site {text!r}", hint="write mlp_in.3, attn_z.2.h5 or blocks.3.hook_mlp_out")

    @property
    def lens_name(self) -> str:
        """The TransformerLens name that users know (the head, if any, is not part of it)."""
        if self.layer is None:
            return _MODEL_KINDS[self.kind][0]
        return f"blocks.{self.layer}.{_LAYER_KINDS[self.kind][0]}"

    @property
    def position_axis(self) -> int:
        """The axis of the captured tensor that counts positions (queries, for scores and patterns)."""
        return 2 if self.kind in ("attn_scores", "attn_pattern") else 1

    @property
    def head_axis(self) -> int | None:
        """The axis of the captured tensor that counts heads, None where there are none."""
        if self.kind not in _HEAD_KINDS:
            return None
        return 1 if self.kind in ("attn_scores", "attn_pattern") else 2

    def whole(self) -> "Site":
        """The same site with all its heads."""
        return Site(self.kind, self.layer)

    def __lt__(self, other: "Site") -> bool:
        """By kind, layer and head; the whole comes before its parts."""

        def key(site: Site) -> tuple[str, int, int]:
            return (site.kind, -1 if site.layer is None else site.layer, -1 if site.head is None else site.head)

        return key(self) < key(other)

    def __str__(self) -> str:
        text = self.kind if self.layer is None else f"{self.kind}.{self.layer}"
        return text if self.head is None else f"{text}.h{self.head}"
