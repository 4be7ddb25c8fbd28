"""Released masks over weights (bigram-subnetworks): a pickle of name -> boolean array, read without running it."""

from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import ArtifactError

from .torch_file import read_checkpoint, tensors_of

_MODEL = "orig_model_name"


def read_weight_masks(path: Path) -> tuple[dict[str, Bool[Tensor, "*s"]], str]:
    """Masks by Hugging Face's parameter names, and the model they are of ("" where the file does not say).

    Raises:
        ArtifactError: no such file, a pickle that is more than arrays, or one whose arrays are not boolean.
    """
    tensors, masks = tensors_of(read_checkpoint(Path(path)), str(path)), {}
    for name, stored in tensors.items():
        if stored.dtype != torch.bool:
            raise ArtifactError(f"{path} wants boolean arrays by parameter name", found=f"{name[:80]}: {stored.dtype}")
        masks[name] = stored.load()
    if not masks:
        raise ArtifactError(f"{path} holds no mask")
    return masks, str(tensors.extra.get(_MODEL, ""))
