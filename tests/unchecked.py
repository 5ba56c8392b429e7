"""Calls without the types that tests check at the door, as users make them: for refusals that lie behind."""

import contextlib

import jaxtyping


@contextlib.contextmanager
def unchecked():
    """Switches the checks of annotations off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
