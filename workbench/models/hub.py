"""The Hugging Face hub: an id -> a local folder, without a request when it is cached."""

from pathlib import Path

from workbench.core import FetchError, ModelError, Progress, nearest

from . import quiet
from .weights import weight_files
from .zoo import known_models

_WANTED = ["*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", "*.jinja"]
_WANTED += ["tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model"]
_UNWANTED = ["*/*"]


def hub_folder(name: str, offline: bool, progress: Progress) -> Path:
    """The snapshot of a hub repository, downloaded unless a complete one is cached; only safetensors weights.

    Raises:
        ModelError: the hub has no such model, or it asks for a licence click.
        FetchError: it is not cached, and the network is forbidden or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if folder := _cached(name):
        return folder
    if offline:
        raise FetchError(
            f"wanted the model {name}",
            found="it is not in the Hugging Face cache and the network is switched off",
            hint="run once without --offline, or give a local folder",
        )
    progress.phase(f"download {name}")
    try:
        with quiet.silenced():
            return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except GatedRepoError:
        raise ModelError(
            f"the model {name} asks you to accept its licence",
            hint=f"open https://huggingface.co/{name}, accept, and log in with `hf auth login`",
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        offered = nearest(name, [model.name for model in known_models()])
        raise ModelError(f"the hub has no model {name!r}", hint=offered) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise FetchError(
            f"cannot download {name} from the Hugging Face hub",
            found=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            hint="check the network; a local folder or smollm2-135m-instruct-q4 needs no hub",
        ) from None


def _cached(name: str) -> Path | None:
    """A cached snapshot that is complete, found without any request."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        weight_files(folder)
    except (OSError, ValueError, ModelError):
        return None
    return folder if (folder / "config.json").exists() else None
