"""A model and a text, opened together: what every recipe starts from."""

from workbench.core import ConfigError, MaskPolicy, Progress, Silent
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.models import HookedModel, load_model


def open_subject(
    model: str,
    text: str,
    config: PackConfig | None = None,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    policy: MaskPolicy | None = None,
    progress: Progress | None = None,
) -> tuple[HookedModel, PackedText]:
    """Load a model and pack a text with its tokenizer."""
    progress = progress or Silent()
    subject = load_model(
        model, device=device, dtype=dtype, offline=offline, policy=policy or MaskPolicy(), progress=progress
    )
    corpus = open_text(text, offline=offline, progress=progress)
    return subject, pack(corpus, subject.tokenizer, config or PackConfig(), subject.policy)


def parse_layers(text: str) -> tuple[int, ...] | None:
    """Layers from `all` (None) or from numbers and ranges such as `0,4-7`.

    Raises:
        ConfigError: something else.
    """
    if text.strip() == "all":
        return None
    layers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ConfigError(f"cannot read the layers {text!r}", hint="write all, 3 or 0,4-7")
        layers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(layers))
