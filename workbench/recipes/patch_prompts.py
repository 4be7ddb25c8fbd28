"""Activation patching between one prompt and its corrupted twin, as the Patch tab of the app does it."""

from collections.abc import Sequence

import torch

from workbench.circuits import Contrast, PatchConfig, PositionPatchConfig, patch, patch_positions
from workbench.core import Progress, Result, Silent, TextError
from workbench.models import HookedModel, load_model
from workbench.workspace import Workspace

from .circuits import slug
from .patch_prompts_config import PatchPromptsConfig
from .study import one_token


def patch_prompts(
    model: HookedModel,
    clean: Sequence[int],
    corrupted: Sequence[int],
    pair: tuple[int, int],
    config: PatchPromptsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Patch every layer and position (table `positions`), or every head and MLP (table `nodes`), exactly.

    Args:
        clean, corrupted: token ids of the prompts, as many of one as of the other, BOS included.
        pair: target and foil, whose logit difference at the last position is measured.

    Raises:
        TextError: two lengths, the same prompt twice, or prompts that do not differ in the metric.
    """
    config = config or PatchPromptsConfig()
    check_twins(clean, corrupted)
    contrast = Contrast.of_ids(torch.tensor([list(clean)]), torch.tensor([list(corrupted)]), *pair)
    if config.site == "heads":
        wanted = PatchConfig(direction=config.direction, batch=config.batch, bootstrap=0)
        result = patch(model, contrast, wanted, progress)
    else:
        by_position = PositionPatchConfig(kinds=(config.site,), direction=config.direction, batch=config.batch)
        result = patch_positions(model, contrast, by_position, progress)
    result.params.update(
        model=model.ref.id,
        site=config.site,
        prompt=_without_bos(model, clean),
        corrupted=_without_bos(model, corrupted),
        target=model.tokenizer.strings(pair[:1])[0],
        foil=model.tokenizer.strings(pair[1:])[0],
    )
    return result


def check_twins(clean: Sequence[int], corrupted: Sequence[int]) -> None:
    """Refuse prompts that cannot be laid on each other.

    Raises:
        TextError: two lengths, or the same prompt twice.
    """
    if len(clean) != len(corrupted):
        counts = f"the prompt has {len(clean)}, the corrupted one {len(corrupted)}"
        raise TextError("both prompts need as many tokens", counts, "exchange words of the same number of tokens")
    if tuple(clean) == tuple(corrupted):
        raise TextError("the corrupted prompt is the prompt itself", hint="change a word that decides the answer")


def patch_prompts_by_name(
    place: Workspace,
    prompt: str,
    corrupted: str,
    model: str,
    config: PatchPromptsConfig | None = None,
    *,
    target: str | None = None,
    foil: str | None = None,
    bos: bool | None = None,
    name: str | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Load a model, patch between two prompts and save the Result in the workspace.

    Args:
        target, foil: one token each; without them the likeliest token after the prompt, and the likeliest after the
            corrupted one (or the second best).
        bos: put the BOS token in front; None follows the model's policy.

    Raises:
        TextError: prompts that do not fit together. ModelError: see `load_model`.
    """
    progress = progress or Silent()
    subject = load_model(model, device=device, offline=offline, progress=progress)
    clean, spoilt = (subject.tokens(text, prepend_bos=bos).ids[0].tolist() for text in (prompt, corrupted))
    with torch.inference_mode():
        first, second = (_likeliest(subject, ids) for ids in (clean, spoilt))
    wanted = first[0] if target is None else one_token(subject, target)
    likely = (second[0], *first, *second)
    other = next(token for token in likely if token != wanted) if foil is None else one_token(subject, foil)
    result = patch_prompts(subject, clean, spoilt, (wanted, other), config, progress)
    return save_patching(place, result, name)


def save_patching(place: Workspace, result: Result, name: str | None = None) -> Result:
    """Save what `patch_prompts` gave as `results/<name>`; without a name it is made from the prompt and the site."""
    path = place.path_of("results", name or patching_name(result))
    if not path.is_dir() or name is not None:
        result.save(path)
    return result


def patching_name(result: Result) -> str:
    """Where `save_patching` puts a Result: the same patching twice is one artifact."""
    return f"{slug('patch ' + str(result.params['site']) + ' ' + str(result.params['prompt']))}-{result.id[:6]}"


def _without_bos(model: HookedModel, ids: Sequence[int]) -> str:
    return model.tokenizer.decode(ids[int(bool(ids) and ids[0] == model.tokenizer.bos_id) :])


def _likeliest(model: HookedModel, ids: Sequence[int]) -> list[int]:
    logits = model.run(torch.tensor([list(ids)])).logits
    assert logits is not None
    return logits[0, -1].topk(2).indices.tolist()
