"""Make the shipped model of real text anew: byte pairs learnt from the text, a small Llama trained by the one loop."""

from pathlib import Path

import torch
from pydantic import Field

from workbench.core import Config, MaskPolicy, ModelRef, Progress, Silent, write_artifact
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.models import (
    TinyTextSizes,
    hugging_face_state,
    new_tiny_text,
    save_tiny,
    tiny_text_manifest,
    train_byte_pairs,
    wrap,
)
from workbench.training import LanguageConfig, LanguageModule, TokenRows, fit_language, next_token_losses


class TinyTextConfig(Config):
    """How the model is trained."""

    text: str = Field(default="wikipedia-sample", description="a known text, file or folder")
    vocabulary: int = Field(default=1024, ge=300, description="tokens of the byte-pair vocabulary")
    sequence_length: int = Field(default=64, ge=8, le=128, description="tokens in a sequence")
    batch_sequences: int = Field(default=32, ge=1, description="sequences in a step")
    passes: int = Field(default=2, ge=1, description="passes over the text")
    lr: float = Field(default=4e-3, gt=0, description="largest learning rate (a rise, then a linear fall)")
    autocast: bool = Field(default=False, description="multiply in bfloat16")
    seed: int = Field(default=0, ge=0, description="seed of weights and order")


def train_tiny_text(
    folder: Path, run: Path, config: TinyTextConfig | None = None, progress: Progress | None = None
) -> dict[str, float]:
    """Train, or go on in `run`, and write the model to `folder` in the Hugging Face layout, in float16.

    What was cut short is written as it stands, and its manifest says so.

    Returns:
        Cross-entropy in nats a token, on the last chunk and held out.
    """
    config, progress = config or TinyTextConfig(), progress or Silent()
    corpus = open_text(config.text, progress=progress)
    tokenizer = train_byte_pairs((text for _, text in corpus.documents()), config.vocabulary)
    text = pack(corpus, tokenizer, PackConfig(sequence_length=config.sequence_length), MaskPolicy())
    rows = TokenRows(text.split("train"), 10 * config.batch_sequences, config.passes, config.seed)
    settings = LanguageConfig(
        trains="model",
        batch_sequences=config.batch_sequences,
        lr=config.lr,
        warm_up=100,
        decay_share=0.8,
        weight_decay=0.05,
        autocast=config.autocast,
        checkpoint_every_chunks=10,
        seed=config.seed,
    )
    sizes = TinyTextSizes()
    hooked = wrap(
        new_tiny_text(tokenizer.vocab_size, sizes, config.seed), tokenizer, ModelRef(id="tiny", weight_hash="")
    )
    module = LanguageModule(hooked, trains="model", autocast=config.autocast)
    trained = fit_language(module, rows, run, settings, progress, name="next token")
    found = {"loss": trained.metrics[-1]["loss"], "tokens": float(trained.metrics[-1]["tokens"])}
    found["heldout_loss"] = _heldout_loss(module, text.split("heldout"), config.batch_sequences)
    model = new_tiny_text(tokenizer.vocab_size, sizes, config.seed)
    model.load_state_dict(hugging_face_state(hooked, trained.weights))
    details = {"trained_here": True, "trained_tokens_of": rows.total_rows * config.sequence_length, **found}
    manifest = tiny_text_manifest(text.ref, config.model_dump(mode="json"), details)
    manifest = manifest.model_copy(update={"partial": trained.partial})
    write_artifact(folder, manifest, fill=lambda staging: save_tiny(model.half(), tokenizer, staging))
    return found


@torch.no_grad()
def _heldout_loss(module: LanguageModule, text: PackedText, batch: int) -> float:
    losses = []
    for start in range(0, len(text), batch):
        ids, lengths = text.ids[start : start + batch].long(), text.lengths[start : start + batch].long()
        logits = module.model.run(ids, weights=module.weights()).logits
        assert logits is not None
        losses.append(next_token_losses(logits, ids, lengths))
    return float(torch.cat(losses).mean())
