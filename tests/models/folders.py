"""Model folders and GGUF files for the tests of loading, made from tiny random models."""

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from workbench.models import WordTokenizer

from .families import VOCABULARY, build

WORDS = ("<bos>", *(f"w{i}" for i in range(1, VOCABULARY)))


def save_folder(folder: Path, family: str = "llama", shard: str = "5GB") -> PreTrainedModel:
    """A folder as on the hub: config, safetensors, tokenizer; the model it holds."""
    model = build(family)
    model.save_pretrained(folder, max_shard_size=shard)
    WordTokenizer(WORDS).save(folder)
    return model


def save_hub_cache(cache: Path, name: str, family: str = "gpt2") -> PreTrainedModel:
    """A complete snapshot in the layout of the Hugging Face cache."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    return save_folder(repository / "snapshots" / ("0" * 40), family)


def tiny_llama() -> LlamaForCausalLM:
    """Sizes that quantise: every row is a multiple of 32."""
    config = LlamaConfig(
        vocab_size=len(BYTE_TOKENS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def _byte_tokens() -> list[str]:
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [chr(256 + i) for i in range(256 - len(visible))]
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merged = ["Ġt", "Ġth", "Ġthe", "ĠĠ"]
    tokens = specials + [chr(byte) for byte in visible] + hidden + merged
    return tokens + [f"<|spare_{i}|>" for i in range(-len(tokens) % 32)]


BYTE_TOKENS = _byte_tokens()


def save_gguf(path: Path, model: LlamaForCausalLM, kind: str = "F32", pre: str = "smollm") -> None:
    """The model as llama.cpp's tools write it: query and key rows permuted, matrices quantised."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_license("apache-2.0")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(BYTE_TOKENS)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in BYTE_TOKENS])
    writer.add_token_merges(["Ġ t", "Ġt h", "Ġth e", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        data = tensor.numpy()
        count = next((count for part, count in heads.items() if part in name), None)
        if count:
            data = data.reshape(count, 2, -1, data.shape[1]).swapaxes(1, 2).reshape(data.shape)
        quantised = gguf.GGMLQuantizationType[kind if data.ndim == 2 else "F32"]
        target = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(target, gguf.quants.quantize(np.ascontiguousarray(data), quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
