"""Which text fits which model, and which store fits which model: never mixed silently."""

from workbench.core import Manifest, StoreError
from workbench.data import PackedText
from workbench.models import HookedModel


def refuse_text(model: HookedModel, text: PackedText) -> None:
    """Refuse tokens that are not this model's.

    Raises:
        StoreError: another tokenizer, or BOS where the model's policy wants none (or the reverse).
    """
    wanted, found = model.ref.tokenizer_hash, text.tokenizer_hash
    if wanted and found and wanted != found:
        raise StoreError(
            f"{model.ref.id} reads tokens of tokenizer {wanted[:12]}",
            found=f"{text.ref.id} was packed with tokenizer {found[:12]}",
            hint="pack the text with the model's tokenizer",
        )
    bos = model.tokenizer.bos_id if model.tokenizer is not None else None
    if bos is None:
        return
    with_bos = bool((text.ids[:, 0] == bos).all())
    if with_bos != model.policy.prepend_bos:
        raise StoreError(
            f"the model's policy is: {model.policy.describe()}",
            found=f"{text.ref.id} was packed with {'BOS in front' if with_bos else 'no BOS'}",
            hint="pack the text under the model's policy",
        )


def refuse_model(name: str, manifest: Manifest, model: HookedModel) -> None:
    """Refuse to read a store as another model's.

    Raises:
        StoreError: weights, tokenizer or policy differ; both sides are named.
    """
    made_by, policy = manifest.model, manifest.mask
    if made_by is None or policy is None:
        raise StoreError(f"{name} does not say which model it is of", hint="capture again")
    if made_by.weight_hash != model.ref.weight_hash:
        raise StoreError(
            f"{name} is of model {made_by.id} with weights {made_by.weight_hash[:12]}",
            found=f"this model is {model.ref.id} with weights {model.ref.weight_hash[:12]}",
            hint="load that model or capture again",
        )
    if made_by.tokenizer_hash != model.ref.tokenizer_hash:
        raise StoreError(
            f"{name} was made with tokenizer {made_by.tokenizer_hash[:12]}",
            found=f"the model's tokenizer is {model.ref.tokenizer_hash[:12]}",
            hint="load the model with that tokenizer or capture again",
        )
    if policy != model.policy:
        raise StoreError(
            f"{name} was made under the policy: {policy.describe()}",
            found=f"the model's policy is: {model.policy.describe()}",
            hint="load the model with that policy or capture again",
        )
