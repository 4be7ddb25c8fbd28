"""A model whose vocabulary is hostile in a browser: nothing of it runs, nothing of it becomes an element."""

import contextlib
from urllib.parse import quote

import pytest

from workbench.workspace import Workspace
from workbench_app.serve import running

from .conftest import Watched, _watch
from .hostile import NAME, SHORT, fill


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    place = Workspace(folder / "workspace")
    fill(place)
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WORKBENCH_CACHE", str(folder / "cache"))
            patch.setenv("WORKBENCH_OFFLINE", "1")
            server = stack.enter_context(running(place.path, str(place.path_of("models", NAME))))
        yield server.url, str(place.path_of("models", NAME))


@pytest.mark.browser
def test_nothing_of_its_vocabulary_runs(url, browser):
    base, model = url
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)
    watched = Watched(context.new_page(), base)
    _watch(watched)
    page = watched.page
    about = f"m={quote(model)}&q={quote(SHORT)}&t=4"
    page.goto(f"{base}/prompt?{about}")
    page.get_by_test_id("stMain").get_by_role("button", name="Load", exact=False).first.click()
    page.locator(".flow .token").first.wait_for()
    places = [
        f"prompt?{about}&pr_tab={tab}" for tab in ("Next+token", "Logit+lens", "Attention", "Residual", "Features")
    ]
    unit = quote("transcoder:mine:mlp_in.1:0")
    tabs = ("Where+it+fires", "What+it+writes", "Try+a+text", "Relatives")
    places += [f"features?{about}&d=mine&u={unit}&ft_tab={tab}" for tab in tabs]
    places += [
        f"codebooks?{about}&d=books&u={quote('code:books:mlp_out.1:0')}&cb_tab={tab}"
        for tab in ("Contexts", "Examples")
    ]
    for path in places:
        page.goto(f"{base}/{path}")
        page.get_by_text("loaded", exact=True).first.wait_for()
        page.wait_for_function("!document.querySelector('[data-test-script-state=running]')")
        page.get_by_text("<script>").first.wait_for(state="attached")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x], svg[onload], textarea:has(script), b:text-is('dog')").count() == 0
    watched.check()
    context.close()
