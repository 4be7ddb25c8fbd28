"""Settings of a sparsity dial; importing them loads no torch."""

from pydantic import Field, field_validator

from workbench.core import Config


class DialConfig(Config):
    """Which rules silence how many neurons, on how much text the loss is measured."""

    rules: str = Field(default="top-k,teal,cett,cats,random", description="rules, separated by commas")
    shares: str = Field(
        default="0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", description="shares of silent neurons, separated by commas"
    )
    layer_shares: str = Field(default="", description="the same for each layer alone; none: only all layers together")
    layers: str = Field(default="all", description="layers that are gated, such as 0,4-7")
    sequences: int = Field(default=32, ge=1, description="held-out sequences, spread over the documents")
    layer_sequences: int = Field(default=16, ge=1, description="the same where a layer is gated alone")
    batch_sequences: int = Field(default=4, ge=1, description="sequences in one forward pass")
    calibration_rows: int = Field(default=256, ge=1, description="tokens of training text that thresholds come from")
    allocation: str = Field(
        default="", description="uniform, equal-error or greedy for every rule; none: each paper's own"
    )
    bootstrap: int = Field(default=1000, ge=10, description="resamples of the documents for an interval")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval")
    seed: int = Field(default=0, ge=0, description="seed of the sample, the random control and the resampling")

    @field_validator("shares", "layer_shares")
    @classmethod
    def _are_shares(cls, value: str) -> str:
        if any(not 0 <= share <= 0.95 for share in _numbers(value)):
            raise ValueError("shares lie between 0 and 0.95")
        return value

    @property
    def chosen_rules(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.rules.split(",") if name.strip())

    @property
    def chosen_shares(self) -> tuple[float, ...]:
        return _numbers(self.shares)

    @property
    def chosen_layer_shares(self) -> tuple[float, ...]:
        return _numbers(self.layer_shares)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",") if part.strip())
