"""The command line calls the Python functions. Heavy imports stay inside the commands, so that --help answers at once."""

from rsuda.cli import (
    adapt,
    benchmark,
    calibrate,
    config,
    domains,
    evaluate,
    export,
    gap,
    info,
    init,
    methods,
    polygonize,
    predict,
    report,
    sample_tiles,
    suggest,
)
from rsuda.cli.app import app, main

__all__ = [
    "adapt",
    "app",
    "benchmark",
    "calibrate",
    "config",
    "domains",
    "evaluate",
    "export",
    "gap",
    "info",
    "init",
    "main",
    "methods",
    "polygonize",
    "predict",
    "report",
    "sample_tiles",
    "suggest",
]
