"""What a user waits for before anything is computed."""

import subprocess
import sys
from collections.abc import Callable

from .._harness import Entrant, Report, peer, race


def measure(quick: bool, repeats: int) -> Report:
    command = [
        Entrant("diffphys --help", "ours", _process("-m", "diffphys", "--help")),
        Entrant("import typer", "limit", _process("-c", "import typer")),
        Entrant("python", "limit", _process("-c", "pass")),
    ]
    library = [
        Entrant("import diffphys", "ours", _process("-c", "import diffphys")),
        Entrant("diffphys.speciation", "ours", _process("-c", "import diffphys; diffphys.speciation")),
        Entrant("import jax", "limit", _process("-c", "import jax")),
        peer("diffrax", "import diffrax", lambda _: _process("-c", "import diffrax")),
    ]
    return Report([race("command", command, repeats), race("library", library, repeats)], [])


def _process(*arguments: str) -> Callable[[int], None]:
    def run(_: int) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return run
