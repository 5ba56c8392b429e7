"""The statistical physics of diffusion models, in JAX."""

import lazy_loader as _lazy

from ._versions import warn_if_known_bad as _warn_if_known_bad

_warn_if_known_bad()

# Names are listed once, in the stub beside this file, and their modules are imported on first use.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
