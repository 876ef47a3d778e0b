"""The one error that scripts show to people as a paragraph instead of a traceback."""

import errno
import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lpn.plug_ins import plug_in_fault

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}


class UserError(Exception):
    """Something the user can mend; the message names the file or key at fault and the remedy."""


@contextmanager
def on_stop_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """Let `handler` handle SIGTERM, SIGINT (Ctrl-C) and SIGHUP in the block; those that are ignored stay so (nohup)."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]  # all but Windows
    before = {number: signal.signal(number, handler) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def run_cli(main: Callable[[], None]) -> None:
    """Run a script's `main`; show a `UserError`, a full disk, a place that is closed, or an error in a plug-in as one
    paragraph and exit with 1.

    SIGTERM, by which schedulers end jobs, SIGINT (Ctrl-C) and SIGHUP (a lost terminal) end it as an exception would:
    temporary files are removed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files in an encoding that the terminal lacks
    try:
        with on_stop_signals(lambda number, frame: sys.exit(128 + number)):
            main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            sys.exit(
                f"error: no space left on the device while writing {error.filename or 'a file'}. Finished files are "
                "intact, and training goes on from its last checkpoint: free some space and run the same command again."
            )
        if isinstance(error, OSError) and error.errno in REFUSED and error.filename:
            sys.exit(f"error: {error.filename}: {error.strerror}. Choose another place, or change its permissions.")
        if fault := plug_in_fault(error):
            sys.exit(f"error: {fault}")
        raise
