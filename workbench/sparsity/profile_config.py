"""Settings of a sparsity profile; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ProfileConfig(Config):
    """How much text is read, when a neuron counts as firing, and what is sampled."""

    tokens: int | None = Field(
        default=None, ge=1, description="tokens to read, spread over the documents; none: the whole text"
    )
    batch_sequences: int = Field(default=8, ge=1, description="sequences in one forward pass")
    error: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="neurons that are not ReLU fire where dropping those that do not costs this share of an MLP's "
        "output (CETT)",
    )
    sample_rows: int = Field(default=256, ge=2, description="seeded tokens on which everything that sorts is measured")
    sample_sequences: int = Field(default=4, ge=1, description="whole sequences for attention sinks and flow")
    share: float = Field(default=0.5, gt=0, lt=1, description="share of a row's mass that its active dimensions hold")
    window: int = Field(default=4, ge=2, description="consecutive tokens over which dimensions are followed")
    sink_above: float = Field(
        default=0.9, gt=0, lt=1, description="a head with more of its attention on the first token is called idle"
    )
    seed: int = Field(default=0, ge=0, description="seed of the samples")
