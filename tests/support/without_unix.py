"""Run commands of rsuda as on a system that lacks what only Unix has.

What the standard library and Lightning themselves use on Linux stays, such as ``os.uname``, SIGKILL and SIGUSR1.
"""

import os
import signal
import sys

MODULES = ("crypt", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
OF_OS = (
    *("statvfs", "fstatvfs", "sysconf", "killpg", "getpgid", "getpgrp", "setpgid", "setsid", "getuid", "geteuid"),
    *("getgid", "getegid", "getgroups", "nice", "getpriority", "setpriority", "sched_getaffinity", "getloadavg"),
    *("chown", "lchown", "fchown", "fchmod", "mkfifo", "mknod", "sync", "posix_fadvise", "posix_fallocate", "wait3"),
    *("wait4", "initgroups", "setuid", "ttyname", "openpty", "forkpty", "sendfile", "pread", "pwrite"),
)
OF_SIGNAL = ("SIGHUP", "SIGALRM", "SIGQUIT", "alarm", "setitimer", "pause")


def remove() -> None:
    """Remove the modules and functions from this process."""
    import asyncio.selector_events  # noqa: F401 (asks os.sysconf on Linux when it is imported)

    for name in MODULES:
        sys.modules[name] = None
    for home, names in ((os, OF_OS), (signal, OF_SIGNAL)):
        for name in names:
            if hasattr(home, name):
                delattr(home, name)


if __name__ == "__main__":
    import multiprocessing
    import warnings

    remove()
    warnings.filterwarnings("error", category=EncodingWarning, module=r"rsuda\.")
    multiprocessing.set_start_method("spawn")  # as Windows and macOS start the processes that load data
    from rsuda.cli import main

    separator = "--then"  # between commands
    words: list[str] = []
    for word in [*sys.argv[1:], separator]:
        if word != separator:
            words.append(word)
            continue
        try:
            main(words)
        except SystemExit as ended:
            if ended.code:
                raise
        words = []
