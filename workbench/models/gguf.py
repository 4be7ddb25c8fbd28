"""GGUF: quantised weights -> an ordinary model folder with safetensors, made once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.core import Manifest, ModelError, Progress, file_sha256
from workbench.workspace import build_once, cache_folder

from . import quiet
from .tokenize import Tokenizer
from .weights import hash_tensors

log = logging.getLogger(__name__)
# Pre-tokenizers that put every digit apart before GPT-2's rule; transformers' converter leaves this out.
_SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})


def convert_gguf(path: Path, folder: Path, name: str, prefix: str | None, progress: Progress) -> Path:
    """The model folder made of a .gguf file, converted at the first call.

    The weights are de-quantised to float32 and saved as safetensors with the tokenizer; the manifest names
    the quantisation and the sha256 of the file.

    Raises:
        ModelError: no GGUF file, or an architecture that transformers does not convert.
    """
    return build_once(folder, "model", lambda staging: _build(path, staging, name, prefix, progress)).path


def gguf_folder(path: Path) -> Path:
    """Where the conversion of a user's own file is kept: by the file's content."""
    return cache_folder() / "models" / f"gguf-{path.stem.lower()[:40]}-{file_sha256(path)[:12]}"


def _build(path: Path, staging: Path, name: str, prefix: str | None, progress: Progress) -> Manifest:
    from safetensors.torch import save_file

    header = _read_header(path)
    tokenizer = _tokenizer(path, header)
    with _reported(progress):
        model = _model(path)
    config = model.config
    quantisation = _quantisation(header)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(model).__name__]
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    for key in _tied(model):
        state.pop(key, None)
    progress.phase("save the converted model")
    save_file(state, staging / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(staging)
    tokenizer.save(staging)
    details: dict[str, Any] = {
        "weight_hash": hash_tensors(state),
        "processing": [f"de-quantised from GGUF {quantisation} to float32"],
        "prefix": prefix,
        "gguf_sha256": file_sha256(path),
        "licence": header.get("general.license", "unknown"),
    }
    return Manifest(kind="model", name=name, details=details)


def _read_header(path: Path) -> dict[str, Any]:
    """Scalar metadata of a GGUF file, and the types of its tensors under `tensor_types`."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        scalars = {key: field.contents() for key, field in reader.fields.items() if len(field.types) == 1}
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise ModelError(f"cannot read {path} as a GGUF file", found=str(error), hint="download it again") from None
    return scalars | {"tensor_types": [tensor.tensor_type.name for tensor in reader.tensors]}


def _quantisation(header: dict[str, Any]) -> str:
    """The type of most tensors that are quantised at all, such as Q4_1."""
    types = [kind for kind in header["tensor_types"] if kind not in ("F32", "F16", "BF16")]
    return max(set(types), key=types.count) if types else "F32"


def _model(path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        with quiet.silenced():
            return AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype="float32", local_files_only=True
            )
    except (ValueError, OSError, KeyError, RuntimeError, NotImplementedError, ImportError) as error:
        raise ModelError(
            f"cannot convert {path}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="transformers converts llama, qwen2, qwen3, gemma2, gemma3, gpt2, phi3 and some more; "
            "or use the original safetensors",
        ) from None


def _tied(model: Any) -> list[str]:
    """Names of tensors that only repeat another one."""
    if not model.config.tie_word_embeddings:
        return []
    output, given = model.get_output_embeddings(), model.get_input_embeddings()
    if output is None or output.weight.data_ptr() != given.weight.data_ptr():
        return []
    return [key for key, value in model.named_parameters(remove_duplicate=False) if value is output.weight][1:]


def _tokenizer(path: Path, header: dict[str, Any]) -> Tokenizer:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    try:
        with quiet.silenced():
            fast = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    except (ValueError, OSError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"cannot read the tokenizer of {path}", found=str(error).splitlines()[0]) from None
    if header.get("tokenizer.ggml.pre") in _SINGLE_DIGITS:
        fast.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return Tokenizer(fast)


@contextmanager
def _reported(progress: Progress) -> Iterator[None]:
    """Let transformers' progress bar report to ours."""
    from transformers import modeling_gguf_pytorch_utils as module

    def bar(tensors: Any, **_: Any) -> Iterator[Any]:
        progress.phase("de-quantise", total=len(tensors), unit="tensor")
        for tensor in tensors:
            yield tensor
            progress.advance()

    original = module.tqdm
    module.tqdm = bar  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        module.tqdm = original
