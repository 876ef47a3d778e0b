"""The denoisers that plug-and-play algorithms use, learned and classical, behind one interface.

A denoiser is a callable on float32 images (N, C, H, W), one file each; `DENOISERS` names them. A new one is a new file
with a function  (settings) -> callable  and its line here.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lpn.denoisers.bm3d import bm3d
from lpn.denoisers.nlm import nlm
from lpn.denoisers.tv import tv
from lpn.denoisers.wavelet import wavelet
from lpn.errors import UserError

DENOISERS: dict[str, Callable[..., Callable[[Tensor], Tensor]]] = {"tv": tv, "wavelet": wavelet, "bm3d": bm3d, "nlm": nlm}


def build_denoiser(config: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """Build a denoiser that needs no model from its config, e.g. {"name": "tv", "weight": 0.05}.

    Raises UserError for an unknown name, an argument that the denoiser does not have, or a missing optional package.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in DENOISERS:
        raise UserError(f"config key 'prox.name' is {name!r}; the known denoisers are: {', '.join(DENOISERS)}.")
    try:
        return DENOISERS[name](**arguments)
    except TypeError as error:
        raise UserError(f"config key 'prox' does not fit {name}: {error}.") from error
