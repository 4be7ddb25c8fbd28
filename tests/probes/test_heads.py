import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import ShapeError
from workbench_probes import head_scores


def reference(pattern, ids):
    """The definitions, one query at a time."""
    n, found = (
        len(ids),
        {name: [] for name in ("previous_token", "first_token", "entropy", "duplicate_token", "induction")},
    )
    for q in range(1, n):
        row = pattern[q]
        found["previous_token"].append(row[q - 1])
        found["first_token"].append(row[0])
        found["entropy"].append(-sum(p * np.log(p) for p in row if p > 0))
        copies = [k for k in range(q) if ids[k] == ids[q]]
        if copies:
            found["duplicate_token"].append(sum(row[k] for k in copies))
    for q in range(n):
        after = [k + 1 for k in range(q) if ids[k] == ids[q] and k + 1 < q]
        if after:
            found["induction"].append(sum(pattern[q][k] for k in after))
    return {name: np.mean(values) if values else np.nan for name, values in found.items()}


@given(ids=st.lists(st.integers(0, 3), min_size=2, max_size=9), seed=st.integers(0, 99))
def test_scores_agree_with_their_definitions(ids, seed):
    n = len(ids)
    scores = torch.randn(2, 3, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    patterns = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
    result = head_scores(patterns, torch.tensor(ids))
    for layer, head in np.ndindex(2, 3):
        for name, value in reference(patterns[layer, head].numpy(), ids).items():
            np.testing.assert_allclose(result.arrays[name][layer, head], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert len(result.df("heads")) == 6


def test_a_perfect_induction_head_scores_one():
    ids = torch.tensor([5, 6, 7, 5, 6, 7])
    pattern = torch.zeros(1, 1, 6, 6)
    for query, key in ((0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 3)):
        pattern[0, 0, query, key] = 1
    assert head_scores(pattern, ids).arrays["induction"][0, 0] == 1


def test_patterns_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="want 3 by 3"):
        head_scores(torch.ones(1, 1, 4, 4), torch.tensor([1, 2, 3]))
