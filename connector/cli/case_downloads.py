"""What `ormco cases download` prints while it runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from connector.redact import shown

if TYPE_CHECKING:
    from connector.communicate.attachments import Download
    from connector.communicate.case import CaseFile

__all__ = ["ProgressLine", "download_line"]

_EVERY = 0.1


class ProgressLine:
    """One line on a terminal's stderr that says how far a file is; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._shown = False

    def __call__(self, file: CaseFile, done: int, size: int | None) -> None:
        """Show how many bytes are there."""
        now = time.monotonic()
        if not self._terminal or now - self._last < _EVERY:
            return
        self._last, self._shown = now, True
        share = f" of {_bytes(size)} ({100 * done // size} %)" if size else ""
        click.echo(f"\r\x1b[K… {_what(file)}: {_bytes(done)}{share}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._shown = False


def download_line(download: Download, *, show_patient: bool) -> str:
    """Return what became of a file; an attachment's own name only on request."""
    file, error = download.file, download.error
    name = f" {shown(file.name)}" if show_patient and file.name else ""
    if error is not None:
        return f"{click.style('✗', fg='red')} {_what(file)}{name}: {error.message}. {error.hint}".rstrip()
    proof = "its SHA-1 is right" if download.verified else "the provider tells no SHA-1 to check it by"
    return f"{click.style('✓', fg='green')} {_what(file)}{name}: {_bytes(download.size)}, {proof}"


def _what(file: CaseFile) -> str:
    mark = (file.sha1 or file.id or "")[:8]
    return shown(" ".join(part for part in (file.kind, file.part, file.file_type, mark) if part), 60)


def _bytes(size: int) -> str:
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} B"
