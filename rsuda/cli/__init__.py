"""The command line: names -> verbs. Heavy imports stay inside the commands, so that --help answers at once."""

from rsuda.cli import adapt, benchmark, evaluate, methods, predict, report, suggest
from rsuda.cli.app import app, main

__all__ = ["adapt", "app", "benchmark", "evaluate", "main", "methods", "predict", "report", "suggest"]
