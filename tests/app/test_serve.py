import socket

import pytest

from workbench.core import ConfigError
from workbench_app.serve import ADDRESS, command, free_port, options


def test_the_server_listens_here_only_and_tells_nobody():
    chosen = options(8501)
    assert chosen["server.address"] == "127.0.0.1"
    assert chosen["browser.gatherUsageStats"] == "false"
    assert chosen["server.fileWatcherType"] == "none"
    assert chosen["client.toolbarMode"] == "minimal"
    assert {"theme.light.textColor", "theme.dark.textColor"} <= set(chosen)


def test_every_setting_is_one_that_streamlit_knows():
    from streamlit import config

    known = set(config.get_config_options())
    assert set(options(1)) <= known


def test_a_taken_port_is_refused_and_any_is_found():
    with socket.socket() as other:
        other.bind((ADDRESS, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {taken} is taken; name another"):
            free_port(taken)
        assert free_port() != taken


def test_the_command_serves_the_frame():
    words = command(9999)
    assert words[1:4] == ["-m", "streamlit", "run"]
    assert words[4].endswith("workbench_app/main.py")
    assert "--server.port=9999" in words
