from pathlib import Path

import numpy as np
import pytest
import torch

from lpn.errors import UserError
from lpn.images import centre, load_images, read_images, to_tensor

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)


def test_prepared_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "train.npy"
    with pytest.raises(UserError, match=r"train\.npy can't be read"):
        load_images(path)
    np.save(path, IMAGES)
    with pytest.raises(UserError, match=r"train\.npy holds uint8 \(20, 28, 28\)"):
        load_images(path)
    np.save(path, IMAGES[:, None])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train\.npy can't be read"):
        load_images(path)
    path.write_bytes(b"\x80\x04payload")
    with pytest.raises(UserError, match="can't be read"):
        load_images(path)
    np.save(path, np.full((2, 1, 4, 4), np.nan, np.float32))
    with pytest.raises(UserError, match="NaN"):
        to_tensor(load_images(path))
    with pytest.raises(UserError, match=r"train\.npy holds NaN"):
        read_images(path, 0, 1)


def test_images_of_two_sizes(tmp_path: Path) -> None:
    path = tmp_path / "test.npy"
    arrays = [np.full((6, 1, 8, 8), 1, np.uint8), np.full((5, 1, 12, 12), 2, np.uint8)]
    with path.open("wb") as file:
        for array in arrays:
            np.save(file, array)
    np.testing.assert_array_equal(read_images(path, 2, 4), arrays[0][2:])
    np.testing.assert_array_equal(read_images(path, 6, 5), arrays[1])
    with pytest.raises(UserError, match=r"6 of 8x8, then 5 of 12x12.*one image at a time always works"):
        read_images(path, 5, 2)
    with pytest.raises(UserError, match=r"images 6 to 11 are needed, but .* has only 11"):
        read_images(path, 6, 6)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"test\.npy can't be read"):
        read_images(path, 0, 1)


def test_tensors() -> None:
    tensor = to_tensor(np.array([0, 51, 255], np.uint8))
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, torch.tensor([0, 0.2, 1]))
    assert to_tensor(np.array([0.25], np.float32)).item() == 0.25


def test_centre() -> None:
    image = torch.arange(5 * 6).view(1, 1, 5, 6)
    assert centre(image, 2).flatten().tolist() == [8, 9, 14, 15]
    with pytest.raises(ValueError, match="squares of side 6"):
        centre(image, 6)
