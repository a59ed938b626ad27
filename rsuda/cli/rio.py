"""Join rasterio's command line as a plugin: ``rio rsuda predict …`` is ``rsuda predict …``."""

from __future__ import annotations

import click

from rsuda.cli import main


@click.command(
    "rsuda",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Segmentation with unsupervised domain adaptation.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def rio(words: tuple[str, ...]) -> None:
    """Segmentation of aerial and satellite imagery with unsupervised domain adaptation."""
    main(list(words), "rio rsuda")
