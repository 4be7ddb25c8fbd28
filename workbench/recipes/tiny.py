"""Make the shipped tiny model anew: a small Llama trained on synthetic sentences by the one training loop."""

import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from workbench.core import Config, MaskPolicy, Progress
from workbench.data import PackConfig, open_text, pack
from workbench.models import WordTokenizer, hugging_face_state, new_tiny, save_tiny, wrap
from workbench.training import LanguageConfig, LanguageModule, TokenRows, fit_language


class TinyConfig(Config):
    """How the tiny model is trained."""

    text: str = Field(default="synthetic-sentences:6000", description="a synthetic text")
    passes: int = Field(default=12, ge=1, description="passes over the text")
    batch_sequences: int = Field(default=64, ge=1, description="sequences in a step")
    lr: float = Field(default=4e-3, gt=0, description="largest learning rate (a rise, then a linear fall)")
    seed: int = Field(default=0, ge=0, description="seed of weights and order")


def train_tiny(folder: Path, config: TinyConfig | None = None, progress: Progress | None = None) -> dict[str, float]:
    """Train and write the model in the Hugging Face layout; returns the last loss per token, in nats."""
    config = config or TinyConfig()
    corpus = open_text(config.text)
    words = sorted({word for _, text in corpus.documents() for word in text.split()})
    tokenizer = WordTokenizer(("<bos>", *words), bos="<bos>")
    text = pack(corpus, tokenizer, PackConfig(sequence_length=48), MaskPolicy())
    rows = TokenRows(text.split("train"), config.batch_sequences, config.passes, config.seed)
    settings = LanguageConfig(
        batch_sequences=config.batch_sequences,
        lr=config.lr,
        warm_up=round(0.3 * rows.n_chunks),
        decay_share=0.7,
        checkpoint_every_chunks=rows.n_chunks,
        seed=config.seed,
    )
    hooked = wrap(new_tiny(tokenizer.vocab_size, config.seed))
    with tempfile.TemporaryDirectory() as run:
        trained = fit_language(LanguageModule(hooked), rows, Path(run), settings, progress, name="next token")
    model = new_tiny(tokenizer.vocab_size, config.seed)
    model.load_state_dict(hugging_face_state(hooked, trained.weights))
    shutil.rmtree(folder, ignore_errors=True)
    save_tiny(model, tokenizer, folder)
    return {"loss": trained.metrics[-1]["loss"], "steps": float(trained.metrics[-1]["step"])}
