"""The truth for Laplace samples: its three functions belong together."""

import torch

from lpn import laplacian


def test_soft_thresholding() -> None:
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 2.0], dtype=torch.float64)
    assert laplacian.prox(x, 1.0).tolist() == [-2, 0, 0, 0, 1]
    assert laplacian.regulariser(x, 0.5).tolist() == [0.75, 0.125, 0, 0.125, 0.5]


def test_prox_is_the_gradient_of_the_potential() -> None:
    x = torch.linspace(-3, 3, 50, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(laplacian.potential(x, 0.8).sum(), x)
    torch.testing.assert_close(gradient, laplacian.prox(x, 0.8))


def test_regulariser_follows_from_the_potential() -> None:
    y = torch.linspace(2, 4, 10, dtype=torch.float64)
    x = laplacian.prox(y, 1.2)
    torch.testing.assert_close(laplacian.regulariser(x, 1.2), x * y - x.square() / 2 - laplacian.potential(y, 1.2))
