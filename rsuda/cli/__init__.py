"""The command line: names -> verbs. Heavy imports stay inside the commands, so that --help answers at once."""

from rsuda.cli import adapt, benchmark, domains, evaluate, info, methods, predict
from rsuda.cli.app import app, main

__all__ = ["adapt", "app", "benchmark", "domains", "evaluate", "info", "main", "methods", "predict"]
