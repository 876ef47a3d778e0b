import torch

from lpn.solvers._differences import SQUARED_NORM, differences, differences_adjoint, total_variation

from .conftest import normal


def test_differences_and_their_adjoint() -> None:
    x, q = normal(2, 3, 6, 5), normal(2, 2, 3, 6, 5, seed=1)
    torch.testing.assert_close((differences(x) * q).sum(), (x * differences_adjoint(q)).sum())
    matrix = torch.autograd.functional.jacobian(lambda v: differences(v.view(1, 1, 6, 5)).flatten(), normal(30))
    assert 7 < torch.linalg.matrix_norm(matrix, 2) ** 2 < SQUARED_NORM
    image = torch.tensor([[0.0, 1.0], [3.0, -1.0]]).view(1, 1, 2, 2)
    assert total_variation(image).item() == 3 + 2 + 1 + 4
