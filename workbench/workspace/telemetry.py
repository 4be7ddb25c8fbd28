"""No library below may report home."""

import os

_VARIABLES = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "disabled",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


def switch_off_telemetry() -> dict[str, str]:
    """Set what the libraries look at, before they are imported; what the user has set stays. The values in force."""
    return {name: os.environ.setdefault(name, value) for name, value in _VARIABLES.items()}
