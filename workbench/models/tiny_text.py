"""`tiny-wikipedia`: a three-layer Llama trained on real text with a vocabulary of its own, shipped with the package.

Small enough that its whole table of bigrams fits into memory; `workbench.recipes.train_tiny_text` makes it anew.
"""

from collections.abc import Iterable
from typing import Any

import torch

from workbench.core import Config, Manifest, ModelError, TextRef, child, read_artifact
from workbench.workspace import shipped_folder

from . import quiet
from .tokenize import Tokenizer, load_tokenizer
from .zoo import Built, register_builtin

NAME = "tiny-wikipedia"
KIND = "model"
END = "<|endoftext|>"


class TinyTextSizes(Config):
    """Sizes of the model: gated MLPs, as many key/value heads as query heads, embeddings not tied."""

    layers: int = 3
    heads: int = 4
    d_model: int = 128
    d_mlp: int = 384
    context: int = 128


def train_byte_pairs(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-level BPE of `size` tokens learnt from texts; id 0 is <|endoftext|>, BOS and EOS in one.

    Raises:
        ModelError: fewer tokens than bytes.
    """
    from tokenizers import Tokenizer as Backend, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size <= len(alphabet):
        raise ModelError(f"a vocabulary holds every byte, <|endoftext|> and more, found a size of {size}")
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END))


def new_tiny_text(vocabulary: int, sizes: TinyTextSizes, seed: int) -> Any:
    """An untrained LlamaForCausalLM, its matrices drawn from the seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=sizes.d_model,
            intermediate_size=sizes.d_mlp,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.heads,
            max_position_embeddings=sizes.context,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    draw = torch.Generator().manual_seed(child(seed, "tiny text"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.5 * parameter.shape[1] ** -0.5, generator=draw)
    return model


def tiny_text_manifest(text: TextRef, config: dict[str, Any], details: dict[str, Any]) -> Manifest:
    """What the shipped folder says of itself."""
    return Manifest(kind=KIND, name=NAME, text=text, config=config, details=details)


@register_builtin(NAME, family="llama", parameters=0.9, note="trained here on wikipedia-sample, CC BY-SA 3.0")
def _tiny_wikipedia() -> Built:
    from transformers import LlamaForCausalLM

    folder = shipped_folder() / "models" / NAME
    read_artifact(folder, KIND)
    with quiet.silenced():
        model = LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    return Built(model, load_tokenizer(folder))
