"""``python -m rsuda.cli``, as ``python -m rsuda``."""

from rsuda.cli import main

main(name="rsuda")
