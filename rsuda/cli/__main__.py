"""``python -m rsuda.cli``."""

from rsuda.cli import main

main()
