"""Start the app: Streamlit on 127.0.0.1 in a process of its own, nothing sent anywhere."""

import contextlib
import errno
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.core import ConfigError, ModelError

ADDRESS = "127.0.0.1"
TOKEN = "WORKBENCH_APP_TOKEN"
_LIGHT = {
    "primaryColor": "#1f5fd0",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f9",
    "textColor": "#1c2128",
    "borderColor": "#d5dbe3",
    "blueColor": "#2f6fde",
    "orangeColor": "#d9730d",
    "greenColor": "#23865a",
    "greenTextColor": "#17724a",
    "codeTextColor": "#3a4656",
}
_DARK = {
    "primaryColor": "#74a7ff",
    "backgroundColor": "#11151b",
    "secondaryBackgroundColor": "#1a2028",
    "textColor": "#e4e8ee",
    "borderColor": "#323a46",
    "blueColor": "#4d8bf5",
    "orangeColor": "#f0883e",
    "greenColor": "#3fb27f",
    "greenTextColor": "#6fd6a8",
    "codeTextColor": "#c6d2e2",
}


def options(port: int, address: str = ADDRESS) -> dict[str, str]:
    """The Streamlit settings of the app; given on the command line, so that no file is read or written."""
    values = {
        "server.headless": "true",
        "server.address": address,
        "server.port": str(port),
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": "true",
        "theme.baseRadius": "8px",
        "theme.showWidgetBorder": "true",
        "theme.baseFontSize": "15",
        "theme.headingFontSizes": '["2rem", "1.6rem", "1.25rem", "1.1rem", "1rem", "0.9rem"]',
        "theme.metricValueFontSize": "1.5rem",
    }
    values |= {f"theme.light.{name}": value for name, value in _LIGHT.items()}
    return values | {f"theme.dark.{name}": value for name, value in _DARK.items()}


def free_port(wanted: int | None = None, address: str = ADDRESS) -> int:
    """The wanted port, or any free one.

    Raises:
        ConfigError: something else listens there.
    """
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, wanted or 0))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"cannot listen on {address}", found=error.strerror) from None
            raise ConfigError(f"port {wanted} is taken", hint="name another with --port, or 0 for any") from None
        return probe.getsockname()[1]


def command(port: int, address: str = ADDRESS) -> list[str]:
    """The command line that serves the app."""
    main = Path(__file__).with_name("main.py")
    flags = [f"--{name}={value}" for name, value in options(port, address).items()]
    return [sys.executable, "-m", "streamlit", "run", str(main), *flags]


def is_own(address: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _wait(process: subprocess.Popen, url: str, seconds: float) -> None:
    """Until the server answers.

    Raises:
        ModelError: it ended or did not answer in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ModelError("the app did not start", found=f"its server ended with code {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise ModelError(f"the app did not answer within {seconds:.0f} s", hint="run it again with --port 0")


@dataclass(frozen=True)
class Server:
    """A served app: where it answers, its process, and the token that its pages ask for (none on this machine)."""

    url: str
    process: subprocess.Popen
    token: str = ""


@contextlib.contextmanager
def running(
    workspace: Path | str | None = None,
    model: str | None = None,
    port: int = 0,
    seconds: float = 60,
    address: str = ADDRESS,
) -> Iterator[Server]:
    """A served app for the length of a block; on another address than this machine's own its pages ask for a token."""
    port = free_port(port, address)
    token = "" if is_own(address) else secrets.token_urlsafe(24)
    changes = {"WORKBENCH_HOME": workspace and str(Path(workspace).resolve()), "WORKBENCH_APP_MODEL": model}
    environment = os.environ | {name: value for name, value in changes.items() if value} | {TOKEN: token}
    process = subprocess.Popen(command(port, address), env=environment, stdin=subprocess.DEVNULL)
    try:
        reached = ADDRESS if address in ("0.0.0.0", "::") else address
        url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
        _wait(process, url, seconds)
        yield Server(url, process, token)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve(
    workspace: Path | str | None = None,
    model: str | None = None,
    port: int = 8501,
    open_browser: bool = False,
    announce: Callable[[str], None] | None = None,
    address: str = ADDRESS,
) -> int:
    """Serve the app until it is interrupted; the exit code of the server (0 after Ctrl-C).

    Args:
        workspace: folder of artifacts (default: WORKBENCH_HOME, else ./workbench-workspace).
        model: the model to offer first, any name that `load_model` takes.
        port: where to listen; 0 takes any free port.
        open_browser: open the address in the user's browser.
        announce: called with the address once the app answers.
        address: to listen on. Another than this machine's own lets others in: their pages ask for a token, which is
            part of the announced address. It guards the pages, not the bare files of Streamlit's page, and the
            connection is not encrypted: put it behind a tunnel or a proxy where others could listen.

    Raises:
        ConfigError: the port is taken. ModelError: the server did not start.
    """
    with contextlib.suppress(ValueError):  # only the main thread may say what a signal does
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(workspace, model, port, address=address) as server:
        shown = f"{server.url}/?token={server.token}" if server.token else server.url
        if announce is not None:
            announce(shown)
        if open_browser:
            webbrowser.open(shown)
        try:
            return server.process.wait()
        except KeyboardInterrupt:
            return 0
