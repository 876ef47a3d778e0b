from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_files

from lpn.operators.compressed_sensing import CompressedSensing
from operators.conftest import build, dense, draw, relative


@pytest.mark.parametrize("path", golden_files("op_cs"), ids=lambda path: path.stem)
def test_published_compressed_sensing(path: Path) -> None:
    arrays = np.load(path)
    operator = CompressedSensing((1, 64, 64), arrays["a"], arrays["sign"], arrays["indices"])
    x, y = (torch.from_numpy(arrays[name])[None, None] for name in "xy")
    assert relative(operator(x)[0, 0], arrays["Ax"]) < 1e-6
    assert relative(operator.adjoint(y)[0, 0], arrays["adj_y"]) < 1e-6
    start = operator.initial(torch.cat([operator(x), y]))  # the published slip changes it by about 1e-6
    assert relative(start[0, 0], arrays["ls_Ax"]) < 1e-5
    assert relative(start[1, 0], arrays["ls_y"]) < 1e-5
    # their few power iterations fall short
    assert arrays["norm_seed0"] < operator.norm < 1.05 * arrays["norm_seed0"]


def test_it_is_the_product_of_its_factors() -> None:
    operator = CompressedSensing.random((1, 4, 5), 7, seed=3)
    drawn = operator.arrays()
    f = np.fft.fft(np.eye(20), norm="ortho")
    matrix = np.eye(20)[drawn["rows"]] @ f.conj().T @ np.diag(f @ drawn["filter"]) @ f @ np.diag(drawn["sign"])
    np.testing.assert_allclose(matrix.imag, 0, atol=1e-12)
    np.testing.assert_allclose(dense(operator), matrix.real, atol=1e-12)


def test_the_start_takes_measurements_of_its_shape_alone() -> None:
    operator = CompressedSensing.random((1, 8, 8), 20, seed=3)
    for shape in ((2, 1, 19), (2, 3, 20)):
        with pytest.raises(ValueError, match=r"takes tensors of shape \(N, 1, 20\)"):
            operator.initial(torch.zeros(shape))


def test_it_is_made_again_from_saved_arrays(tmp_path: Path) -> None:
    operator = CompressedSensing.random((1, 8, 8), 20, seed=3)
    np.savez(tmp_path / "operator.npz", **operator.arrays())
    x = draw(1, 1, 8, 8)
    again = CompressedSensing((1, 8, 8), **np.load(tmp_path / "operator.npz"))
    torch.testing.assert_close(again(x), operator(x), rtol=0, atol=0)
    torch.testing.assert_close(build("compressed_sensing", (1, 8, 8), 3, measurements=20)(x), operator(x), rtol=0, atol=0)
    assert not torch.equal(CompressedSensing.random((1, 8, 8), 20, seed=4)(x), operator(x))
    with pytest.raises(ValueError, match=r"do not\s+fit"):
        CompressedSensing((1, 8, 9), **operator.arrays())


@pytest.mark.parametrize(
    ("measurements", "message"),
    [(0, "greater than 0"), (-1, "greater than 0"), (65, r"measurements must be in 1\.\.64 for images of 8 x 8, not 65")],
)
def test_numbers_of_measurements_that_can_not_be_are_refused(measurements: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("compressed_sensing", (1, 8, 8), measurements=measurements)
