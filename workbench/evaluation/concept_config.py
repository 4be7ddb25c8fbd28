"""Settings of sparse probing, first-letter absorption and stability; importing them loads no torch."""

from pydantic import Field

from .config import EvaluateConfig


class ProbingConfig(EvaluateConfig):
    """k-sparse probing of labels that the tokens decide."""

    k: tuple[int, ...] = Field(default=(1, 2, 5), description="units that a probe may read")
    probe_rows: int = Field(default=4000, ge=20, description="rows of the text from which labels are drawn")
    test_share: float = Field(default=0.3, gt=0, lt=1, description="share of the documents kept for testing")
    least_positives: int = Field(default=30, ge=2, description="labels with fewer rows of either kind are left out")


class AbsorptionConfig(EvaluateConfig):
    """First-letter splitting and absorption (Chanin et al. 2024)."""

    words: int = Field(default=3000, ge=26, description="alphabetic tokens of the vocabulary")
    examples: int = Field(default=3, ge=0, description="solved examples in front of each word")
    most_split: int = Field(default=5, ge=1, description="most latents that a letter may be split into")
    f1_jump: float = Field(default=0.03, gt=0, description="a further latent is a split when F1 rises by more")
    test_share: float = Field(default=0.3, gt=0, lt=1, description="share of the words kept for testing")
    least_words: int = Field(default=15, ge=4, description="letters with fewer words are left out")
    full_cosine: float = Field(default=0.025, description="least cosine of an absorbing latent with the probe")
    fraction_cosine: float = Field(default=0.1, description="the same, where several latents absorb together")
    projection_share: float = Field(default=0.4, gt=0, description="least share of the row's projection they make up")
    most_absorbing: int = Field(default=3, ge=1, description="most latents that absorb together")
