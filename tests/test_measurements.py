"""Measurements of the user's: what is converted, made, and refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import PositiveInt
from torch import Tensor

from lpn.errors import UserError
from lpn.measurements import Measurement, read_measurement, simulate, write_measurement
from lpn.operators import LinearOperator, OperatorSettings, build_operator
from lpn.operators.blur import BlurSettings
from lpn.operators.compressed_sensing import CompressedSensingSettings
from lpn.operators.identity import IdentitySettings

BLUR = BlurSettings(sigma=1.0)
SENSING = CompressedSensingSettings(measurements=40)


def images(*shape: int) -> Tensor:
    """Return random images in [0, 1], (N, C, H, W)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def measured(settings: OperatorSettings = BLUR, shape: tuple[int, ...] = (2, 3, 8, 9)) -> dict[str, np.ndarray]:
    """Return the arrays of a simulation."""
    result = simulate(images(*shape), build_operator(settings, shape[1:], 5), 0.1, 5, "test")
    return {name: array for name, array in vars(result).items() if name != "drawn"} | result.drawn


def read(folder: Path, arrays: dict[str, Any], settings: OperatorSettings = BLUR, **options: Any) -> Measurement:
    """Write arrays, all that are not None, and read them as measurements."""
    np.savez(folder / "m.npz", **{name: array for name, array in arrays.items() if array is not None})
    return read_measurement(folder / "m.npz", settings, 5, **options)[1]


def same(found: Measurement, arrays: dict[str, np.ndarray]) -> None:
    """Check that measurements are these arrays, to the bit, in float32."""
    for name in ("y", "start", "observed", "truth"):
        np.testing.assert_array_equal(getattr(found, name), arrays[name])
        assert getattr(found, name).dtype == np.float32


@pytest.mark.parametrize("settings", [BLUR, SENSING], ids=["blur", "random"])
def test_what_is_written_is_read(settings: OperatorSettings, tmp_path: Path) -> None:
    x = images(2, 3, 8, 9)
    written = simulate(x, build_operator(settings, (3, 8, 9), 5), 0.1, 5, "test")
    write_measurement(tmp_path / "m.npz", written)
    operator, found = read_measurement(tmp_path / "m.npz", settings, 5)
    same(found, vars(written))
    assert found.drawn.keys() == operator.arrays().keys()


@pytest.mark.parametrize("dtype", ["f8", ">f8", ">f4", "f4"])
def test_numbers_become_float32(dtype: str, tmp_path: Path) -> None:
    arrays = measured()
    same(read(tmp_path, {name: array.astype(dtype) for name, array in arrays.items()}), arrays)


def test_half_precision_and_integers_are_numbers(tmp_path: Path) -> None:
    arrays = measured(IdentitySettings())
    for y in (arrays["y"].astype("f2"), np.round(arrays["y"]).astype("i8"), arrays["y"] > 0.5):
        np.testing.assert_array_equal(read(tmp_path, arrays | {"y": y}, IdentitySettings()).y, y.astype(np.float32))


def test_one_image_and_one_channel_need_no_axis(tmp_path: Path) -> None:
    arrays = measured()
    same(read(tmp_path, {name: a[0] for name, a in arrays.items()}, shape=(3, 8, 9)), {n: a[:1] for n, a in arrays.items()})
    grey = measured(shape=(2, 1, 8, 9))
    same(read(tmp_path, {name: array[:, 0] for name, array in grey.items()}, shape=(1, 8, 9)), grey)
    one = {name: array[:1] for name, array in grey.items()}
    same(read(tmp_path, {name: array[0, 0] for name, array in grey.items()}), one)
    same(read(tmp_path, {name: array[0] for name, array in grey.items()}, shape=(1, 8, 9)), one)


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    for settings in (BLUR, SENSING):
        arrays = measured(settings)
        same(read(tmp_path, arrays | {"start": None, "observed": None}, settings), arrays)
        found = read(tmp_path, arrays | dict.fromkeys(("start", "observed", "truth")), settings, shape=(3, 8, 9))
        np.testing.assert_array_equal(found.start, arrays["start"])
        assert found.truth is None


def test_the_shape_of_an_image_must_be_known(tmp_path: Path) -> None:
    for known in ("start", "observed", "truth"):
        arrays = measured()
        assert read(tmp_path, {"y": arrays["y"], known: arrays[known]}).start.shape == (2, 3, 8, 9)
    with pytest.raises(UserError, match=r"m\.npz does not say the shape of an image.*give the setting 'shape'"):
        read(tmp_path, {"y": measured()["y"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "lacks the array y, the measurements; it holds start, observed, truth"),
        ({"y": np.zeros((2, 3, 8, 9))}, r"y of .* shape \(2, 3, 8, 9\); .*images of shape \(3, 8, 9\).*\(N, 3, 12, 13\)"),
        ({"truth": np.zeros((2, 3, 10, 9))}, r"truth of .* the shape \(2, 3, 10, 9\);.* must be \(N, 3, 8, 9\)"),
        ({"observed": np.zeros((2, 1, 8, 9))}, r"observed of .* the shape \(2, 1, 8, 9\);.* must be \(N, 3, 8, 9\)"),
        ({"start": np.zeros((2, 8, 9, 3))}, r"start of .* \(2, 8, 9, 3\), with channels last.*moveaxis\(array, -1, 1\)"),
        ({"y": np.zeros((0, 3, 12, 13))}, r"y of .* the shape \(0, 3, 12, 13\)"),
        ({"truth": np.zeros((1, 3, 8, 9))}, "same number of images, but y has 2, start has 2, observed has 2, truth has 1"),
        ({"y": np.zeros((2, 3, 12, 13), complex)}, "y of .* is complex128, but real numbers are needed"),
        ({"y": np.full((2, 3, 12, 13), "a")}, "y of .* is <U1, but real numbers are needed"),
        ({"y": np.array({"a": 1})}, "can't be read as measurements.*pickle"),
    ],
)
def test_unfit_arrays_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, measured() | changes)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_the_place_of_what_is_not_finite_is_named(value: float, tmp_path: Path) -> None:
    arrays = measured()
    arrays["truth"] = arrays["truth"].astype(float)
    arrays["truth"][1, 2, 3, 4] = value
    with pytest.raises(UserError, match=r"the array truth of .*m\.npz is (nan|inf) at \(1, 2, 3, 4\)"):
        read(tmp_path, arrays)


@pytest.mark.parametrize("settings", [BLUR, SENSING, IdentitySettings()], ids=["blur", "random", "identity"])
def test_images_in_another_range_are_refused(settings: OperatorSettings, tmp_path: Path) -> None:
    arrays = measured(settings, (2, 1, 16, 16))
    bytes_of = {name: 255 * arrays[name] for name in ("y", "start", "observed", "truth")}
    for name, array in bytes_of.items():
        with pytest.raises(UserError, match=rf"the array {name} of .* images must be in \[0, 1\]\. Scale"):
            read(tmp_path, arrays | {name: array}, settings)
    with pytest.raises(UserError, match="the array truth of .* values about -1"):
        read(tmp_path, arrays | {"truth": np.full((2, 1, 16, 16), -1)}, settings)


@pytest.mark.parametrize("settings", [BLUR, SENSING], ids=["blur", "random"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_under_much_noise_are_in_range(settings: OperatorSettings, value: float, tmp_path: Path) -> None:
    operator = build_operator(settings, (1, 16, 16), 5)
    write_measurement(tmp_path / "m.npz", simulate(torch.full((4, 1, 16, 16), value), operator, 0.5, 5, "test"))
    read_measurement(tmp_path / "m.npz", settings, 5)


class Differences(LinearOperator):
    """Differences of neighbours along rows; constants, which it can't see, have no level."""

    def _forward(self, x: Tensor) -> Tensor:
        return x - x.roll(1, -1) + 1e-9 * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y - y.roll(-1, -1) + 1e-9 * y


class Fourier(Differences):
    """The real and the imaginary part of the DFT along rows."""

    def _forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(torch.fft.fft(x, norm="ortho"))

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifft(torch.view_as_complex(y), norm="ortho").real


class Plain(OperatorSettings):
    """One of them."""

    parts: PositiveInt = 1

    def build(self, input_shape: tuple[int, ...], seed: int) -> LinearOperator:
        return Fourier(input_shape, (*input_shape, 2)) if self.parts == 2 else Differences(input_shape, input_shape)


def test_operators_that_do_not_see_constants_have_no_range(tmp_path: Path) -> None:
    read(tmp_path, measured(Plain(name="p")), Plain(name="p"))


def test_complex_numbers_of_an_operator_that_measures_them(tmp_path: Path) -> None:
    arrays = measured(Plain(name="p", parts=2))
    y = arrays["y"][..., 0] + 1j * arrays["y"][..., 1]
    same(read(tmp_path, arrays | {"y": y}, Plain(name="p", parts=2)), arrays)


def test_arrays_of_a_random_operator(tmp_path: Path) -> None:
    """They may be left out only if the settings say that the seed drew them."""
    arrays = measured(SENSING)
    with pytest.raises(UserError, match=r"m\.npz lacks filter, rows, which make the random operator.*'draw'.*seed 5"):
        read(tmp_path, arrays | {"filter": None, "rows": None}, SENSING)
    found = read(tmp_path, arrays | {"filter": None, "rows": None}, SENSING, draw=True)
    np.testing.assert_array_equal(found.drawn["rows"], arrays["rows"])
    with pytest.raises(UserError, match="the array rows of .* is not what the seed 5 draws"):
        read(tmp_path, arrays | {"rows": np.arange(40)}, SENSING, draw=True)


def test_arrays_that_are_not_used_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(tmp_path, measured() | {"Truth": np.zeros(3)})
    assert "m.npz also holds Truth: not used, only y, start, observed, truth are" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file", b"\x93NUMPY\x01\x00"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    """Deletion is advised for files of the pipeline alone."""
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.npz can't be read .*no \.npz archive.*If a job measured it, delete it"):
        read_measurement(tmp_path / "m.npz", BLUR, 5)
    with pytest.raises(UserError, match=r"none\.npz can't be read \(No such file or directory\)\."):
        read_measurement(tmp_path / "none.npz", BLUR, 5)


def test_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    """As a pointer of Git LFS is, or a note that someone put into the archive."""
    for name in ("truth", "y.npy"):
        np.savez(tmp_path / "m.npz", **{key: array for key, array in measured().items() if key != "y" or name != "y.npy"})
        with zipfile.ZipFile(tmp_path / "m.npz", "a") as archive:
            archive.writestr(f"{name}_note" if name == "truth" else name, "version https://git-lfs.github.com/spec/v1")
        with pytest.raises(UserError, match=r"m\.npz can't be read as measurements \(its member .* is no array\)"):
            read_measurement(tmp_path / "m.npz", BLUR, 5)


def test_the_order_in_memory_does_not_matter(tmp_path: Path) -> None:
    arrays = measured()
    found = read(tmp_path, {name: np.asfortranarray(array) for name, array in arrays.items()})
    same(found, arrays)
    assert all(getattr(found, name).flags.c_contiguous for name in ("y", "start", "truth"))


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_last_are_named(channels: int, tmp_path: Path) -> None:
    truth = np.zeros((2, 8, 9, channels))
    with pytest.raises(UserError, match=r"truth of .*m\.npz has the shape .*, with channels last"):
        read(tmp_path, {"y": measured()["y"], "truth": truth})
