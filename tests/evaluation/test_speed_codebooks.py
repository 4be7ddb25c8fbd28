"""The benchmark of training with codebooks: its ways do the same work."""

import torch

from workbench.evaluation import CodebookBenchConfig, bench_codebooks
from workbench.evaluation.speed.codebooks import BRIDGE, MODULE, OURS, PLAIN, steps

SMALL = CodebookBenchConfig(rounds=2, codes=40, k=2, layers=2, heads=2, d_model=16, sequences=3, sequence_length=12)


def test_every_way_trains_as_its_twin_does():
    ids = torch.randint(10, (3, 12), generator=torch.Generator().manual_seed(0))
    ways = steps(SMALL, ids)
    losses = {name: torch.stack([step() for _ in range(5)]) for name, step in ways.items()}
    torch.testing.assert_close(losses[BRIDGE], losses[MODULE], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses[OURS], losses[PLAIN], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(losses[OURS], losses[MODULE], atol=0.1)


def test_a_row_for_every_way():
    result = bench_codebooks(SMALL)
    assert [row["case"] for row in result.tables["codebooks"]] == [MODULE, BRIDGE, PLAIN, OURS]
    rows = {row["case"]: row for row in result.tables["tokens"]}
    assert rows[MODULE]["share_of_plain_module"] == 1
    assert all(row["tokens_per_second"] > 0 for row in rows.values())
