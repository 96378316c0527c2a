"""Ctrl-C and kills while the browser is open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connector.browser import capture_redirect
from connector.errors import NobodyActedError
from tests.support.authorization_pages import AuthorizationPages

_PROJECT = Path(__file__).parents[2]
_CHILD = """
import sys
from connector.browser import capture_redirect
from tests.support.authorization_pages import browser_processes

def person(page):
    print(*browser_processes(page), flush=True)
    if sys.argv[3] == "busy":
        page.get_by_role("button", name="never there").click(timeout=100_000)

url, browser = sys.argv[1:3]
capture_redirect(url, redirect_uri="https://landing.test/", person=person, headless=True, browser=browser)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sent", "doing"), [("SIGINT", "waiting"), ("SIGINT", "busy"), ("SIGKILL", "waiting")]
)
def test_interrupted_or_killed(
    sent: str, doing: str, browser: str, pages: AuthorizationPages, temporary_folder: Path
) -> None:
    """Ctrl-C leaves nothing behind; after a kill the browser ends by itself and the next start sweeps up."""
    command = [sys.executable, "-c", _CHILD, pages.authorize("authorize"), browser, doing]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=_PROJECT
    ) as child:
        assert child.stdout is not None
        processes = [int(number) for number in child.stdout.readline().split()]
        # Ctrl-C reaches every process of the terminal, including the driver.
        os.killpg(child.pid, getattr(signal, sent))
        _, report = child.communicate(timeout=60)
    assert processes, report
    assert (b"KeyboardInterrupt" in report) == (sent == "SIGINT")
    assert wait_for_end(processes) == []
    if sent == "SIGINT":
        assert list(temporary_folder.iterdir()) == []
    else:
        assert list(temporary_folder.glob("ormco-browser-*"))
        with pytest.raises(NobodyActedError):
            capture_redirect(
                pages.authorize("authorize"),
                redirect_uri="https://landing.test/",
                headless=True,
                timeout=0.1,
                browser=browser,
            )
        assert list(temporary_folder.iterdir()) == []


def wait_for_end(processes: list[int]) -> list[int]:
    """Return those that are still alive after a while."""
    for _ in range(100):
        processes = [process for process in processes if is_alive(process)]
        if not processes:
            break
        time.sleep(0.1)
    return processes


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        status = Path(f"/proc/{process}/stat")
        # A process that has ended stays in the list, as a zombie, until its parent collects it.
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
