"""Read a pasted text from a terminal, a pipe or a file.

A terminal delivers lines, and silently cuts them at 1,024 (macOS) or 4,096 characters (Linux). So it is read
character by character, without echo: a code must not appear on the screen or in its scrollback.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from connector.errors import NobodyActedError
from connector.redirect.parse import LONGEST_TEXT, text_too_long

if TYPE_CHECKING:
    from connector.clock import Deadline

__all__ = ["ask_person", "read_file", "read_paste"]

# Seconds: a paste without bracketed-paste marks has ended if nothing follows a line end for this time.
_QUIET = 0.15
_POLL = 0.02
_FOREVER = 86_400.0
# Text that is typed or pasted beyond the limit must not reach the shell, which would run it.
_LONGEST_DRAIN = 5.0
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_BRACKETS_ON, _BRACKETS_OFF = "\x1b[?2004h", "\x1b[?2004l"
_END_OF_INPUT = b"\x04"


def read_paste(prompt: str, *, timeout: float | None = None) -> str:
    """Return the text that is pasted on a terminal, or everything from a pipe.

    Args:
        prompt: shown on a terminal only, on stderr.
        timeout: seconds to wait for the person at a terminal, or None for no limit.

    Raises:
        connector.errors.AuthorizationResponseError: if the text is longer than any response.
        connector.errors.NobodyActedError: if nothing was pasted in time.
        KeyboardInterrupt: on Ctrl-C.
    """
    if sys.stdin is None:
        return ""
    if not sys.stdin.isatty():
        return _decoded(sys.stdin.buffer.read(LONGEST_TEXT + 1))
    from connector.clock import Clock

    shown = sys.stderr.isatty()
    deadline = Clock().deadline(_FOREVER if timeout is None else timeout)
    if sys.platform == "win32":
        _switch(prompt if shown else "")
        data = _read_console(deadline)
    else:
        brackets = shown and os.environ.get("TERM") != "dumb"
        data = _read_terminal(sys.stdin.fileno(), deadline, prompt if shown else "", brackets=brackets)
    text = _edited(_decoded(data))
    if shown:
        sys.stderr.write(f"\n({len(text)} characters read)\n")
    return text


def ask_person(question: str) -> bool | None:
    """Ask a yes-or-no question; return None if there is no terminal.

    The answer is read from the terminal itself if stdin is a pipe (`xclip -o | ormco complete …`).
    """
    import click

    from connector.cli.output import printable

    question = printable(question)
    if sys.stdin.isatty():
        return click.confirm(question, err=True)
    if not sys.stderr.isatty():
        return None
    try:
        with open("CONIN$" if sys.platform == "win32" else "/dev/tty", encoding="utf-8") as terminal:
            click.echo(f"{question} [y/N]: ", nl=False, err=True)
            return terminal.readline().strip().lower() in ("y", "yes")
    except OSError:
        return None


def read_file(path: str) -> str:
    """Return the text in a file; "-" is stdin."""
    if path == "-":
        return _decoded(sys.stdin.buffer.read(LONGEST_TEXT + 1))
    with open(path, "rb") as file:
        return _decoded(file.read(LONGEST_TEXT + 1))


def _decoded(data: bytes) -> str:
    if len(data) > LONGEST_TEXT:
        raise text_too_long()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Windows programs may write quotation marks in their legacy code page.
        return data.decode("cp1252", "replace")


def _edited(text: str) -> str:
    """Apply the editing keys in the text: Backspace and Ctrl-U."""
    text = text.rpartition("\x15")[2]
    kept: list[str] = []
    for character in text:
        if character not in "\x08\x7f":
            kept.append(character)
        elif kept:
            kept.pop()
    return re.sub(r"\x1b\[20[01]~|\x04", "", "".join(kept)).strip("\r\n")


def _read_terminal(fd: int, deadline: Deadline, prompt: str, *, brackets: bool) -> bytes:
    import termios

    before = termios.tcgetattr(fd)
    changed = termios.tcgetattr(fd)
    changed[0] &= ~termios.IXON
    changed[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    try:
        # Not TCSAFLUSH: a paste may have begun before.
        termios.tcsetattr(fd, termios.TCSANOW, changed)
        # Only now: text that is pasted before the echo is off would be shown.
        _switch(prompt + (_BRACKETS_ON if brackets else ""))
        return _until_quiet(fd, deadline)
    finally:
        _switch(_BRACKETS_OFF if brackets else "")
        termios.tcsetattr(fd, termios.TCSANOW, before)


def _switch(sequence: str) -> None:
    sys.stderr.write(sequence)
    sys.stderr.flush()


def _until_quiet(fd: int, deadline: Deadline) -> bytes:
    """Read up to the end of a paste; discard the text beyond the limit."""
    import select

    data = b""
    while True:
        if not select.select([fd], [], [], deadline.left)[0]:
            raise _nobody_acted()
        piece = os.read(fd, 65_536)
        data += piece
        if len(data) > LONGEST_TEXT:
            drain = deadline.clock.deadline(_LONGEST_DRAIN)
            while not drain.passed and select.select([fd], [], [], _QUIET)[0] and os.read(fd, 65_536):
                pass
            return data
        if not piece or (_is_over(data) and not select.select([fd], [], [], _QUIET)[0]):
            return data


def _is_over(data: bytes) -> bool:
    """Return whether the person has ended the input, as opposed to a line end within a paste."""
    if data.count(_PASTE_BEGINS) > data.count(_PASTE_ENDS):
        return False
    typed = data.rpartition(_PASTE_ENDS)[2]
    return any(end in typed for end in (b"\n", b"\r", _END_OF_INPUT))


def _nobody_acted() -> NobodyActedError:
    return NobodyActedError(
        "nothing was pasted in time", hint="Run the command again and paste the address then"
    )


def _read_console(deadline: Deadline) -> bytes:
    """Read from a Windows console, character by character, because it also cuts lines."""
    # Not a plain import: only Windows has it, and type checkers on other systems do not know it.
    msvcrt = import_module("msvcrt")

    text = ""
    while len(text) <= LONGEST_TEXT:
        while not msvcrt.kbhit():
            if not deadline.pause(_POLL):
                raise _nobody_acted()
        character = msvcrt.getwch()
        if character == "\x03":
            raise KeyboardInterrupt
        if character in "\x00\xe0":
            msvcrt.getwch()
            continue
        text += character
        if character in "\r\n\x04\x1a":
            deadline.clock.sleep(_QUIET)
            if not msvcrt.kbhit():
                break
    return text.rstrip("\x1a").encode("utf-8", "replace")
