"""The coding rate against its definition, and where it must rise and fall."""

import pytest
import torch

from workbench_probes import coding_rate, subspace_rate


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "d"), [(5, 9), (9, 5)])
def test_it_is_its_definition(n, d):
    z = rows(3, n, d).double()
    wanted = [0.5 * torch.logdet(torch.eye(d) + d / (n * 0.5**2) * part.T @ part) for part in z]
    torch.testing.assert_close(coding_rate(z, 0.5), torch.stack(wanted))


def test_it_is_blind_to_rotation_and_falls_as_rows_draw_together():
    z = rows(40, 6)
    turn = torch.linalg.qr(rows(6, 6, seed=1)).Q
    torch.testing.assert_close(coding_rate(z @ turn), coding_rate(z), rtol=1e-5, atol=1e-5)
    gathered = z.mean(0) + 0.1 * (z - z.mean(0))
    assert coding_rate(gathered) < coding_rate(z)
    assert coding_rate(torch.zeros(4, 3)) == 0


def test_the_rates_of_subspaces_add_up():
    inside = rows(2, 3, 10, 4)
    torch.testing.assert_close(subspace_rate(inside), sum(coding_rate(inside[:, head]) for head in range(3)))
