"""The settings page by AppTest: what is chosen changes other pages, stays in the workspace, and nothing leaks."""

import json

import pandas as pd
import pytest

from workbench.core import ConfigError, Result, Silent, Unit
from workbench.figures import figure
from workbench.recipes import diagnostics
from workbench.workspace import Database, Workspace, cache_folder
from workbench_app import comfort, exhibit, state, wording
from workbench_app.shelf import Shelf

from .test_pages import open_page, text_of


def test_a_choice_is_in_force_on_pages_and_kept_in_the_workspace():
    (cache_folder() / "text").mkdir(parents=True)
    (cache_folder() / "text" / "a.txt").write_text("x" * 5000)
    at = open_page("settings")
    assert not at.error
    assert wording.show(1234.5678) == "1.23e+03"
    assert not (Workspace().path / "workbench.db").exists()  # looking made no file
    at.slider(key="se_digits").set_value(5).run()
    at.slider(key="se_context").set_value(20).run()
    at.segmented_control(key="se_colours").set_value("green and purple").run()
    assert not at.exception
    assert wording.show(1234.5678) == "1234.6"
    assert exhibit.headed(pd.DataFrame({"loss": [0.5]}))["loss"]["type_config"]["format"] == "%.6g"
    assert "1234.6" in text_of(at)
    comfort._chosen.clear()  # as after a restart
    assert comfort.chosen() == comfort.Comfort(digits=5, context=20, colours="green and purple")
    style = str(at.get("html")[0].proto.body)
    assert "--wb-digits:5" in style
    assert "--st-blue-color:#2a9d5c" in style
    at.button(key="se_reset").click().run()
    assert comfort.chosen() == comfort.Comfort()
    assert at.button(key="se_clear").label == "Delete 5 kB"
    at.button(key="se_clear").click().run()
    assert not cache_folder().exists()
    assert not at.exception


def test_figures_follow_the_colours():
    fig = figure().add_bar(y=[1.0], marker={"color": "#0072b2"})
    assert exhibit.coloured(fig) is fig
    comfort.choose(colours="green and purple")
    assert exhibit.coloured(fig).to_json() != fig.to_json()


def test_what_another_version_wrote_is_passed_over_and_nonsense_is_refused():
    Database(Workspace().path).save_view(comfort.ID, "settings", {"digits": 99, "unheard": 1})
    assert comfort.chosen() == comfort.Comfort()
    with pytest.raises(ConfigError):
        comfort.choose(digits=40)


def test_the_shelf_holds_as_many_models_as_are_allowed(monkeypatch):
    monkeypatch.setattr("workbench.models.load_model", lambda name, progress: name)
    shelf = Shelf()
    for name in ("planted-places", "tiny-sentences", "planted-bigram"):
        shelf.load(name, Silent())
    assert shelf.names() == ("tiny-sentences", "planted-bigram")
    comfort.choose(models=1)
    shelf.trim()
    assert shelf.names() == ("planted-bigram",)


def test_diagnostics_quote_nobody(monkeypatch):
    monkeypatch.setattr("workbench.recipes.doctor._speed", list)  # no measurement of what this test is not about
    words = "a secret prompt"

    def fail(progress):
        raise ConfigError(words)

    state.database().set_label(Unit.parse("neuron::mlp_in.0:3"), words)
    Result("x", {words: 1.0}, notes=(words,)).save(Workspace().path_of("results", "a-secret-prompt"))
    job = state.jobs().submit(words, fail, command=words, page="prompt")
    job._ended.wait(30)
    told = diagnostics(Workspace(), state.jobs().jobs())
    text = json.dumps(told)
    assert "secret" not in text.replace(str(Workspace().path), "")
    assert told["workspace"]["results"]["count"] == 1
    assert told["jobs"][0]["error"].startswith("ConfigError at tests/app/test_settings_page.py:")
    assert {"dictionary", "model", "text"} <= set(told["registered"])
    assert told["versions"]
    state.jobs().clear()
