"""Settings of a training."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self, cast

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lpn.augmentations import Augmentation
from lpn.losses import Objective, PairLoss
from lpn.networks import NetworkSettings
from lpn.operators import OperatorSettings
from lpn.settings import Choice, Settings


class Phase(Settings):
    """A part of a training: steps with one loss. Its stages (`Loss.stages`) share the steps equally."""

    loss: Annotated[Objective, Choice("loss")] = Field(description="the loss")
    steps: PositiveInt = Field(description="number of steps")
    lr: PositiveFloat = Field(description="learning rate of Adam")
    final_lr: PositiveFloat | None = Field(default=None, description="it falls to this exponentially (null: it stays)")

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        stages = len(self.loss.stages(1))
        if self.steps < stages:
            raise ValueError(f"{self.steps} steps can't hold the {stages} stages of the loss '{self.loss.name}'")
        return self


class Pairs(Settings):
    """How training images are measured, so that a regulariser learns what reconstructions look like."""

    operator: Annotated[OperatorSettings, Choice("operator")] = Field(description="the operator A of y = A x + noise")
    noise: NonNegativeFloat = Field(description="standard deviation of the noise, which is drawn anew in every step")
    clip: bool = Field(default=False, description="whether the reconstructions are clipped to [0, 1]")
    seed: NonNegativeInt = Field(default=0, description="seed of random operators")


class TrainingSettings(Settings):
    """What decides a training, besides its data and the weights it starts from."""

    network: Annotated[NetworkSettings, Choice("network")] = Field(description="the network")
    sigma: PositiveFloat | None = Field(
        default=None, description="standard deviation of the noise that is added to samples; needed unless `pairs` is given"
    )
    pairs: Pairs | None = Field(default=None, description="of regularisers: how images are measured; null: for denoising")
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
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=[0.9, 0.999], min_length=2, max_length=2, description="decay rates of Adam's moments"
    )
    weight_decay: NonNegativeFloat = Field(
        default=0.0, description="factor of half the squared norm of the weights (ACR: of its two last terms only)"
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        default="fp32",
        description="arithmetic of the network: tf32 and bf16 only on processors that are faster in them; in tf32, "
        "PyTorch's default on GPUs since Ampere, convolutions round their inputs to 10 bits",
    )
    compile: bool = Field(default=False, description="whether to use torch.compile, which needs a C++ compiler")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_size % self.crops:
            raise ValueError(f"batch_size, {self.batch_size}, is not a multiple of crops, {self.crops}")
        if self.compile and not self.network.compiles:
            raise ValueError(f"torch.compile can't compile the network '{self.network.name}'; set compile to false")
        self._check_task()
        return self

    def _check_task(self) -> None:
        """Raise ValueError unless network, losses and data are all of denoising, or all of regularisers."""
        network = f"the network '{self.network.name}'"
        if (self.pairs is None) == self.network.is_regulariser:
            said = "is a regulariser: give pairs, how images are measured" if self.pairs is None else "is none: remove pairs"
            raise ValueError(f"{network} {said}")
        if (self.sigma is None) == (self.pairs is None):
            raise ValueError("lacks 'sigma', the noise to be removed" if self.pairs is None else
                             "'sigma' is for denoising; pairs has 'noise'. Remove sigma")  # fmt: skip
        for loss in (phase.loss for phase in self.phases):
            if isinstance(loss, PairLoss) != self.network.is_regulariser:
                fitting = "critic, unrolled, alternating" if self.network.is_regulariser else "l1, l2, proximal_matching"
                raise ValueError(f"the loss '{loss.name}' can't train {network}; use one of its kind, such as {fitting}")
        if self.needs_generator and not self.network.unrolled_steps:
            raise ValueError(f"{network} has no generator, which a loss trains; use the loss critic, or the network uar")
        if self.pairs is not None and (self.augment is not None or self.clip_noisy):
            raise ValueError("augment and clip_noisy are for denoising; remove them (pairs has 'clip')")
        if self.pairs is not None and self.precision != "fp32":
            raise ValueError("regularisers are trained in fp32, because their penalties differentiate gradients; set "
                             "precision to fp32")  # fmt: skip

    @property
    def needs_generator(self) -> bool:
        """Whether a loss moves a generator."""
        return any(isinstance(phase.loss, PairLoss) and phase.loss.needs_generator for phase in self.phases)

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
            if self.pairs:
                self.pairs.operator.check((*shape[:1], height, width))
            if self.needs_generator and (height, width) != (side, side):
                raise ValueError(f"a generator reconstructs whole images, so the network '{name}' must have the size of the "
                                 f"training images, {height}x{width}, not {side}")  # fmt: skip


class Logging(Settings):
    """What a training reports. It changes nothing of the result."""

    every: PositiveInt = Field(default=100, description="steps between two records of the log")
    validate_every: PositiveInt = Field(default=1000, description="steps between two validations")
    validation_images: PositiveInt = Field(default=32, description="validation images that are denoised for PSNR and SSIM")
