"""`python -m diffphys`: the command."""

from .cli import main

main()
