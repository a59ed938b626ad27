"""What a user can fix. The command line prints these as one sentence and exits with 2; anything else is a bug."""

from collections.abc import Iterable
from difflib import get_close_matches


class RsudaError(Exception):
    """Base of every error whose cause lies in the input, not in the code."""


class InputError(RsudaError, ValueError):
    """Input that is readable but cannot be used as it is."""


class MissingError(RsudaError, OSError):
    """A file, folder or run that was looked for and is not there, or cannot be read."""


class ExistsError(RsudaError, OSError):
    """An output that exists and would have been overwritten."""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a misspelt name, which offers the nearest known one."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return InputError(f"unknown {what} '{name}': {hint}known are {', '.join(known)}")


def printable(text: object) -> str:
    """Text for a terminal: characters that would steer it, or could not be seen, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
