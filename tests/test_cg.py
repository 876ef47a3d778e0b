import pytest
import torch

from lpn.cg import conjugate_gradients


def system(samples: int, size: int, condition: float = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a symmetric positive definite matrix of random eigenvectors, and right sides (samples, 1, size, 1)."""
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    matrix = q @ torch.diag(torch.logspace(0, torch.tensor(condition).log10(), size, dtype=torch.float64)) @ q.T
    return matrix, torch.randn(samples, 1, size, 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_equals_dense_solve(preconditioned: bool) -> None:
    matrix, b = system(3, 20)
    diagonal = matrix.diagonal()[:, None]
    result = conjugate_gradients(
        lambda x: matrix @ x,
        b,
        torch.zeros_like(b),
        (lambda r: r / diagonal) if preconditioned else None,
        tolerance=1e-10,
        max_iterations=200,
    )
    torch.testing.assert_close(result.x, torch.linalg.solve(matrix, b), rtol=0, atol=1e-8)
    true = (b - matrix @ result.x).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)
    torch.testing.assert_close(result.relative_residual, true, rtol=0, atol=1e-12)
    assert (true <= 1e-10).all()


def test_a_good_preconditioner_takes_one_iteration() -> None:
    matrix, b = system(2, 20)
    result = conjugate_gradients(lambda x: matrix @ x, b, torch.zeros_like(b), lambda r: torch.linalg.solve(matrix, r))
    assert result.iterations.tolist() == [1, 1]


def test_each_sample_is_solved_as_if_alone_and_ends_at_its_own_time() -> None:
    matrix, b = system(4, 30, condition=10)  # converges before rounding decides the number of iterations
    b[1] = 0
    start = torch.randn(b.shape, generator=torch.Generator().manual_seed(1), dtype=b.dtype)
    start[2] = torch.linalg.solve(matrix, b[2])
    b[3] = matrix @ torch.ones(30, 1, dtype=b.dtype)
    sizes = []

    def matvec(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return matrix @ x

    together = conjugate_gradients(matvec, b, start, tolerance=1e-6, max_iterations=100)
    assert together.iterations[1] == together.iterations[2] == 0
    assert (together.x[1] == 0).all()
    assert together.relative_residual[1] == 0
    torch.testing.assert_close(together.x[2], start[2], rtol=0, atol=0)
    assert sizes[0] == 4
    assert sum(sizes[1:]) == together.iterations.sum()  # finished samples cost nothing
    for i in range(4):
        alone = conjugate_gradients(matvec, b[i : i + 1], start[i : i + 1], tolerance=1e-6, max_iterations=100)
        assert alone.iterations == together.iterations[i]
        torch.testing.assert_close(alone.x[0], together.x[i])


def test_limits() -> None:
    matrix, b = system(1, 30, condition=1e6)
    start = torch.ones_like(b)
    assert conjugate_gradients(lambda x: matrix @ x, b, start, max_iterations=3).iterations == 3
    none = conjugate_gradients(lambda x: matrix @ x, b, start, max_iterations=0)
    torch.testing.assert_close(none.x, start)
    assert none.iterations == 0
    assert none.relative_residual > 1
    assert not b.requires_grad
    torch.testing.assert_close(start, torch.ones_like(b))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_right_side_that_is_not_finite_shows_in_its_solution_alone(value: float) -> None:
    matrix, b = system(3, 20)
    expected = conjugate_gradients(lambda x: matrix @ x, b, torch.zeros_like(b)).x
    b[1, 0, 3] = value
    result = conjugate_gradients(lambda x: matrix @ x, b, torch.zeros_like(b))
    assert not result.x[1].isfinite().all()
    assert not result.relative_residual[1].isfinite()
    torch.testing.assert_close(result.x[[0, 2]], expected[[0, 2]])
