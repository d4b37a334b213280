"""What the page keeps apart and makes harmless, seen by real browsers; and what it does while the API is away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from finetune30.experiments import Status
from tests.registered import trained
from tests.ui.browser import Visit, launched
from tests.ui.world import World

pytest.importorskip("streamlit", reason="the page is not installed: pip install 'finetune30[ui]'")

pytestmark = pytest.mark.timeout(600)
# Each would do something where it is read as HTML, as Markdown, or as one of Streamlit's own words.
MARKUP = (
    "<img src=//evil.example/a onerror=fetch('//evil.example/b')><script src=//evil.example/c></script><b id=planted>",
    "![x](https://evil.example/e) [y](https://evil.example/f) :red[red] :material/bug_report: $x^2$ www.evil.example/h",
)
_PLANTED = "img[src*=evil], script[src*=evil], iframe[src*=evil], a[href*=evil], #planted, .katex"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def world(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    try:
        for name in ("ana", "bo"):
            found.person(name)
        found.start("api", "page")
        yield found
    finally:
        found.close()


@pytest.fixture
def visit(browser: Any, world: World) -> Iterator[Visit]:
    found = Visit(browser, world.url)
    found.log_in("ana")
    yield found
    found.close()


def test_s106_two_people_in_two_browsers_never_see_each_others_runs(browser: Any, world: World) -> None:
    runs = {}
    for name in ("ana", "bo"):
        with world.client(name) as client:
            runs[name] = client.train({"experiment_name": f"secret of {name}"})
    visits = {name: Visit(browser, world.url) for name in runs}
    for name, visit in visits.items():
        visit.log_in(name)

    # By turns, so that what one of them was shown lies in the page's memory when the other looks.
    for _ in range(2):
        for name, other in (("ana", "bo"), ("bo", "ana")):
            visit = visits[name]
            visit.go("/")
            shown = visit.key("runs_table").locator("table").first
            shown.get_by_text(f"secret of {name}").first.wait_for(state="attached")
            assert f"secret of {other}" not in visit.tab.content()
            for path in (f"/run?id={runs[other].task_id}", f"/compare?ids={runs[name].task_id},{runs[other].task_id}"):
                visit.go(path)
                assert f"secret of {other}" not in visit.tab.content(), path
            visit.go(f"/run?id={runs[other].task_id}")
            visit.sees("run.not_there")
    for visit in visits.values():
        visit.close()


# Of the list of runs: the marks, the state, and then the name.
_NAME_PX = 36 + 104 + 20


def test_a_name_in_a_table_leads_to_its_page_in_the_same_tab_which_goes_on(visit: Visit, world: World) -> None:
    with world.client("ana") as client:
        run = client.train({"experiment_name": "linked"}).task_id
    visit.go("/experiments?find=linked")
    visit.tab.evaluate("window.kept = true")

    visit.point("runs_table", 0, _NAME_PX)
    visit.heading("linked").wait_for()

    assert visit.tab.url == f"{visit.url}/run?id={run}"
    assert visit.tab.evaluate("window.kept")  # nothing was loaded anew
    assert len(visit.tab.context.pages) == 1
    visit.tab.go_back()
    visit.heading(visit.say("shell.experiments")).wait_for()


def test_a_row_of_a_table_is_reached_and_opened_by_keyboard(visit: Visit, world: World) -> None:
    with world.client("ana") as client:
        run = client.train({"experiment_name": "typed"}).task_id
    visit.go("/experiments?find=typed")
    visit.tab.wait_for_timeout(1000)
    visit.key("runs_table").locator("canvas").first.focus()
    visit.tab.keyboard.press("ArrowDown")
    visit.tab.keyboard.press("Shift+Space")
    button = visit.key("runs_open_chosen").locator("button").first
    button.wait_for()
    button.focus()

    visit.tab.keyboard.press("Enter")

    visit.heading("typed").wait_for()
    assert visit.tab.url == f"{visit.url}/run?id={run}"


# Each tile's right edge and row, the edge of all, and whether something in it is cut off.
_TILES = """all => { const right = all.getBoundingClientRect().right;
  return [...all.querySelectorAll('[data-testid=stMetric]')].map(one => { const box = one.getBoundingClientRect();
    const cut = [...one.querySelectorAll('*')].some(
      part => part.clientWidth && part.scrollWidth > part.clientWidth + 1);
    return [Math.round(box.top), Math.round(right - box.right), cut]; }); }"""


@pytest.mark.parametrize("width", [1280, 1000, 700, 400])
def test_figures_in_frames_leave_no_hole_and_are_not_cut_off(visit: Visit, world: World, width: int) -> None:
    with world.client("ana") as client:
        client.train({"experiment_name": "counted"})
    visit.tab.set_viewport_size({"width": width, "height": 900})
    visit.go("/experiments")
    visit.key("runs_tiles").wait_for()
    visit.tab.wait_for_timeout(1000)

    found = visit.key("runs_tiles").evaluate(_TILES)

    assert len(found) == 6
    last = {top: left_px for top, left_px, _ in found}  # the last of each row
    assert [left_px for left_px in last.values() if abs(left_px) > 2] == []
    assert not any(cut for *_, cut in found)


@pytest.mark.parametrize("hostile", MARKUP)
def test_s105_names_with_markup_make_no_element_and_no_request(visit: Visit, world: World, hostile: str) -> None:
    store, number = world.store(), MARKUP.index(hostile)
    labels = {hostile: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}, "b": {}}
    scores = {"accuracy": 0.5, "loss": 1.0, "rows": 2, "confusion": [[0, 1], [0, 1]], "per_class": labels}
    ids = [trained(store, world.results, owner="ana", accuracy=0.5 + step / 4) for step in (0, 1)]
    with world.client("ana") as client:
        model = client.register(f"films-{number}", ids[0], note=hostile, description=hostile, alias="champion")
        failed, done = (client.train({"experiment_name": name}).task_id for name in ("failed", "done"))
        file = world.home / "rows.csv"
        file.write_text(f'text,label\n"{hostile}","{hostile}"\n"{hostile} again",bad\n')
        data = client.checked(client.upload(file, name=f"{hostile}.csv").dataset_id)
    error = {"code": "x", "message": hostile, "where": hostile, "hint": hostile}
    store.finish(failed, store.claim(failed, "test"), "test", Status.FAILURE, error=error)
    store.finish(done, store.claim(done, "test"), "test", Status.SUCCESS, metrics={"eval": scores})

    paths = ["/", "/data", "/models", f"/models?name={model.model}&version=1", f"/submit?data={data.dataset_name}"]
    paths += [f"/run?id={failed}", f"/run?id={done}", f"/compare?ids={ids[0]},{done}"]
    paths += [f"/data?id={data.dataset_id}&view={view}" for view in ("checks", "figures", "rows", "reading")]
    for path in paths:
        visit.go(path)
        assert visit.tab.locator(_PLANTED).count() == 0, path
    visit.go(f"/run?id={failed}")
    assert hostile in visit.tab.get_by_test_id("stMain").inner_text().replace("\u2060", "")  # as it was written

    assert visit.elsewhere == []


def test_the_api_ends_under_a_live_page_and_the_page_goes_on_by_itself(visit: Visit, world: World) -> None:
    with world.client("ana") as client:
        run = client.train({"experiment_name": "waits"})
    visit.go(f"/run?id={run.task_id}")
    visit.key("cancel").wait_for()

    world.kill("api")
    visit.tab.get_by_text(visit.say("run.away_since", time="|", seconds=2).split("|")[0]).wait_for()
    assert visit.key("stepper").is_visible()
    world.start("api")

    visit.tab.get_by_text(visit.say("run.as_of", time="|", seconds=2).split("|")[0]).wait_for()
    visit.press("cancel")
    visit.press("cancel_yes")
    visit.sees("run.never_began")
    assert "Traceback" not in visit.tab.content()
