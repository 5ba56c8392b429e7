"""How many samples each time needs for a standard error that is asked for."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._statistics import Moments

# Samples at every time that tell how many each time needs.
PILOT = 256
# What is asked for beyond the estimate; and the most.
_MARGIN = 1.1
_MOST = 1_000_000


class Accuracy(NamedTuple):
    """The standard error that a quantity is to have at every time, each with as many samples as it needs."""

    quantity: str
    stderr: float
    largest: float
    """The largest value of the quantity, the least being 0: what is rare may not have been met yet."""
    argument: str = "stderr"
    """What the caller calls it."""

    def needed(
        self,
        moments: dict[str, Moments],
        done: Int[np.ndarray, " times"],
        chunk: int,
        times: Float[np.ndarray, " times"],
    ) -> Int[np.ndarray, " times"]:
        """Up to which sample each time is to be measured, in whole chunks.

        Args:
            moments: what has been measured.
            done: up to which sample each time has been.
            chunk: samples a chunk.
            times: the times, for words.

        Raises:
            ValueError: if more than a million samples would be needed.
        """
        # Of one sample in `done` that is not among them but as far off as can be, the mean has this error.
        error = np.maximum(moments[self.quantity].pooled()[1], self.largest / done)
        short = error > self.stderr
        wanted = np.where(short, _MARGIN * done * (error / self.stderr) ** 2, done)
        if np.any(wanted > _MOST):
            worst, least = int(np.argmax(wanted)), float(np.sqrt(wanted.max() / _MOST))
            raise ValueError(
                f"`{self.argument}` needs about {wanted[worst]:.2g} samples at t = {times[worst]:.3g}, and {_MOST} are "
                f"allowed. Do ask for {least:.2g} times as much."
            )
        chunks = np.where(short, np.ceil((wanted - done) / chunk), 0)
        return (done + chunk * chunks).astype(np.int32)
