"""A trained network as the regulariser R of a solver; the denoisers of `lpn.denoisers` stand for a proximal operator."""

from pydantic import Field

from lpn.networks import NetworkSettings
from lpn.settings import Settings

CONVEX = "convex regulariser"


class LearnedRegulariser(Settings):
    """A regulariser that was trained, see `lpn.networks.Regulariser`."""

    model: str = Field(description="the trained model: of a network that is a regulariser, such as ar, acr, uar")

    def check_network(self, network: NetworkSettings, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the network is a regulariser of images of shape (C, H, W)."""
        if not network.is_regulariser:
            raise ValueError(f"the network {network.name} is no regulariser but a denoiser: name it under 'prox'")
        network.check_images(shape)
        side = network.input_shape[1]
        if side and shape[1:] != (side, side):
            raise ValueError(f"the network {network.name} was made for images of {side}x{side}, and the images are "
                             f"{shape[1]}x{shape[2]}: train one of their size, or "
                             "take one without a size, such as acr")  # fmt: skip

    def certified(self, network: NetworkSettings) -> str:
        """Return what the regulariser is certified to be: "convex" or "none"."""
        return "convex" if network.role == CONVEX else "none"
