"""The memory that this process may still take: not all that its machine has free, where it may not have all of that."""

import contextlib
import pathlib
import re
from collections.abc import Iterator

import psutil

# Of both versions of control groups, as a process lists them: what a group may have, what it has, and what of this are
# files, which the system lets go of. The second tells those of the groups within apart.
_FILES = {
    "": ("memory.max", "memory.current", r"^(?:in)?active_file (\d+)"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_(?:in)?active_file (\d+)"),
}


def available_bytes(root: pathlib.Path = pathlib.Path("/")) -> int:
    """What is available on the machine or, where that is less, left of what containers and jobs around us may have.

    Args:
        root: where `proc` and `sys` of Linux are. Without them the machine alone is asked.
    """
    return min([psutil.virtual_memory().available, *_left(root)])


def _left(root: pathlib.Path) -> Iterator[int]:
    """What is left to each control group that this process is in, and to those that they are in."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, version, path = line.split(":", 2)
            group = root / "sys/fs/cgroup" / version / path.lstrip("/")
            for folder in (group, *group.parents) if version in _FILES else ():
                # No file, or no number in it, is no limit.
                with contextlib.suppress(OSError, ValueError):
                    most, used, cached = _FILES[version]
                    files = re.findall(cached, (folder / "memory.stat").read_text(), re.MULTILINE)
                    left = int((folder / most).read_text()) - int((folder / used).read_text()) + sum(map(int, files))
                    yield max(left, 0)
