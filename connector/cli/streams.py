"""Standard streams that may be closed or full, or have an encoding without ✓."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

from connector.cli.exit_statuses import UNEXPECTED
from connector.cli.output import say

__all__ = ["output_broken", "prepare_streams", "report_broken_output"]

_ASCII = {"✓": "[ok]", "✗": "[failed]", "…": "...", "→": "->"}
_ASCII |= zip("·–—×“”„‘’\u00a0", '---x"""\'\' ', strict=True)


class _ResultStream(io.TextIOWrapper):
    """Stdout that records its failure, to distinguish its errors from those of files and sockets."""

    broken = False

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self.broken = True
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self.broken = True
            raise


class _MessageStream(io.TextIOWrapper):
    """Stderr that raises no error: a command must not stop half-way because a message is lost."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return


def prepare_streams() -> None:
    """Make the standard streams safe to use; call it once, before anything else is opened.

    Raises:
        SystemExit: if stdout is closed; nothing was done yet, and no result could be printed.
    """
    # A closed descriptor would be reused for the next file that is opened, such as the database. The output
    # of a library or a child process would then be written into that file.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error("ormco-ascii", _in_ascii)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = sys.__stderr__ = _replaced(sys.stderr, _MessageStream)  # type: ignore[misc]
    if sys.stdout is None:
        say("Error: standard output is closed. Nothing was done.")
        sys.exit(UNEXPECTED)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Also the original stream: `shutil.get_terminal_size` uses it.
        sys.stdout = sys.__stdout__ = _replaced(sys.stdout, _ResultStream)  # type: ignore[misc]


def output_broken() -> bool:
    """Return whether stdout has failed."""
    return isinstance(sys.stdout, _ResultStream) and sys.stdout.broken


def report_broken_output(error: OSError) -> int:
    """Stop using stdout; return the exit status.

    A reader that went away (`| head -1`) has read enough, so that is not an error.
    """
    # Python flushes the stream again when it ends, and would report the same error a second time.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
        return 0
    say(f"Error: the output cannot be written: {error.strerror or 'it is closed'}.")
    return UNEXPECTED


def _replaced(stream: io.TextIOWrapper, kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
    return kind(
        stream.detach(),
        encoding=encoding,
        errors="ormco-ascii",
        line_buffering=line_buffering,
        write_through=write_through,
    )


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks; ✓ and ✗ stay distinct."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in text), error.end
