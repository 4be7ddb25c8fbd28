"""Every gate built into every shape, and registered as `<gate>-<shape>`."""

from typing import cast

from workbench.core import register

from .coder import SAE, Coder, SkipTranscoder, Transcoder
from .config import GATES, SHAPES

_SHAPES: dict[str, type[Coder]] = dict(zip(SHAPES, (SAE, Transcoder, SkipTranscoder), strict=True))
_NAMES = {
    "relu": "ReLU",
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "jumprelu": "JumpReLU",
    "gated": "Gated",
    "matryoshka": "Matryoshka",
}


def _make(gate: str, shape: str) -> type[Coder]:
    base = _SHAPES[shape]
    skip = " + W_skip x" if base.has_skip else ""
    target = "x" if base is SAE else "y"
    members = {
        "__module__": __name__,
        "__doc__": f"{base.__doc__} {target} = W_dec^T {_NAMES[gate]}(W_enc x + b_enc){skip} + b_dec.",
        "family": f"{gate}-{shape}",
        "gate_name": gate,
        "config_class": GATES[gate],
    }
    return cast(type[Coder], type(f"{_NAMES[gate]}{base.__name__}", (base,), members))


for _gate in GATES:
    for _shape in SHAPES:
        register("dictionary", f"{_gate}-{_shape}")(_make(_gate, _shape))
