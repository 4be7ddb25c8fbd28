"""`tiny-relu`: a three-layer OPT (plain MLPs with ReLU) that reads characters, shipped with the package.

It is the dense model of the lazy-neuron experiments; `workbench reproduce lazy-neuron --from-scratch` makes it anew.
"""

import string
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from workbench.core import Config, ModelError, child
from workbench.workspace import shipped_folder

from . import quiet
from .tokenize import Tokenizer, load_tokenizer
from .zoo import Built, register_builtin

NAME = "tiny-relu"
_BOS, _UNKNOWN = "<bos>", "<other>"
CHARACTERS = (_BOS, _UNKNOWN, *string.printable[:95], "\n")


class ReluModelConfig(Config):
    """Sizes of an OPT that reads characters."""

    layers: int = Field(default=3, ge=1, description="blocks")
    heads: int = Field(default=4, ge=1, description="attention heads")
    d_model: int = Field(default=64, ge=8, description="size of the residual stream")
    d_mlp: int = Field(default=512, ge=1, description="neurons of an MLP")
    length: int = Field(default=128, ge=2, description="longest sequence")
    seed: int = Field(default=0, ge=0, description="seed of the starting weights")


def character_tokenizer() -> Tokenizer:
    """One token per printable ASCII character or newline, one for every other character, and BOS."""
    from tokenizers import AddedToken, Regex, Tokenizer as Backend, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: i for i, character in enumerate(CHARACTERS)}
    backend = Backend(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(_BOS, special=True), AddedToken(_UNKNOWN, special=True)])
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=_BOS, unk_token=_UNKNOWN)
    return Tokenizer(fast)


def new_relu_model(config: ReluModelConfig | None = None) -> Any:
    """An untrained OPTForCausalLM; its MLPs are W_out ReLU(W_in x + b) + c, the form of Li et al. 2022."""
    from transformers import OPTConfig, OPTForCausalLM

    config = config or ReluModelConfig()
    model = OPTForCausalLM(
        OPTConfig(
            vocab_size=len(CHARACTERS),
            hidden_size=config.d_model,
            word_embed_proj_dim=config.d_model,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            ffn_dim=config.d_mlp,
            max_position_embeddings=config.length,
            dropout=0.0,
            layerdrop=0.0,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
        )
    )
    draw = torch.Generator().manual_seed(child(config.seed, "relu model"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                # Variance 1 / inputs keeps the size of the stream; embeddings get that of a row of W_in.
                parameter.normal_(0, 1 / parameter.shape[1] ** 0.5, generator=draw)
    return model


def save_relu_model(model: Any, folder: Path) -> None:
    """Write weights (as float16) and tokenizer in the Hugging Face layout."""
    with quiet.silenced():
        model.to(torch.float16).save_pretrained(folder)
    character_tokenizer().save(folder)


@register_builtin(NAME, family="opt", parameters=0.2, note="ReLU MLPs; trained here on the characters of Wikipedia")
def _tiny_relu() -> Built:
    from transformers import OPTForCausalLM

    folder = shipped_folder() / "models" / NAME
    if not folder.is_dir():
        raise ModelError(f"the shipped model {NAME} is missing at {folder}", hint="install the package again")
    with quiet.silenced():
        model = OPTForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True).float()
    return Built(model, load_tokenizer(folder))
