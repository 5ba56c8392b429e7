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

    def wanted(
        self, moments: dict[str, Moments], done: Int[np.ndarray, " times"], times: Float[np.ndarray, " times"]
    ) -> Float[np.ndarray, " times"]:
        """Up to which sample each time is to be measured: at least as far as it has been.

        Args:
            moments: what has been measured.
            done: up to which sample each time has been.
            times: the times, for words.

        Raises:
            ValueError: if more than a million samples would be needed.
        """
        error = moments[self.quantity].pooled()[1]
        by_spread = np.where(error > self.stderr, _MARGIN * done * (error / self.stderr) ** 2, done)
        # One sample that has not been met, as far off as can be, would move the mean by this over their number.
        wanted = np.maximum(by_spread, self.largest / self.stderr)
        if np.any(wanted > _MOST):
            worst = int(np.argmax(wanted))
            least = np.maximum(error * np.sqrt(_MARGIN * done / _MOST), self.largest / _MOST).max() / self.stderr
            raise ValueError(
                f"`{self.argument}` needs about {wanted[worst]:.2g} samples at t = {times[worst]:.3g}, and {_MOST} are "
                f"allowed. Do ask for {least:.2g} times as much."
            )
        return np.maximum(wanted, done)


def in_chunks(
    done: Int[np.ndarray, " times"], wanted: Float[np.ndarray, " times"], chunk: int
) -> Int[np.ndarray, " times"]:
    """The numbers wanted, in whole chunks beyond those that are done."""
    return (done + chunk * np.ceil((wanted - done) / chunk)).astype(np.int32)
