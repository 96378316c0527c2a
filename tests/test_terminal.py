"""Reading a paste from a terminal, a pipe and a file, with a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from connector.cli import terminal
from connector.cli.terminal import read_paste
from connector.clock import Clock
from connector.errors import AuthorizationResponseError, NobodyActedError
from connector.redirect.parse import LONGEST_TEXT
from tests.support.codes import CODE, encoded

URL = f"https://ormco.com/?code={encoded(CODE, 2)}"
posix = pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a POSIX thing")


class Person:
    """A person at a terminal with a command that prints the text it has read, in hexadecimal."""

    _COMMAND = (
        "import sys; from connector.cli.terminal import read_paste\n"
        "try: text = read_paste('Paste: ', timeout={timeout})\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
        "except Exception as error: sys.exit(type(error).__name__)\n"
        "sys.stdout.write(text.encode().hex())"
    )

    def __init__(self, timeout: float) -> None:
        import pty
        import termios

        self.terminal, self._inside = pty.openpty()
        self.modes = termios.tcgetattr(self._inside)
        # A session of its own, so that Ctrl-C reaches this command alone.
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._COMMAND.format(timeout=timeout)],
            stdin=self._inside,
            stdout=subprocess.PIPE,
            stderr=self._inside,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        self.screen = b""
        self.sees(b"\x1b[?2004h")

    def sees(self, text: bytes) -> None:
        """Wait until a text is on the screen."""
        ends = time.monotonic() + 60
        while text not in self.screen and time.monotonic() < ends:
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.screen += os.read(self.terminal, 65_536)
        assert text in self.screen

    def types(self, data: bytes) -> None:
        """Type or paste; a long paste is taken up as fast as the command reads it."""
        while data:
            data = data[os.write(self.terminal, data[:1024]) :]

    def leaves(self) -> tuple[int, str]:
        """Return the exit status, and the text that was read."""
        assert self._process.stdout
        text = bytes.fromhex(self._process.stdout.read().decode()).decode()
        status = self._process.wait(60)
        while select.select([self.terminal], [], [], 0)[0]:
            self.screen += os.read(self.terminal, 65_536)
        return status, text

    def now_modes(self) -> list[object]:
        """How the terminal behaves now."""
        import termios

        return termios.tcgetattr(self._inside)

    def go(self) -> None:
        """Close everything."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        for end in (self.terminal, self._inside):
            os.close(end)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def person(timeout: float = 60) -> Iterator[Person]:
    """A person at a terminal, which is closed at the end."""
    someone = Person(timeout)
    try:
        yield someone
    finally:
        someone.go()


@posix
@pytest.mark.parametrize("length", [300, 1_500, 5_000, 60_000])
def test_a_paste_of_any_length_is_read(length: int) -> None:
    """A paste is longer than a terminal's line, and arrives whole."""
    text = URL + "&x=" + "y" * length
    with person() as someone:
        someone.types(f"{text}\r".encode())
        assert someone.leaves() == (0, text)


@posix
def test_a_paste_of_many_lines_is_one_paste() -> None:
    """Lines that follow each other at once belong together."""
    text = "\n".join(URL[start : start + 60] for start in range(0, len(URL), 60))
    with person() as someone:
        someone.types(f"{text}\n".encode())
        assert someone.leaves() == (0, text)


@posix
def test_a_bracketed_paste_ends_with_enter() -> None:
    """A terminal that brackets a paste is asked to, and its line ends do not end the input."""
    with person() as someone:
        someone.types(b"\x1b[200~first\rsecond\r\x1b[201~")
        time.sleep(0.5)
        someone.types(b"\r")
        status, text = someone.leaves()
        assert (status, text.split()) == (0, ["first", "second"])
        assert b"\x1b[?2004l" in someone.screen


@posix
def test_a_paste_is_not_shown() -> None:
    """The code does not appear on the screen, only its length; the terminal's settings are restored."""
    with person() as someone:
        someone.types(f"{URL}\n".encode())
        someone.sees(b"characters read)")
        assert someone.leaves()[0] == 0
        assert CODE[10:30].encode() not in someone.screen
        assert f"({len(URL)} characters read)".encode() in someone.screen
        assert someone.now_modes() == someone.modes


@posix
def test_ctrl_c_leaves_at_once() -> None:
    """Ctrl-C interrupts, and the terminal's settings are restored."""
    with person() as someone:
        someone.types(b"half a pa\x03")
        assert someone.leaves()[0] == 130
        assert someone.now_modes() == someone.modes


@posix
def test_ctrl_d_ends_the_input() -> None:
    """Ctrl-D ends the input without Enter, also an empty one."""
    with person() as someone:
        someone.types(f"{URL}\x04".encode())
        assert someone.leaves() == (0, URL)
    with person() as someone:
        someone.types(b"\x04")
        assert someone.leaves() == (0, "")


@posix
def test_typing_can_be_corrected() -> None:
    """Backspace and Ctrl-U work as everywhere."""
    with person() as someone:
        someone.types(b"wrong\x15code=xz\x7fy\n")
        assert someone.leaves() == (0, "code=xy")


@posix
def test_an_endless_paste_does_not_reach_the_shell() -> None:
    """A paste beyond the limit is refused, and no part of it reaches the shell."""
    with person() as someone:
        someone.types(b"rm -rf x\n" * 20_000)
        status, _ = someone.leaves()
        assert status == 1
        os.set_blocking(someone._inside, False)
        with contextlib.suppress(BlockingIOError):
            assert not os.read(someone._inside, 100)


@posix
def test_the_wait_for_a_paste_ends() -> None:
    """The wait for a paste ends at the time limit."""
    with person(timeout=0.2) as someone:
        assert someone.leaves()[0] == 1
        someone.sees(NobodyActedError.__name__.encode())
        assert someone.now_modes() == someone.modes


class FakeInput(io.TextIOWrapper):
    """Standard input that is a pipe, or says that it is a terminal."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.given = io.BytesIO(data)
        super().__init__(self.given)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    "data",
    [
        URL.encode(),
        f"\ufeff{URL}".encode(),
        URL.encode("utf-16"),
        b"\xff\xfe" + URL.encode("utf-16-le"),
        b"\xfe\xff" + URL.encode("utf-16-be"),
    ],
)
def test_a_pipe_is_read_in_every_encoding(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is read from a pipe, in the encodings of Windows programs too."""
    monkeypatch.setattr(sys, "stdin", FakeInput(data))
    assert read_paste("not shown") == URL
    # Quotation marks of an old Windows code page are quotation marks.
    monkeypatch.setattr(sys, "stdin", FakeInput(b"\x93" + URL.encode() + b"\x94"))
    assert read_paste("not shown") == f"“{URL}”"


def test_an_endless_pipe_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read than could be a response."""
    pipe = FakeInput(b"x" * (LONGEST_TEXT * 3))
    monkeypatch.setattr(sys, "stdin", pipe)
    with pytest.raises(AuthorizationResponseError, match="not read"):
        read_paste("not shown")
    assert pipe.given.tell() == LONGEST_TEXT + 1


def test_no_input_at_all_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without standard input has nothing to read."""
    monkeypatch.setattr(sys, "stdin", None)
    assert read_paste("not shown") == ""


def fake_console(keys: str) -> SimpleNamespace:
    """A Windows console with pasted text."""
    waiting = deque(keys)
    return SimpleNamespace(kbhit=lambda: bool(waiting), getwch=waiting.popleft)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (f"{URL}\r", URL),
        ("two\rlines\r", "two\rlines"),
        ("\xe0Har\x08rows\r", "arows"),
        ("ended\x1a", "ended"),
    ],
)
def test_a_windows_console_is_read(keys: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the console is read key by key as well."""
    monkeypatch.setitem(sys.modules, "msvcrt", fake_console(keys))
    data = terminal._read_console(Clock().deadline(5))
    assert terminal._edited(data.decode()) == text


def test_a_windows_console_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is a key on Windows; and waiting has an end."""
    monkeypatch.setitem(sys.modules, "msvcrt", fake_console("ab\x03"))
    with pytest.raises(KeyboardInterrupt):
        terminal._read_console(Clock().deadline(5))
    monkeypatch.setitem(sys.modules, "msvcrt", fake_console(""))
    with pytest.raises(NobodyActedError):
        terminal._read_console(Clock().deadline(0.05))
