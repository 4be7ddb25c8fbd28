"""Settings of packing, apart from its code so that reading them loads no torch."""

from pydantic import Field

from workbench.core import Config


class PackConfig(Config):
    """How documents become sequences."""

    sequence_length: int = Field(default=128, ge=2, description="tokens per sequence, BOS included")
    max_sequences: int | None = Field(default=None, ge=1, description="keep this many, drawn by seed from all of them")
    max_documents: int | None = Field(default=None, ge=1, description="read only the first documents")
    min_tokens: int = Field(default=2, ge=1, description="drop sequences with fewer tokens of text")
    heldout_share: float = Field(default=0.1, ge=0, lt=1, description="share of the documents that is held out")
    seed: int = Field(default=0, ge=0, description="decides which documents are held out and which sequences are kept")
