"""What the columns of an evaluation mean: one definition each, said in every Result."""

from .config import EvaluateConfig


def reconstruction_notes(config: EvaluateConfig) -> tuple[str, ...]:
    """Definitions of the table `layers`: x is the model's row at the written Site, y what the dictionary puts there."""
    return (
        "FVU: squared error over squared deviation from the mean of the same rows, summed over rows and dimensions; "
        f"rows whose target's norm exceeds {config.outlier_factor:g} medians (median of the first batch) are left out, "
        "fvu_all_rows keeps them. The mean as a prediction has FVU 1. MSE: squared error per row and dimension.",
        "Cosine: mean over the kept rows between target and reconstruction. L0: active features per kept row. "
        "Shrinkage: E[x . y] / E[|y|^2], the factor that would make the reconstruction fit best (above 1: it is too "
        "small); norm_ratio: E|y| / E|x|. Both count from zero, so a large mean of the rows hides shrinkage.",
        "Dead share: features not active in any row that counts; dense share: features active in more than "
        f"{config.dense_above:.0%} of them; density: features by log10 of the share of rows in which they are active.",
        f"Intervals: percentile bootstrap over documents, {config.bootstrap} resamples (the same for every column), "
        f"coverage {config.confidence:g}.",
    )


def splice_notes(n: int) -> tuple[str, ...]:
    """Definitions of the table `splice`, measured at `n` positions."""
    return (
        "Spliced: every written site replaced by the reconstruction at the positions that count, the model's own "
        "value elsewhere; outlier rows are replaced too. Cross-entropy (nats) of the next token and KL from the "
        f"model to the spliced model, at the same positions where a next token exists, n = {n}; "
        "`mean` puts the mean over the counted rows of this text there, `zero` puts zeros.",
        "Recovered: (ablated - spliced) / (ablated - model) for cross-entropy, (ablated - spliced) / ablated for KL; "
        "1: no damage left, 0: no better than the ablation, below 0: worse.",
    )
