"""What a user can fix. The command line prints these as one sentence and exits with 2; anything else is a bug."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec


class RsudaError(Exception):
    """Base of every error whose cause lies in the input, not in the code."""


class InputError(RsudaError, ValueError):
    """Input that is readable but cannot be used as it is."""


class MissingError(RsudaError, OSError):
    """A file, folder or run that was looked for and is not there, or cannot be read."""


class ExistsError(RsudaError, OSError):
    """An output that exists and would have been overwritten."""


class WriteError(RsudaError, OSError):
    """A file that could not be written: no space is left, or the folder may not be written to."""


NO_ROOM = {getattr(errno, n) for n in ("ENOSPC", "EDQUOT", "EFBIG", "EIO") if hasattr(errno, n)}  # quotas are Unix's
_WRITING = {*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}


def unwritten(what: object, error: OSError) -> WriteError | None:
    """The sentence for an error of the system that says that ``what`` cannot be written; None for any other error."""
    if isinstance(error, RsudaError) or error.errno not in _WRITING:
        return None
    return WriteError(f"cannot write {what}: {error.strerror}")


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """An error for a misspelt name, or for what stands in the place of one; it offers the nearest known name."""
    known, text = sorted(known), str(name)
    name = text if len(text) <= 100 else f"{text[:100]}…"
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return InputError(f"unknown {what} '{name}': {hint}known are {', '.join(known)}")


def printable(text: object) -> str:
    """Text for a terminal: characters that would steer it, or could not be seen, are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))


def csv_cell(text: object) -> str:
    """Text for a table that may be opened in a spreadsheet, where a cell that begins with one of these is a formula."""
    return f"'{text}" if str(text)[:1] in tuple("=+-@\t\r") else str(text)


def check_extra(extra: str, *packages: str) -> None:
    """Raises InputError when one of the packages of an optional extra is not installed."""
    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        told = f"{' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise InputError(f"this needs {told}: pip install 'rsuda[{extra}]'")
