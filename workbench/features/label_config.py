"""Settings of automatic labels; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class LabelConfig(Config):
    """How units are described by rules over the text on which they fire."""

    units: int = Field(
        default=200, ge=1, description="units labelled: of those that fire often enough, drawn at random"
    )
    least_count: int = Field(default=20, ge=4, description="leave out units that fire on fewer tokens")
    most_share: float = Field(default=0.2, gt=0, le=1, description="leave out units that fire on a larger share")
    heldout_share: float = Field(default=0.5, gt=0, lt=1, description="share of the documents kept for scoring")
    most_rules: int = Field(default=6, ge=1, description="rules that a label may join with `or`")
    candidates: int = Field(default=60, ge=1, description="rules tried for a label, the best ones alone")
    least_gain: float = Field(default=0.01, ge=0, description="a further rule must lift F1 by so much")
    least_uses: int = Field(
        default=3, ge=1, description="tokens on which a rule must hold in the text that is learnt from"
    )
    window: int = Field(default=32, ge=2, description="tokens of a passage, for detection and fuzzing")
    examples: int = Field(default=8, ge=2, description="passages of each kind that an explaining model judges")
    seed: int = Field(default=0, ge=0, description="seed of the draws")
