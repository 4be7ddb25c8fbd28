"""Settings of steering by codes; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config

TOPICS: dict[str, str] = {
    "space": r"(?i)\b(space|moon|lunar|orbit\w*|astronaut\w*|spacecraft|planet\w*)\b",
    "war": r"(?i)\b(war|wars|army|armies|battle\w*|military|troops|soldiers?)\b",
    "film": r"(?i)\b(film\w*|movies?|actors?|actress\w*|cinema)\b",
    "chemistry": r"(?i)\b(acids?|alkali|chemical\w*|molecul\w*|atoms?|atomic|compounds?)\b",
    "law": r"(?i)\b(courts?|judges?|law|laws|legal|trial|appeal\w*)\b",
}
"""Topic -> when a sample counts as being about it. Written down before any code or sample was looked at."""

PROMPTS = ("", "The", "In the beginning", "One of the most important")
"""What samples begin with; the empty one is the begin-of-text token alone."""


class SteeringConfig(Config):
    """How codes are chosen and samples are made."""

    codes: int = Field(default=8, ge=1, description="codes activated for a topic, the best of `topic_codes`")
    samples: int = Field(default=10, ge=1, description="samples of each prompt")
    new_tokens: int = Field(default=60, ge=1, description="tokens of a sample")
    temperature: float = Field(default=1.0, gt=0, description="sampling temperature")
    heldout_sequences: int = Field(
        default=16, ge=0, description="held-out sequences on which steering's cost is measured"
    )
    search_sequences: int | None = Field(
        default=400, ge=1, description="training sequences from which codes are chosen; none: all"
    )
    random_codes: bool = Field(default=True, description="also steer with as many random codes of the same groups")
    bootstrap: int = Field(default=1000, ge=10, description="resamples for the intervals of perplexities")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
