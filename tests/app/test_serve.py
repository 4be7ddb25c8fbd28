import gc
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import workbench_app
from workbench.core import ConfigError
from workbench_app import settle
from workbench_app.serve import ADDRESS, TOKEN, command, free_port, is_own, options


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


def test_only_other_addresses_ask_for_a_token():
    assert is_own("127.0.0.1")
    assert is_own("::1")
    assert is_own("localhost")
    assert not is_own("0.0.0.0")
    assert not is_own("192.168.0.7")
    assert options(1, "0.0.0.0")["server.address"] == "0.0.0.0"
    with pytest.raises(ConfigError):
        free_port(0, "203.0.113.7")


def test_without_the_token_no_page_is_drawn(monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    main = str(Path(workbench_app.__file__).with_name("main.py"))
    at = AppTest.from_file(main, default_timeout=60).run()
    assert [box.label for box in at.text_input] == ["Token"]
    at.text_input[0].set_value("wrong").run()
    assert len(at.error) == 1
    assert not at.metric
    at.text_input[0].set_value("secret").run()
    assert not at.error
    assert at.run().title[0].value == "workbench"
    assert not [box for box in at.text_input if box.label == "Token"]
    told = AppTest.from_file(main, default_timeout=60)
    told.query_params["token"] = "secret"
    assert not [box for box in told.run().text_input if box.label == "Token"]


def test_what_the_first_visitor_reads_needs_neither_torch_nor_pandas(tmp_path):
    """In a process of its own: what Home draws first is imported, and the workspace is listed."""
    code = (
        "import sys\n"
        "from workbench_app import context, frame, settle, state\n"
        "from workbench_app.panels import guide, precomputed_pass\n"
        "guide.steps(state.workspace().list())\n"
        "precomputed_pass.examples()\n"
        "print(sorted({'torch', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.strip() == "[]"


def test_what_stays_is_left_out_of_collections_until_a_model_goes(monkeypatch):
    settle.unsettle()
    assert gc.get_freeze_count() == 0
    settle.settle()
    kept = gc.get_freeze_count()
    assert kept > 10_000
    settle.settle()
    assert gc.get_freeze_count() <= kept  # nothing was imported since
    settle.unsettle()
    assert gc.get_freeze_count() == 0
