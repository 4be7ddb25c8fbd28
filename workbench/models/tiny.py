"""`tiny-sentences`: a two-layer Llama trained on synthetic sentences, shipped with the package.

It answers `When Alice and Ben went to the park , Alice gave a book to` with ` Ben`; `workbench.recipes.train_tiny`
makes it anew.
"""

from pathlib import Path
from typing import Any

import torch

from workbench.core import ModelError, child
from workbench.workspace import shipped_folder

from . import quiet
from .tokenize import Tokenizer, load_tokenizer
from .zoo import Built, register_builtin

NAME = "tiny-sentences"
N_CTX = 64


def new_tiny(vocabulary: int, seed: int) -> Any:
    """An untrained LlamaForCausalLM: 2 layers, d_model 64, 4 query and 2 key/value heads, gated MLP of 128."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=N_CTX,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    draw = torch.Generator().manual_seed(child(seed, "tiny"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.1, generator=draw)
    return model


def save_tiny(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights and tokenizer in the Hugging Face layout."""
    with quiet.silenced():
        model.save_pretrained(folder)
    tokenizer.save(folder)


@register_builtin(NAME, family="llama", parameters=0.1, note="trained here on synthetic-sentences")
def _tiny_sentences() -> Built:
    from transformers import LlamaForCausalLM

    folder = shipped_folder() / "models" / NAME
    if not folder.is_dir():
        raise ModelError(f"the shipped model {NAME} is missing at {folder}", hint="install the package again")
    with quiet.silenced():
        model = LlamaForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return Built(model, load_tokenizer(folder))
