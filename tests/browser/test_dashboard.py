"""The dashboard, as a person sees it in a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from scene import Scene
from tabs import Tab, expect

from tinytown.lifecycle import WorkItemState

PICTURES = Path(__file__).parents[2] / "docs/img"

Visit = Callable[..., Tab]

HOSTILE = (
    "<img src=x onerror=\"owned='img'\"><script>owned='script'</script></pre></textarea>"
    "<svg onload=owned='svg'><a href=\"javascript:owned='link'\">click</a> {{owned}} ${owned} \u202edesrever"
)


def test_nobody_sees_the_town_without_a_token_and_a_tab_keeps_it_until_it_logs_out(visit: Visit) -> None:
    tab = visit()
    tab.log_in("a token that is made up")
    expect(tab.page.get_by_role("alert").first).to_have_text("This is no token.")
    tab.log_in("wrong")
    expect(tab.page.locator("#trouble")).to_have_text("The key is wrong, expired or revoked")
    expect(tab.page.locator("#board")).to_be_hidden()
    tab.expected("status of 401")

    tab.log_in()
    tab.is_live()
    expect(tab.page.get_by_role("heading", name="demo")).to_be_visible()
    expect(tab.page).to_have_title("demo · Townhall")
    tab.page.reload()
    tab.is_live()

    tab.page.get_by_role("button", name="Log out").click()
    expect(tab.page.locator("#board")).to_be_hidden()
    assert tab.page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    tab.page.reload()
    expect(tab.page.get_by_label("Token or key")).to_be_focused()


def test_an_agent_is_seen_at_work_while_it_works(visit: Visit, scene: Scene) -> None:
    tab = visit()
    tab.log_in()
    expect(tab.page.locator("#no-agents")).to_be_visible()
    scene.spawn("ada", role="backend")
    ada = tab.agent("ada")
    expect(ada.locator(".pill")).to_have_text("idle")
    expect(ada).to_contain_text("backend · actor")

    scene.assign("ada", "Implement the login API", "api")
    with scene.lines("ada") as cli:
        expect(ada.locator(".pill")).to_have_text("working")
        expect(ada.locator(".doing")).to_have_text("Implement the login API")
        expect(tab.column("Running")).to_contain_text("Implement the login API")
        cli.do("echo reading the plan; printf '\\033[32m12 passed\\033[0m in 0.8 s\\n'")
        expect(ada.locator(".now")).to_have_text("12 passed in 0.8 s")
        ada.get_by_text("Output").click()
        expect(ada.locator("pre")).to_have_text("reading the plan\n12 passed in 0.8 s\n", use_inner_text=False)
        cli.do("echo All of it works")
        expect(ada.locator("pre")).to_contain_text("All of it works")

    expect(ada.locator(".pill")).to_have_text("idle")
    expect(ada.locator(".now")).to_be_hidden()
    expect(ada.locator(".rounds")).to_contain_text("1 of 10 rounds")
    done = tab.column("Completed")
    expect(done).to_contain_text("All of it works")
    expect(tab.column("Running")).to_be_hidden()
    expect(tab.page.locator("#events")).to_contain_text("task completed")
    # What was opened has stayed open through all of it.
    expect(ada.locator("pre")).to_be_visible()


def test_a_conductor_is_seen_above_the_agents_while_it_pursues_its_goal(visit: Visit, scene: Scene) -> None:
    tab = visit()
    tab.log_in()
    goal = json.loads(scene.tt("conductor", "Build the login", "--detach", "--json", "--cli", "actor"))["id"]
    conductor = tab.agent("conductor")
    with scene.lines("conductor"):
        expect(conductor.locator(".pill")).to_have_text("working")
        expect(conductor.locator(".doing")).to_have_text("Build the login")
        expect(tab.page.locator("#agents > li").first).to_contain_text("conductor")
        scene.tt("task", "cancel", goal)
        expect(conductor).to_have_count(0)


def test_a_question_is_answered_and_the_agent_goes_on_with_the_answer(visit: Visit, scene: Scene) -> None:
    tab = visit()
    tab.log_in()
    scene.spawn("ada")
    scene.assign("ada", "Serve the API")
    with scene.lines("ada") as cli:
        cli.do('tt send conductor --query "Which port shall the API use?"')
        question = tab.letters("Which port shall the API use?")
        expect(question).to_contain_text("asks")
        expect(tab.page).to_have_title("(1) demo · Townhall")
        question.get_by_label("Answer to ada").fill("Port 8080, as in the README")
        question.get_by_role("button", name="Answer").click()
        expect(question).to_have_count(0)
        expect(tab.page.locator("#said")).to_have_text("Answered ada.")

    with scene.lines("ada") as cli:
        assert "Port 8080, as in the README" in cli.told
        assert "Which port shall the API use?" in cli.told
    expect(tab.page.locator("#events")).to_contain_text("inbox answered")
    expect(tab.page).to_have_title("demo · Townhall")


def test_who_answers_second_is_told_what_the_first_said(visit: Visit, scene: Scene) -> None:
    scene.spawn("ada")
    asked = scene.ask("ada", "Which port?")
    scene.tell("ada", "The sketch is in docs")
    tab = visit()
    tab.log_in()
    question = tab.letters("Which port?")
    question.get_by_label("Answer to ada").fill("9090")
    scene.tt("answer", asked, "8080")
    # It stays while somebody writes an answer; what nobody answers goes by itself.
    expect(tab.page.locator("#inbox-count")).to_have_text("1")
    question.get_by_role("button", name="Answer").click()
    expect(question.get_by_role("alert")).to_contain_text("was answered at")
    expect(question.get_by_role("alert")).to_contain_text("8080")
    tab.expected("status of 409")

    question.get_by_label("Answer to ada").fill("")
    scene.tell("ada", "One thing more")
    expect(tab.letters("One thing more")).to_be_visible()
    expect(question).to_have_count(0)
    news = tab.letters("The sketch is in docs")
    expect(news.get_by_label("Answer to ada")).to_be_hidden()
    news.get_by_text("Reply").click()
    news.get_by_label("Answer to ada").fill("I have seen it")
    news.get_by_role("button", name="Answer").click()
    expect(news).to_have_count(0)


def test_news_is_put_away_one_by_one_or_all_at_once_and_questions_stay(visit: Visit, scene: Scene) -> None:
    scene.spawn("ada")
    scene.ask("ada", "Which port?")
    for news in ("one", "two", "three"):
        scene.tell("ada", f"This is {news}")
    tab = visit()
    tab.log_in()
    expect(tab.page.locator("#messages .said").first).to_have_text("Which port?")
    tab.letters("This is two").get_by_role("button", name="Dismiss what ada tells").click()
    expect(tab.letters()).to_have_count(3)
    expect(tab.page.locator("#inbox-count")).to_have_text("3")
    tab.page.get_by_role("button", name="Dismiss all news").click()
    expect(tab.letters()).to_have_count(1)
    expect(tab.page.locator("#inbox-count")).to_have_text("1")
    assert [each["text"] for each in scene.person.tt("inbox", "--json").json["messages"]] == ["Which port?"]


GRAPH = {
    1: ("Design the API", "done", []),
    2: ("Implement login", "running", ["o/r#1"]),
    3: ("Implement logout", "ready", ["o/r#1", "other/lib#9"]),
    4: (HOSTILE, "pending", ["o/r#2", "o/r#3"]),
}


def test_a_mission_is_a_graph_in_which_what_waits_stands_behind_what_it_waits_for(visit: Visit, scene: Scene) -> None:
    tab = visit()
    tab.log_in()
    tab.is_live()
    expect(tab.page.locator("#missions-section")).to_be_hidden()
    mission = scene.begin_mission(GRAPH)

    shown = tab.page.locator(".mission")
    expect(shown.get_by_role("heading", name=f"Mission {mission[:8]}")).to_be_visible()
    expect(shown).to_contain_text("1 of 4 done")
    boxes = shown.locator(".box")
    expect(boxes).to_have_count(5)
    expect(shown.locator(".line")).to_have_count(5)
    left = {box.locator(".label").text_content(): box.bounding_box()["x"] for box in boxes.all()}
    assert left["Issue #1"] == left["other/lib#9"] < left["Issue #2"] == left["Issue #3"] < left["Issue #4"]
    # In words, for who cannot see the picture, and for what its boxes have no room for.
    waits = shown.locator(".waits > li")
    expect(waits).to_have_count(3)
    expect(waits.filter(has_text="Issue #4")).to_contain_text("its mission is stopped")
    expect(waits.filter(has_text="Issue #4")).to_contain_text("<script>owned='script'</script>")
    assert tab.page.evaluate("typeof owned") == "undefined"

    scene.move_item(mission, 2, WorkItemState.DONE)
    expect(shown).to_contain_text("2 of 4 done")
    expect(boxes.filter(has_text="Issue #2")).to_have_attribute("data-state", "done")
    graph = shown.locator(".graph")
    graph.focus()
    scene.move_item(mission, 3, WorkItemState.RUNNING)
    expect(boxes.filter(has_text="Issue #3")).to_have_attribute("data-state", "running")
    expect(graph).to_be_focused()


def test_a_lost_townhall_is_told_and_found_again_with_what_happened_meanwhile(visit: Visit, scene: Scene) -> None:
    scene.spawn("ada")
    tab = visit()
    tab.log_in()
    expect(tab.agent("ada")).to_be_visible()
    scene.kill_townhall()
    try:
        expect(tab.page.locator("#connection")).to_contain_text("No connection")
        expect(tab.agent("ada")).to_be_visible()
        scene.tt("spawn", "bob", "--cli", "actor")
    finally:
        scene.open_townhall()
    tab.is_live()
    expect(tab.agent("bob")).to_be_visible()
    tab.expected("ERR_")


def test_what_agents_write_is_shown_as_text_and_nothing_of_it_runs(visit: Visit, scene: Scene) -> None:
    tab = visit()
    tab.log_in()
    scene.spawn("mallory", nickname=HOSTILE[:40], role="<b>bold</b>")
    scene.assign("mallory", f"task {HOSTILE}", "<i>tag</i>")
    (scene.stage / "hostile").write_text(f"said {HOSTILE}\n\x1b]0;title\x07\x1b[2J" + "w" * 5000 + "\n")
    with scene.lines("mallory") as cli:
        cli.do(f'cat {scene.stage}/hostile; tt send conductor --query "asked $(head -1 {scene.stage}/hostile)"')
        expect(tab.letters("asked said")).to_contain_text(HOSTILE)
        mallory = tab.agent("mallory")
        expect(mallory.locator(".doing")).to_contain_text("task <img src=x")
        expect(mallory.locator("h3")).to_have_text(HOSTILE[:40])
        mallory.get_by_text("Output").click()
        expect(mallory.locator("pre")).to_contain_text("<script>owned='script'</script></pre></textarea>")
        expect(tab.column("Running")).to_contain_text("<i>tag</i>")
    expect(tab.column("Completed")).to_contain_text("<img src=x onerror=")

    for tag, count in (("img", 1), ("script", 1), ("svg", 0), ("i, b", 0), ("a", 1)):
        expect(tab.page.locator(tag)).to_have_count(count)
    assert tab.page.evaluate("typeof owned") == "undefined"
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_everything_can_be_done_by_the_keyboard(visit: Visit, scene: Scene) -> None:
    scene.spawn("ada")
    for question in ("First?", "Second?"):
        scene.ask("ada", question)
    tab = visit()
    keys = tab.page.keyboard
    expect(tab.page.get_by_label("Token or key")).to_be_focused()
    keys.insert_text(scene.token)
    keys.press("Enter")
    expect(tab.letters()).to_have_count(2)

    def go_to(what: str) -> None:
        """Press Tab until this has the focus, and see that it shows it."""
        for _ in range(40):
            keys.press("Tab")
            if tab.page.evaluate("(what) => document.activeElement.matches(what)", what):
                break
        focused = tab.page.locator(":focus")
        expect(focused).to_have_css("outline-style", "solid")
        assert tab.page.evaluate("(what) => document.activeElement.matches(what)", what)

    go_to("textarea")
    keys.insert_text("Yes")
    keys.press("Control+Enter")
    expect(tab.letters()).to_have_count(1)
    # The focus is at the next question.
    expect(tab.letters("Second?").get_by_role("textbox")).to_be_focused()
    keys.insert_text("No")
    keys.press("Tab")
    keys.press("Enter")
    expect(tab.letters()).to_have_count(0)
    expect(tab.page.get_by_role("heading", name="Your inbox")).to_be_focused()
    go_to(".agent summary")
    keys.press("Enter")
    expect(tab.agent("ada").locator("pre")).to_be_visible()
    keys.press("Shift+Tab")
    go_to(".agent pre")
    for _ in range(40):
        keys.press("Shift+Tab")
        if tab.page.get_by_role("button", name="Log out").evaluate("(each) => each === document.activeElement"):
            break
    keys.press("Enter")
    expect(tab.page.get_by_label("Token or key")).to_be_focused()


def play_a_day(scene: Scene, stack: ExitStack) -> None:
    """Some agents in the middle of some work."""
    for name, role in (("ada", "backend"), ("bob", "frontend"), ("cleo", "tester"), ("dan", "reviewer")):
        scene.spawn(name, role=role)
    scene.post("agents/dan/interrupt")
    scene.assign(
        "ada",
        "Implement the login API: POST /login takes a name and a password, answers with a token, and refuses after "
        "five wrong passwords in a minute.",
        "api",
        "auth",
    )
    scene.assign("bob", "Draw the login page as in the sketch")
    scene.assign("cleo", "Write the tests of the login API")
    scene.assign("cleo", "Measure how many logins a second the API can take")
    scene.post("backlog", description="Translate the messages", tags=["docs"])
    scene.begin_mission(
        {
            23: ("Design the login API", "done", []),
            24: ("Implement the login API", "running", ["o/r#23"]),
            25: ("Draw the login page", "running", ["o/r#23", "o/assets#7"]),
            26: ("Write the tests of the login", "pending", ["o/r#24", "o/r#25"]),
        }
    )
    with scene.lines("bob") as bob:
        bob.do('tt send conductor --query "The sketch has no dark colours. Shall the page follow the system?"')
        bob.do('tt task complete "$(tt task current --json | grep -o "[0-9a-f-]\\{36\\}" | head -1)" --result "Done."')
    ada, cleo = stack.enter_context(scene.lines("ada")), stack.enter_context(scene.lines("cleo"))
    ada.do("echo src/login.py: counting wrong passwords")
    cleo.do("echo tests/test_login.py: 12 passed")


def test_it_fits_a_phone_and_a_wide_screen_by_day_and_by_night(visit: Visit, scene: Scene) -> None:
    with ExitStack() as stack:
        play_a_day(scene, stack)
        for width, height, scheme in (
            (1440, 960, "light"),
            (1440, 960, "dark"),
            (320, 640, "light"),
            (320, 640, "dark"),
        ):
            tab = visit(width=width, height=height, scheme=scheme)
            assert tab.low_contrasts() == []
            tab.log_in()
            expect(tab.agent("ada").locator(".now")).to_contain_text("src/login.py")
            expect(tab.agent("cleo").locator(".now")).to_contain_text("12 passed")
            expect(tab.letters("The sketch")).to_be_visible()
            assert tab.page.evaluate("document.documentElement.scrollWidth") == width
            assert tab.low_contrasts() == []
            if os.environ.get("RECORD_SCREENSHOTS"):
                PICTURES.mkdir(exist_ok=True)
                tab.page.screenshot(path=PICTURES / f"dashboard-{width}-{scheme}.png")
            tab.page.get_by_role("button", name="Log out").click()
