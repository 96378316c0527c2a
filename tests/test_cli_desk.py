"""`ormco desk`: one person's desk on loopback, opened by a file that works once."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.commands import COMMAND, first_object, run
from tests.support.sandbox import TIMEOUT

DESK = (*COMMAND, "desk", "--no-browser", "--json")


@pytest.fixture
def process(env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, without a browser, and with a folder of its own for temporary files."""
    (tmp_path / "temporary").mkdir()
    env["TMPDIR"] = str(tmp_path / "temporary")
    with subprocess.Popen(
        DESK, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        yield process
        process.kill()


def token_in(link_file: str) -> str:
    found = re.search(r'name=token value="([^"]+)"', Path(link_file).read_text("utf-8"))
    assert found is not None
    return found[1]


def opened(desk: dict[str, Any], session: requests.Session, **headers: str) -> requests.Response:
    """Send the form that the file sends."""
    data = {"token": token_in(desk["link_file"])}
    return session.post(f"{desk['url']}/open", data=data, headers=headers, timeout=TIMEOUT)


def test_a_browser_that_cannot_read_the_file_asks_for_a_word(process: subprocess.Popen[str]) -> None:
    """The word that the terminal shows opens the desk once, however it is typed, and ends the file's link."""
    desk = first_object(process)
    assert process.stderr is not None
    said = process.stderr.readline() + process.stderr.readline()
    url, word = re.findall(r"open (http\S+) and type: (\S+)", said)[0]
    with requests.Session() as session, requests.Session() as second:
        assert "shows in your terminal" in session.get(url, timeout=TIMEOUT).text
        wrong = session.post(url, data={"token": "guess"}, timeout=TIMEOUT)
        assert (wrong.status_code, "not the word" in wrong.text, len(session.cookies)) == (403, True, 0)
        typed = f" {word.replace('-', ' ').upper()}"
        assert "Practices" in session.post(url, data={"token": typed}, timeout=TIMEOUT).text
        assert second.post(url, data={"token": word}, timeout=TIMEOUT).status_code == 403
        assert opened(desk, second).status_code == 403


def test_another_user_is_refused(process: subprocess.Popen[str]) -> None:
    """Neither the port, under any name, nor a guess is of use; the file is its user's alone, for one use."""
    desk = first_object(process)
    host = desk["url"].removeprefix("http://")
    assert stat.S_IMODE(Path(desk["link_file"]).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(desk["link_file"]).parent.stat().st_mode) == 0o700
    for path in ("/", "/list", "/changes", "/practice?id=x", "/practice/revoke?id=x"):
        assert requests.get(desk["url"] + path, timeout=TIMEOUT).status_code == 403
    guess = requests.post(f"{desk['url']}/open", data={"token": "guess"}, timeout=TIMEOUT)
    assert (guess.status_code, guess.cookies.get_dict()) == (403, {})
    with requests.Session() as session, requests.Session() as second:
        assert opened(desk, session, Host=host.replace("127.0.0.1", "evil.test")).status_code == 403
        assert "Practices" in opened(desk, session, Origin="null").text
        other = session.get(desk["url"], headers={"Host": "evil.test"}, timeout=TIMEOUT)
        assert other.status_code == 400
        refused = opened(desk, second)
        assert refused.status_code == 403
        assert "Start “ormco desk” again" in refused.text
        assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]
        assert second.get(desk["url"], timeout=TIMEOUT).status_code == 403


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing(process: subprocess.Popen[str], number: int, tmp_path: Path) -> None:
    """Ctrl-C ends it with its status, and the file with the link is gone."""
    first_object(process)
    assert list((tmp_path / "temporary").iterdir()) != []
    process.send_signal(number)
    _, messages = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_folder_of_a_killed_desk_is_removed_at_the_next_start(
    process: subprocess.Popen[str], env: dict[str, str], tmp_path: Path
) -> None:
    """The file with the link goes when its process is dead, however it died, and not before."""
    left = Path(first_object(process)["link_file"]).parent
    for is_there in (True, False):
        with subprocess.Popen(DESK, stdout=subprocess.PIPE, text=True, env=env) as other:
            assert Path(first_object(other)["link_file"]).exists()
            assert left.exists() is is_there
            process.kill()
            process.wait(TIMEOUT)
            other.terminate()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_port_that_is_in_use(env: dict[str, str]) -> None:
    """Said in words, with another port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(env, "desk", "--no-browser", "--port", port)
    assert result.exit_code == 10
    assert f"port {port}" in result.stderr


def test_without_the_extra(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Flask it says what to install."""
    for name in ("flask", "connector.web.desk_server"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run(env, "desk", "--no-browser")
    assert result.exit_code == 10
    assert "extra `web`" in result.stderr


def crowd(desk: dict[str, Any], sent: bytes) -> list[socket.socket]:
    """As many connections of another user as are accepted, none with a whole request."""
    port, found = int(desk["url"].rpartition(":")[2]), []
    for _ in range(300):
        found.append(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))
        found[-1].send(sent)
    return found


def test_connections_of_others_do_not_occupy_it(process: subprocess.Popen[str]) -> None:
    """A connection that sends nothing, or never ends, does not keep others out."""
    desk = first_object(process)
    with requests.Session() as session:
        for sent in (b"", b"GET / HTTP/1.1\r\n"):
            others = crowd(desk, sent)
            page = session.get(desk["url"], timeout=TIMEOUT) if session.cookies else opened(desk, session)
            assert page.status_code == 200
            for each in others:
                each.close()


def test_endless_request_ends(process: subprocess.Popen[str]) -> None:
    """One more byte at a time does not keep a connection open."""
    port = int(first_object(process)["url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
        connection.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(5 * TIMEOUT):
            try:
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                connection.send(b"x")
            except ConnectionError:
                return
    pytest.fail("it is still open")


@pytest.mark.skipif(sys.platform != "linux", reason="browsers are started otherwise elsewhere")
def test_browser_gets_no_secret(env: dict[str, str], tmp_path: Path) -> None:
    """The person's browser lives on, and has nothing of the settings in its environment."""
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\nenv >{tmp_path}/part\nmv {tmp_path}/part {tmp_path}/environment\n")
    browser.chmod(0o700)
    env |= {"BROWSER": str(browser), "OTHER_PROGRAMS_SECRET": "made-up-word"}
    streams: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*COMMAND, "desk"], env=env, **streams) as process:
        while process.poll() is None and not (tmp_path / "environment").exists():
            time.sleep(0.05)
        process.kill()
    found = (tmp_path / "environment").read_text()
    assert env["ORMCO_CLIENT_SECRET"] not in found
    assert env["ORMCO_STORE_KEYS"] not in found
    assert "made-up-word" not in found
