"""Tensors stay on their device: the meta device, which computes shapes alone, refuses those of another, as a GPU does."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from conftest import SMALL, build_lpn
from operators.conftest import SMALL as OPERATORS
from torch import Tensor
from training.conftest import small_trainer

from lpn.operators.tomography import Tomography

META = torch.device("meta")


@pytest.fixture
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device has none."""
    monkeypatch.setattr("torch.is_autocast_enabled", lambda kind: False)
    monkeypatch.setattr("torch.autocast", lambda *arguments, **options: contextlib.nullcontext())


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    operator = OPERATORS[name]()
    if isinstance(operator, Tomography):
        pytest.skip("ASTRA computes on the CPU and on CUDA alone")
    x, y = (torch.zeros(2, *shape, device=META) for shape in (operator.input_shape, operator.output_shape))
    functions: list[tuple[Callable[[Tensor], Tensor] | None, Tensor]] = [
        *((operator, x), (operator.adjoint, y), (operator.normal, x)),
        *((operator.preconditioner(1.0, 0.1), x), (operator.inverse(1.0, 0.1), x)),
    ]
    assert all(function(argument).device == META for function, argument in functions if function)


@pytest.mark.parametrize("name", SMALL)
def test_networks(name: str, no_autocast: None) -> None:
    model = build_lpn(SMALL[name]).to(META)
    x = torch.zeros(2, *model.input_shape, device=META)
    assert {value.device for value in (model(x), model.potential(x), *model.prox_and_potential(x))} == {META}


def test_training(no_autocast: None) -> None:
    trainer = small_trainer()
    trainer.device = META
    trainer.optimizer = torch.optim.Adam(trainer.model.to(META).parameters())
    assert trainer.step().device == META
