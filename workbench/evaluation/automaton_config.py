"""Settings of the automaton's measurements; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config

from .config import EvaluateConfig


class AutomatonEvalConfig(Config):
    """How much is sampled for each measurement on the automaton."""

    loss_sequences: int = Field(default=512, ge=2, description="sequences for loss and accuracy")
    free_samples: int = Field(default=100, ge=1, description="sequences that the model writes (reference: 100)")
    prefixes: int = Field(default=1, ge=1, description="sequences before each state for its likeliest successors")
    code_sequences: int = Field(default=256, ge=1, description="sequences on which codes and neurons are judged")
    least_recall: float = Field(
        default=0.01, ge=0, le=1, description="share of a state's tokens at which a code must fire (reference: 0.01)"
    )
    least_uses: int = Field(default=5, ge=1, description="uses from which a code counts for purity")
    pairs: int = Field(default=250, ge=2, description="pairs of states for interventions (reference: 500)")
    prompt_states: int = Field(default=10, ge=2, description="states of an intervention's prompt")
    bootstrap: int = Field(default=1000, ge=10, description="resamples for an interval")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval")
    seed: int = Field(default=0, ge=0, description="seed of every sample")

    @property
    def intervals(self) -> EvaluateConfig:
        """The settings of the bootstrap."""
        return EvaluateConfig(bootstrap=self.bootstrap, confidence=self.confidence, seed=self.seed)
