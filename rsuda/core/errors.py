"""Errors whose cause is the input. The command line prints one sentence and exits with 2; any other exception is a bug."""

import errno
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from rsuda.core.spelling import spell, spell_command


class RsudaError(Exception):
    """Base of all errors that a user can fix."""


class InputError(RsudaError, ValueError):
    """Invalid input: readable, but unusable as it is."""


class MissingError(RsudaError, OSError):
    """A missing or unreadable file, folder or run."""


class ExistsError(RsudaError, OSError):
    """An existing output that would be overwritten."""


class WriteError(RsudaError, OSError):
    """A failed write: the disk is full or the folder is read-only."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in work that can go on; the sentence says how."""


NO_ROOM = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO") if hasattr(errno, name)
}  # quotas are Unix's
_SENTENCES = 5  # of single files in one error
_NEIGHBOURS = 2000  # names of a folder that are compared with a missing one
SAMPLE_TILES = "sample_tiles"  # folder that the pages name
_WRITE_ERRORS = {*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}


def write_error(what: object, error: OSError) -> WriteError | None:
    """Convert an operating-system error that means "``what`` cannot be written" to WriteError; None for other errors."""
    if isinstance(error, RsudaError) or error.errno not in _WRITE_ERRORS:
        return None
    return WriteError(f"cannot write {what}: {error.strerror}")


def exists(path: object) -> ExistsError:
    """Build the error for an existing file or folder that would be overwritten."""
    return ExistsError(
        f"{path} exists: pass {spell('overwrite', True)} to replace it, or choose another {spell('out')}"
    )


def unknown(what: str, name: object, names: Iterable[str]) -> InputError:
    """Build the error for an unknown name or an invalid value in its place; it suggests the nearest known name."""
    choices, text = sorted(names), str(name)
    text = text if len(text) <= 100 else f"{text[:100]}…"
    by_lower_case = {choice.lower(): choice for choice in reversed(choices)}
    near = get_close_matches(text, choices, n=1, cutoff=0.5)
    near = near or [by_lower_case[name] for name in get_close_matches(text.lower(), by_lower_case, n=1, cutoff=0.5)]
    hint = f"did you mean '{near[0]}'? " if near else ""
    return InputError(f"unknown {what} '{text}': {hint}known are {', '.join(choices)}")


def missing_file(path: Path) -> MissingError:
    """Build the error for a file or folder that is missing; it suggests the nearest name beside it, or the sample tiles."""
    if path.parts[:1] == (SAMPLE_TILES,) and not Path(SAMPLE_TILES).exists():
        return MissingError(f"there is no file {path}: {spell_command('sample_tiles')} copies the sample tiles")
    if path.is_symlink():
        return MissingError(f"there is no file {path}: it is a link to {os.readlink(path)}, which is missing")
    try:
        names = sorted(entry.name for entry in islice(os.scandir(path.parent), _NEIGHBOURS))
    except OSError:
        names = []
    near = get_close_matches(path.name, names, n=1, cutoff=0.75)
    return MissingError(f"there is no file {path}" + (f": did you mean {path.with_name(near[0])}?" if near else ""))


def joined_error(errors: Sequence[RsudaError], count: int, what: str) -> RsudaError:
    """Join the errors of some of ``count`` files into one, of the kind of the first; ``what`` follows '2 of 9'."""
    share = f"{len(errors)} of {count} {what}: " if count > 1 else ""
    sentences = list(dict.fromkeys(map(str, errors)))
    more = f"; and {len(sentences) - _SENTENCES} more" if len(sentences) > _SENTENCES else ""
    return type(errors[0])(share + "; ".join(sentences[:_SENTENCES]) + more)


def check_extra(extra: str, *packages: str) -> None:
    """Raise InputError if a package of an optional extra is not installed."""
    missing_packages = [package for package in packages if find_spec(package) is None]
    if missing_packages:
        verb = "is" if len(missing_packages) == 1 else "are"
        raise InputError(
            f"this needs {' and '.join(missing_packages)}, which {verb} not installed: pip install 'rsuda[{extra}]'"
        )
