"""What is installed, and which releases of JAX are known to compute wrong numbers."""

import importlib.metadata
import platform
import re
import warnings

_WRONG_MAX = "its CPU compiler returns a wrong `max` of matrix products under `jit(vmap(...))` in float32"
_WRONG_SUMS = (
    "its CPU compiler returns wrong sums and maxima of matrix products under `jit(vmap(...))`, "
    "in float32 and float64 (jax-ml/jax#39103)"
)
_KNOWN_BAD = {
    "0.9.1": _WRONG_MAX,
    "0.9.2": _WRONG_MAX,
    "0.10.0": _WRONG_MAX,
    "0.10.1": _WRONG_MAX,
    "0.10.2": _WRONG_SUMS,
    "0.11.1": "flax does not import with it",
}


def known_bad(version: str) -> str | None:
    """What is wrong with a release of JAX; None if nothing is known to be.

    Args:
        version: as in `jax.__version__`; a suffix, as in `0.10.2.post1`, is of the same release.
    """
    release = re.match(r"\d+\.\d+\.\d+", version)
    return _KNOWN_BAD.get(release.group()) if release else None


def warn_if_known_bad() -> None:
    """Warns, with a `RuntimeWarning`, of an installed JAX or jaxlib that is known to be wrong.

    It reads the installed version only: JAX is not imported.
    """
    for package in ("jax", "jaxlib"):
        version = _version(package)
        wrong = known_bad(version)
        if wrong is not None:
            warnings.warn(
                f"{package} {version} cannot be trusted with diffphys: {wrong}. "
                "Install another release, such as `pip install 'jax==0.9.0.1'` or one from 0.11.2 on.",
                RuntimeWarning,
                stacklevel=2,
            )
            return


def versions() -> dict[str, str]:
    """The versions on which a result depends, by the name of the package."""
    packages = ("diffphys", "jax", "jaxlib", "numpy")
    return {package: _version(package) for package in packages} | {"python": platform.python_version()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
