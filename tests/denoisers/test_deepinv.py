"""Denoisers of deepinv, against deepinv itself."""

import sys
from typing import Any

import pytest
import torch
from deepinv import models

from denoisers.conftest import chosen, draw
from lpn.denoisers import as_prox
from lpn.errors import UserError
from lpn.packages import missing

IMAGES = draw(2, 3, 16, 12).float()


def test_it_is_deepinvs_denoiser() -> None:
    denoiser = chosen(name="deepinv", model="TVDenoiser", arguments={"n_it_max": 50}, sigma=0.05)
    denoiser.check((3, 16, 12))
    torch.testing.assert_close(as_prox(denoiser)(IMAGES), models.TVDenoiser(n_it_max=50)(IMAGES, 0.05))


def test_networks_do_not_track_gradients_and_are_repeatable() -> None:
    values = {"name": "deepinv", "model": "DnCNN", "arguments": {"pretrained": None, "depth": 3, "nf": 4}, "sigma": 0.1}
    first, again = (as_prox(chosen(**values))(IMAGES) for _ in range(2))
    assert not first.requires_grad
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "TVDenoise"}, "deepinv.models has no class 'TVDenoise'; did you mean 'TVDenoiser'?"),
        ({"model": "ArtifactRemoval"}, "deepinv.models.ArtifactRemoval is no Denoiser; take one that is"),
        ({"model": "DnCNN", "arguments": {"layers": 3}}, "deepinv.models.DnCNN has no argument 'layers'"),
    ],
)
def test_other_classes_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        chosen(name="deepinv", sigma=0.1, **values).check((3, 16, 12))


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = chosen(name="deepinv", model="TVDenoiser", sigma=0.1)
    monkeypatch.setitem(sys.modules, "deepinv", None)
    denoiser.check((3, 16, 12))  # `missing` names it first
    assert missing(denoiser) == {"deepinv": "pip install --editable '.[deepinv]'"}
    with pytest.raises(UserError, match=r"needs the package deepinv .* Install it: pip install --editable '.\[deepinv\]'"):
        denoiser(torch.zeros(1, 3, 16, 12))
