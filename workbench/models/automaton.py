"""The small GPT-NeoX models of the automaton: new, saved, and built from trained weights.

The reference's settings (4 layers, 4 heads, d_model 128, MLP 512, 11 tokens, attention and MLP in parallel, a quarter
of each head rotary with base 10,000), and a scaled one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from workbench.core import Config, ModelError, child, read_artifact
from workbench.workspace import shipped_folder

from . import quiet
from .tokenize import Tokenizer
from .zoo import Built, register_builtin

WORDS = (*map(str, range(10)), "<|endoftext|>")


class AutomatonModelConfig(Config):
    """Sizes of a GPT-NeoX model that reads digits."""

    layers: int = Field(default=4, ge=1, description="blocks")
    heads: int = Field(default=4, ge=1, description="attention heads")
    d_model: int = Field(default=128, ge=8, description="size of the residual stream")
    d_mlp: int = Field(default=512, ge=1, description="neurons of an MLP")
    length: int = Field(default=128, ge=2, description="longest sequence")
    seed: int = Field(default=0, ge=0, description="seed of the starting weights")


SCALED_SIZES = AutomatonModelConfig(layers=3, d_model=64, d_mlp=256)
"""Of the model that reads the scaled automaton."""
KIND = "automaton model"


def digit_tokenizer() -> Tokenizer:
    """One token per decimal digit, and <|endoftext|> (id 10) as BOS and EOS."""
    from tokenizers import AddedToken, Regex, Tokenizer as Backend, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    end = WORDS[-1]
    backend = Backend(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=end))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(end, special=True)])
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=end, eos_token=end))


def new_automaton_model(config: AutomatonModelConfig | None = None) -> Any:
    """An untrained GPTNeoXForCausalLM with Hugging Face's starting weights, drawn from the seed."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = config or AutomatonModelConfig()
    model = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=len(WORDS),
            hidden_size=config.d_model,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.d_mlp,
            max_position_embeddings=config.length,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
            use_parallel_residual=True,
            tie_word_embeddings=False,
            bos_token_id=len(WORDS) - 1,
            eos_token_id=len(WORDS) - 1,
        )
    )
    draw = torch.Generator().manual_seed(child(config.seed, "automaton model"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, model.config.initializer_range, generator=draw)
    return model


def automaton_model(config: AutomatonModelConfig, weights: Mapping[str, Tensor]) -> Any:
    """A GPTNeoXForCausalLM with the canonical weights (`HookedModel.params`), not yet hooked.

    Raises:
        ModelError: weights are missing or have another shape.
    """
    model = new_automaton_model(config)
    names = {"embed.W_E": "gpt_neox.embed_in.weight", "ln_final.w": "gpt_neox.final_layer_norm.weight"}
    names |= {"ln_final.b": "gpt_neox.final_layer_norm.bias"}
    try:
        state = {theirs: weights[ours] for ours, theirs in names.items()}
        state["lm_head.weight"] = weights["unembed.W_U"].T
        for layer in range(config.layers):
            block = {name: weight for name, weight in weights.items() if name.startswith(f"blocks.{layer}.")}
            state |= _block(f"gpt_neox.layers.{layer}", f"blocks.{layer}", block)
        model.load_state_dict({name: tensor.detach().contiguous() for name, tensor in state.items()})
    except (KeyError, RuntimeError) as error:
        raise ModelError("the weights do not fit the sizes of the model", str(error).splitlines()[0]) from None
    return model


def _block(theirs: str, ours: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One block: queries, keys and values lie head by head in one matrix."""
    attention = [weights[f"{ours}.attn.W_{letter}"].transpose(1, 2) for letter in "QKV"]
    biases = [weights[f"{ours}.attn.b_{letter}"] for letter in "QKV"]
    return {
        f"{theirs}.input_layernorm.weight": weights[f"{ours}.ln1.w"],
        f"{theirs}.input_layernorm.bias": weights[f"{ours}.ln1.b"],
        f"{theirs}.post_attention_layernorm.weight": weights[f"{ours}.ln2.w"],
        f"{theirs}.post_attention_layernorm.bias": weights[f"{ours}.ln2.b"],
        f"{theirs}.attention.query_key_value.weight": torch.stack(attention, 1).flatten(0, 2),
        f"{theirs}.attention.query_key_value.bias": torch.stack(biases, 1).flatten(),
        f"{theirs}.attention.dense.weight": weights[f"{ours}.attn.W_O"].flatten(0, 1).T,
        f"{theirs}.attention.dense.bias": weights[f"{ours}.attn.b_O"],
        f"{theirs}.mlp.dense_h_to_4h.weight": weights[f"{ours}.mlp.W_in"].T,
        f"{theirs}.mlp.dense_h_to_4h.bias": weights[f"{ours}.mlp.b_in"],
        f"{theirs}.mlp.dense_4h_to_h.weight": weights[f"{ours}.mlp.W_out"].T,
        f"{theirs}.mlp.dense_4h_to_h.bias": weights[f"{ours}.mlp.b_out"],
    }


def save_automaton_model(model: Any, folder: Path) -> None:
    """Write weights (as float16) and tokenizer in the Hugging Face layout."""
    with quiet.silenced():
        model.to(torch.float16).save_pretrained(folder)
    digit_tokenizer().save(folder)


def shipped_automaton_model(run: str, config: AutomatonModelConfig) -> Built:
    """A model that is shipped as canonical weights in float16, in float32.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    weights = read_artifact(shipped_folder() / "automaton" / run, KIND).tensors()
    return Built(automaton_model(config, {name: weight.float() for name, weight in weights.items()}), digit_tokenizer())


@register_builtin(
    "tiny-tokfsm-30", family="gpt_neox", parameters=0.15, note="trained here on the automaton with 30 states"
)
def _tokfsm_30() -> Built:
    return shipped_automaton_model("scaled-plain", SCALED_SIZES)
