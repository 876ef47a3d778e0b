"""Settings of a training."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self, cast

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lpn.augmentations import Augmentation
from lpn.losses import Loss
from lpn.networks import NetworkSettings
from lpn.settings import Choice, Settings


class Phase(Settings):
    """A part of a training: steps with one loss. Its stages (`Loss.stages`) share the steps equally."""

    loss: Annotated[Loss, Choice("loss")] = Field(description="the loss")
    steps: PositiveInt = Field(description="number of steps")
    lr: PositiveFloat = Field(description="learning rate of Adam")
    final_lr: PositiveFloat | None = Field(default=None, description="it falls to this exponentially (null: it stays)")

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        stages = len(self.loss.stages(1))
        if self.steps < stages:
            raise ValueError(f"{self.steps} steps can't hold the {stages} stages of the loss '{self.loss.name}'")
        return self


class TrainingSettings(Settings):
    """What decides a training, besides its data and the weights it starts from."""

    network: Annotated[NetworkSettings, Choice("network")] = Field(description="the network")
    sigma: PositiveFloat = Field(description="standard deviation of the noise that is added to samples")
    seed: NonNegativeInt = Field(description="seed of weights, data order, crops and noise")
    batch_size: PositiveInt = Field(description="samples, or patches, of a step")
    phases: list[Phase] = Field(min_length=1, description="the schedule: loss, steps, lr, final_lr")
    patch: PositiveInt | None = Field(
        default=None, description="side of training patches in pixels; needed for networks that take images of any size"
    )
    crops: PositiveInt = Field(default=1, description="random patches of each image of a batch")
    augment: Annotated[Augmentation, Choice("augment")] | None = Field(
        default=None, description="augmentation of images (null: plain random crops)"
    )
    clip_noisy: bool = Field(default=False, description="whether noisy samples are clipped to [0, 1]")
    weight_decay: NonNegativeFloat = Field(default=0.0, description="factor of half the squared norm of the weights")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="arithmetic of the network; bf16 is used only by processors that are faster in it"
    )
    compile: bool = Field(default=False, description="whether to use torch.compile, which needs a C++ compiler")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_size % self.crops:
            raise ValueError(f"batch_size, {self.batch_size}, is not a multiple of crops, {self.crops}")
        if self.compile and not self.network.compiles:
            raise ValueError(f"torch.compile can't compile the network '{self.network.name}'; set compile to false")
        return self

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one training sample: (C, side, side), or that of a number, (1,).

        Raises ValueError if `patch` does not fit the network.
        """
        name, shape, patch = self.network.name, self.network.input_shape, self.patch
        if len(shape) == 1 and patch is not None:
            raise ValueError(f"the network '{name}' takes numbers, which have no patches; remove patch")
        if shape[-1] is None and patch is None:
            raise ValueError(f"the network '{name}' takes images of any size, so patch must be given")
        if patch is not None and shape[-1] not in (None, patch):
            raise ValueError(f"patch is {patch}, but the network '{name}' takes sides of {shape[-1]} only")
        if patch is not None and patch % self.network.multiple:
            raise ValueError(f"patch is {patch}; for the network '{name}' it must be a multiple of {self.network.multiple}")
        return cast("tuple[int, ...]", tuple(patch if side is None else side for side in shape))

    def check_images(self, channels: int | None, sizes: Iterable[tuple[int, int, int | None]] | None) -> None:
        """Raise ValueError, which says why, if the training does not fit its data.

        Args:
            channels: channels of the training images; None for samples that are numbers.
            sizes: (height, width, how many) of the training images; None if unknown.
        """
        shape, name, side = self.sample_shape, self.network.name, self.sample_shape[-1]
        if len(shape) == 1 and channels is not None:
            raise ValueError(f"the network '{name}' takes numbers, not images (channels: {channels})")
        if len(shape) == 1 and (self.augment is not None or self.crops > 1):
            raise ValueError("augment and crops are for images; the training samples are numbers")
        if len(shape) > 1 and channels is None:
            raise ValueError(f"the network '{name}' takes images (channels: {shape[0]}), not numbers")
        if len(shape) > 1 and channels != shape[0]:
            raise ValueError(f"the network '{name}' has channels {shape[0]}, but the training images have {channels}")
        for height, width, _ in sizes or []:
            if side > min(height, width):
                raise ValueError(f"patches of {side}x{side} don't fit into training images of {height}x{width}")
            if self.crops > 1 and (height, width) == (side, side):
                raise ValueError(f"crops is {self.crops}, but the training images are as small as the patches; set it to 1")


class Logging(Settings):
    """What a training reports. It changes nothing of the result."""

    every: PositiveInt = Field(default=100, description="steps between two records of the log")
    validate_every: PositiveInt = Field(default=1000, description="steps between two validations")
    validation_images: PositiveInt = Field(default=32, description="validation images that are denoised for PSNR and SSIM")
