"""Several hosts: how the processes of one command find each other, and how they part.

They are a process a host, or one a device, all with the same command. If one is lost the others stop: JAX ends them,
from outside Python, or an exchange with it fails. In either case a witness says how to go on.
"""

import atexit
import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

SILENCE = 60
"""Seconds without a sign of life after which a process is taken to be lost."""

_AGAIN = b"Run the same command with --resume to go on, with any number of devices.\n"

# Where a witness is told of the end; None in a command of one process.
_told: int | None = None


def join(text: str) -> None:
    """Makes this process one of several, and silences it unless it is the first.

    Args:
        text: `auto` under SLURM, Open MPI, Kubernetes or on a Cloud TPU; else `ADDRESS:PORT,COUNT,INDEX`: where the
            first process is reached, how many there are, and which of them this is, from 0.

    Raises:
        ValueError: for another text, or if the others are not found.
    """
    global _told
    settings = _settings(text)
    # Before JAX is imported, whose threads a fork would leave behind.
    _told = _witness()
    from ._cache import keep_compiled

    keep_compiled()
    import jax

    try:
        jax.distributed.initialize(**settings, heartbeat_timeout_seconds=SILENCE)
    except Exception as error:  # Of several types, by what is missing.
        _finish(_told)
        raise ValueError(
            f"--hosts needs the other processes. Got {text!r}, and: {str(error).rstrip('.')}. "
            "Start all of them, or give ADDRESS:PORT,COUNT,INDEX."
        ) from None
    os.write(_told, f"process {jax.process_index()} of {jax.process_count()}".encode())
    # Before the end that JAX waits for.
    atexit.register(_finish, _told)
    if jax.process_index():
        sys.stdout = open(os.devnull, "w")


def are_several() -> bool:
    """Whether this process has joined others."""
    return _told is not None


def stop(status: int) -> None:
    """Ends one process of several at once; others may wait for it in vain, and it does not wait for them."""
    if _told is not None:
        _finish(_told)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _finish(told: int) -> None:
    with contextlib.suppress(OSError):  # The witness may be gone itself.
        os.write(told, b".")


def _settings(text: str) -> dict[str, Any]:
    if text == "auto":
        return {}
    address, *numbers = text.split(",")
    if ":" not in address or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise ValueError(f"--hosts needs auto or ADDRESS:PORT,COUNT,INDEX. Got {text!r}.")
    count, index = map(int, numbers)
    if index >= count:
        raise ValueError(f"--hosts needs an INDEX from 0 to {count - 1}. Got {index}.")
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _witness() -> int:
    """Starts a small process that notices when this one is gone; where to tell it who this is, and a dot at the end."""
    read, write = os.pipe()
    if not os.fork():
        os.close(write)
        _watch(read)
    os.close(read)
    return write


def _watch(read: int) -> NoReturn:
    # It is to outlive what stops the others.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)
    told = b""
    while part := os.read(read, 64):
        told += part
    if not told.endswith(b"."):
        who = told or b"a process of several"
        os.write(2, b"diffphys: " + who + b" was killed, or stopped for the loss of another one. " + _AGAIN)
    os._exit(0)
