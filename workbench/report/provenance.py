"""The reproduce block: what decided the numbers, taken from manifests and results."""

from workbench.core import CircuitGraph, Manifest, Result

from .blocks import DictionaryUse, ReproduceBlock
from .config import ReportConfig

SIZES = {"max_nodes", "max_contexts", "context_nodes", "single_tolerance", "exact_tolerance", "group_tolerance"}


def environment(graph: CircuitGraph) -> dict[str, str]:
    """Versions and threads of the run that made the graph, as text."""
    return {**graph.manifest.versions, "threads": str(graph.manifest.threads)}


def reproduce_block(
    graph: CircuitGraph,
    validation: Result | None,
    evaluation: Result | None,
    sum_check: Result | None,
    dictionaries: Manifest | None,
    config: ReportConfig,
) -> ReproduceBlock:
    """Prompt, model, dictionaries, settings, seeds and versions, as far as they are recorded."""
    manifest = graph.manifest
    settings = {"trace": manifest.config, "prune": manifest.details.get("pruned", {})}
    seeds = {"trace": manifest.seed} if manifest.seed is not None else {}
    for result in (validation, evaluation, sum_check):
        if result is not None:
            settings[result.kind] = result.to_json()["params"]
            if result.seed is not None:
                seeds[result.kind] = result.seed
    if dictionaries is not None:
        settings["train"] = dictionaries.config
        if dictionaries.seed is not None:
            seeds["train"] = dictionaries.seed
    settings["report"] = config.model_dump(mode="json", include=SIZES | ({"finding"} if config.finding else set()))
    text = manifest.text or (dictionaries.text if dictionaries else None)
    return ReproduceBlock(
        prompt=graph.prompt,
        tokens=graph.tokens,
        token_ids=graph.token_ids,
        model=manifest.model,
        device=config.device,
        text=text,
        mask=manifest.mask.describe() if manifest.mask else "",
        dictionaries=_dictionaries(graph, dictionaries),
        graph_hash=manifest.content_hash or str(manifest.details.get("pruned", {}).get("from", "")),
        settings={name: values for name, values in settings.items() if values},
        edits=manifest.edits,
        seeds=seeds,
        threads=manifest.threads,
        versions=manifest.versions,
        command=config.command,
        python=config.python or _python(graph),
    )


def _python(graph: CircuitGraph) -> str:
    """Lines that trace and test the same prompt; nothing where the manifest does not say how."""
    manifest, target = graph.manifest, graph.manifest.config.get("target")
    name = manifest.details.get("dictionaries")
    if manifest.model is None or not target or not name:
        return ""
    settings = {key: value for key, value in manifest.config.items() if key != "target"}
    return "\n".join(
        (
            "import torch",
            "from workbench.circuits import Target, TraceConfig, trace, validate",
            "from workbench.dictionaries import load_dictionaries",
            "from workbench.models import load_model",
            "",
            f"model = load_model({manifest.model.id!r})",
            f"dictionaries = load_dictionaries({f'workbench-workspace/dictionaries/{name}'!r})",
            f"tokens = torch.tensor({list(graph.token_ids)})",
            f"target = Target.model_validate({target!r})",
            f"graph = trace(model, dictionaries, tokens, target, TraceConfig.model_validate({settings!r}))",
            "print(validate(model, dictionaries, graph).scalars)",
        )
    )


def _dictionaries(graph: CircuitGraph, manifest: Manifest | None) -> tuple[DictionaryUse, ...]:
    if manifest is None:
        return tuple(DictionaryUse(name=name, content_hash=hash_) for name, hash_ in graph.manifest.parents.items())
    name = manifest.name or str(graph.manifest.details.get("dictionaries", ""))
    members = manifest.details.get("run", {}).get("dictionaries", [])
    if not members:
        return (DictionaryUse(name=name, content_hash=manifest.content_hash),)
    family, first, settings = members[0][:3]
    reads = first if len(members) == 1 else f"{first} to {members[-1][1]}"
    return (
        DictionaryUse(
            name=name,
            content_hash=manifest.content_hash,
            family=str(family),
            reads=reads,
            width=settings.get("d_sae"),
            k=settings.get("k"),
        ),
    )
