"""`ormco desk`: the support desk on this machine, in the person's own browser."""

from __future__ import annotations

import os
import subprocess
import threading
import webbrowser
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, open_connector, settings_options
from connector.cli.output import emit, say
from connector.errors import ExtraMissingError, SettingError
from connector.hints import install
from connector.process import child_environment

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.web.desk_server import DeskServer

__all__ = ["desk"]


@click.command(epilog="Example: ormco desk --port 8043")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port; by default a free one."
)
@click.option("--no-browser", is_flag=True, help="Open no browser; print the file to open.")
@settings_options
def desk(port: int, no_browser: bool, as_json: bool, **settings: Any) -> None:
    """Show all practices: which need help, why, and the next step as a button.

    Serves only this machine, until Ctrl-C. The page is opened through a file that only you can read, and that
    works once, so other users of this machine have no access.
    """
    with open_connector(config_from(settings)) as connector, _server(connector, port) as server:
        link_file = str(server.link_file)
        emit({"url": server.url, "link_file": link_file}, f"The desk: {server.url}", as_json=as_json)
        say(f"Open {link_file} in a browser; it works once." if no_browser else "Opening your browser …")
        say(f"If the browser cannot read that file, open {server.open_url} and type: {server.word}")
        if not no_browser:
            # In a thread: the call blocks until a browser that runs in the terminal is closed.
            threading.Thread(target=_open, args=(server,), daemon=True).start()
        say("Serving until Ctrl-C …")
        server.run()
        raise KeyboardInterrupt  # the server ends only then


def _open(server: DeskServer) -> None:
    # The browser outlives the desk, and must not inherit its settings. `webbrowser` has no option for it.
    environment = child_environment(os.environ)
    clean = SimpleNamespace(**vars(subprocess))
    clean.Popen = partial(subprocess.Popen, env=environment)
    clean.check_output = partial(subprocess.check_output, env=environment)
    vars(webbrowser)["subprocess"] = clean
    # A path, not the link: every user of this machine can read the arguments of a process.
    if not webbrowser.open(server.link_file.as_uri()):
        say(f"No browser was found. Open {server.link_file} in one; it works once.")


def _server(connector: Connector, port: int) -> DeskServer:
    try:
        from connector.web.desk_server import DeskServer

        return DeskServer(connector, port=port)
    except ModuleNotFoundError as exc:
        raise ExtraMissingError(f"the desk needs {exc.name}", hint=install("web")) from None
    except OSError as exc:
        fact = os.strerror(exc.errno or 0)
        raise SettingError(
            f"the desk cannot be started on port {port}: {fact}", hint="Use a free port: ormco desk"
        ) from None
