"""Training losses, one a file. A new one is a file with a subclass of `Loss`, or of `PairLoss` for regularisers."""

from lpn.losses._base import Loss, Objective, Pair, PairLoss, generated

BASE = Loss

__all__ = ["BASE", "Loss", "Objective", "Pair", "PairLoss", "generated"]
