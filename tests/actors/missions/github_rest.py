"""The REST interface of the tests' GitHub: what its paths answer, and what a change does.

A route is a function of (world, what the path holds, the request); `answer` finds it. Lists are paged and everything
read has an ETag, which `github_server` adds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from github_state import Issue, Pull, Refused, Repo, Review, Said, World, iso


@dataclass
class Asked:
    """A request: who sent it, what the path holds, what the query and the body say."""

    login: str
    path: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]
    base: str = ""


@dataclass
class Answer:
    status: int
    value: Any
    headers: dict[str, str] = field(default_factory=dict)


_Route = Callable[[Repo, Asked], Any]
_ROUTES: list[tuple[str, re.Pattern[str], int, _Route]] = []


def route(method: str, path: str, status: int = 200) -> Callable[[_Route], _Route]:
    """What answers a path below `/repos/OWNER/NAME`; `{name}` stands for a part of it."""
    pattern = re.compile("/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)" + re.sub(r"{(\w+)}", r"(?P<\1>[^/?]+)", path))

    def keep(function: _Route) -> _Route:
        _ROUTES.append((method, pattern, status, function))
        return function

    return keep


def answer(world: World, method: str, target: str, body: bytes, *, login: str = "worker", base: str = "") -> Answer:
    """What GitHub answers to a request; `base` is its own address."""
    address = urlsplit(target)
    for wanted, pattern, status, function in _ROUTES:
        found = pattern.fullmatch(address.path) if wanted == method else None
        if found is None:
            continue
        repo = world.repos.get(f"{found['owner']}/{found['repo']}".lower())
        if repo is None or (repo.private and not login):
            break
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        asked = Asked(login, found.groupdict(), query, json.loads(body or b"{}"), base + target)
        try:
            value = function(repo, asked)
        except Refused as refused:
            return Answer(refused.status, {"message": str(refused)})
        except KeyError:
            break
        return _paged(value, asked) if isinstance(value, list) else Answer(status, value)
    return Answer(404, {"message": "Not Found"})


def _paged(values: list[Any], asked: Asked) -> Answer:
    size, page = int(asked.query.get("per_page", 30)), int(asked.query.get("page", 1))
    headers = {}
    if len(values) > page * size:
        rest = re.sub(r"([?&])page=\d+&?", r"\1", asked.base).rstrip("?&")
        headers["Link"] = f'<{rest}{"&" if "?" in rest else "?"}page={page + 1}>; rel="next"'
    return Answer(200, values[(page - 1) * size : page * size], headers)


def issue_json(issue: Issue) -> dict[str, Any]:
    return {
        "id": issue.number + 1000,
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "state_reason": issue.reason,
        "user": _user(issue.author),
        "author_association": issue.association,
        "labels": [each if isinstance(each, dict) else {"name": each} for each in issue.labels],
        "html_url": f"https://github.com/{issue.repo.full_name}/issues/{issue.number}",
        "issue_dependencies_summary": {"total_blocked_by": len(issue.blocked_by)},
        **issue.raw,
    }


def pull_json(pull: Pull) -> dict[str, Any]:
    owner = "somebody" if pull.foreign else pull.repo.owner
    return {
        "id": pull.number + 2000,
        "node_id": f"PR_{pull.key}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "draft": pull.draft,
        "merged_at": iso(pull.updated) if pull.merged else None,
        "merge_commit_sha": pull.merge_commit,
        "updated_at": iso(pull.updated),
        "user": _user(pull.author),
        "html_url": f"https://github.com/{pull.repo.full_name}/pull/{pull.number}",
        "head": {"ref": pull.branch, "sha": pull.head, "repo": {"full_name": f"{owner}/{pull.repo.name}"}},
        "base": {"ref": pull.base, "repo": {"full_name": pull.repo.full_name}},
    }


@route("GET", "")
def _repository(repo: Repo, asked: Asked) -> Any:
    allowed = {"squash": "allow_squash_merge", "merge": "allow_merge_commit", "rebase": "allow_rebase_merge"}
    return {
        "full_name": repo.full_name,
        "default_branch": repo.default_branch,
        **{name: method in repo.methods for method, name in allowed.items()},
    }


@route("GET", "/issues/{number}")
def _issue(repo: Repo, asked: Asked) -> Any:
    number = int(asked.path["number"])
    if number in repo.pulls:
        pull = repo.pulls[number]
        merged = {"merged_at": iso(pull.updated) if pull.merged else None}
        return {**pull_json(pull), "state_reason": None, "pull_request": {"url": "x", **merged}, "labels": []}
    return issue_json(repo.issues[number])


@route("GET", "/issues/{number}/dependencies/blocked_by")
def _blocked_by(repo: Repo, asked: Asked) -> Any:
    keys = (key.partition("#") for key in repo.issues[int(asked.path["number"])].blocked_by)
    return [issue_json(repo.world.repo(name).issues[int(number)]) for name, _, number in keys]


@route("PATCH", "/issues/{number}")
def _edit_issue(repo: Repo, asked: Asked) -> Any:
    issue = repo.issues[int(asked.path["number"])]
    if asked.body.get("state") == "closed":
        issue.close(asked.body.get("state_reason", "completed"))
    return issue_json(issue)


@route("GET", "/issues/{number}/comments")
def _comments(repo: Repo, asked: Asked) -> Any:
    return [_comment_json(each) for each in repo.pulls[int(asked.path["number"])].comments]


@route("POST", "/issues/{number}/comments", 201)
def _say(repo: Repo, asked: Asked) -> Any:
    return _comment_json(repo.pulls[int(asked.path["number"])].comment(asked.login, asked.body["body"]))


@route("GET", "/pulls")
def _pulls(repo: Repo, asked: Asked) -> Any:
    found = sorted(repo.pulls.values(), key=lambda each: -each.number)
    state, head = asked.query.get("state", "open"), asked.query.get("head")
    if state != "all":
        found = [each for each in found if each.state == state]
    if head is not None:
        found = [each for each in found if f"{'somebody' if each.foreign else repo.owner}:{each.branch}" == head]
    if asked.query.get("sort") == "updated":
        found.sort(key=lambda each: -each.updated)
    return [pull_json(each) for each in found]


@route("POST", "/pulls", 201)
def _open_pull(repo: Repo, asked: Asked) -> Any:
    body = asked.body
    made = repo.pull(
        body["head"],
        title=body["title"],
        body=body.get("body", ""),
        base=body.get("base", repo.default_branch),
        author=asked.login,
        draft=body.get("draft", False),
    )
    return pull_json(made)


@route("GET", "/pulls/{number}")
def _pull(repo: Repo, asked: Asked) -> Any:
    pull = repo.pulls[int(asked.path["number"])]
    mergeable = None if pull.merged else not pull.conflicting
    return {
        **pull_json(pull),
        "merged": pull.merged,
        "mergeable": mergeable,
        "mergeable_state": pull.merge_state.lower(),
    }


@route("PATCH", "/pulls/{number}")
def _edit_pull(repo: Repo, asked: Asked) -> Any:
    pull = repo.pulls[int(asked.path["number"])]
    if asked.body.get("state") == "closed":
        pull.close()
    return pull_json(pull)


@route("PUT", "/pulls/{number}/merge")
def _merge(repo: Repo, asked: Asked) -> Any:
    pull = repo.pulls[int(asked.path["number"])]
    sha = pull.merge(asked.body.get("sha"), asked.body.get("merge_method", "merge"))
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("PUT", "/pulls/{number}/update-branch", 202)
def _update_branch(repo: Repo, asked: Asked) -> Any:
    repo.pulls[int(asked.path["number"])].update_branch(asked.body.get("expected_head_sha"))
    return {"message": "Updating pull request branch.", "url": "x"}


@route("GET", "/pulls/{number}/reviews")
def _reviews(repo: Repo, asked: Asked) -> Any:
    return [_review_json(each) for each in repo.pulls[int(asked.path["number"])].reviews]


@route("POST", "/pulls/{number}/reviews")
def _review(repo: Repo, asked: Asked) -> Any:
    states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    pull = repo.pulls[int(asked.path["number"])]
    return _review_json(pull.review(asked.login, states[asked.body["event"]], asked.body.get("commit_id")))


@route("GET", "/pulls/{number}/comments")
def _review_comments(repo: Repo, asked: Asked) -> Any:
    threads = repo.pulls[int(asked.path["number"])].threads
    return [
        {**_comment_json(each), "path": each.path, "position": None if each.outdated else 1, "in_reply_to_id": None}
        for each in threads
    ]


@route("POST", "/git/refs", 201)
def _push_new(repo: Repo, asked: Asked) -> Any:
    repo.pushed(asked.body["ref"].removeprefix("refs/heads/"), asked.body["sha"])
    return {"ref": asked.body["ref"], "object": {"sha": asked.body["sha"]}}


@route("POST", "/statuses/{sha}", 201)
def _status(repo: Repo, asked: Asked) -> Any:
    for pull in repo.pulls.values():
        if pull.head == asked.path["sha"]:
            pull.check(asked.body["context"], asked.body["state"].upper(), legacy=True)
    return {"state": asked.body["state"], "context": asked.body["context"]}


@route("GET", "/commits/{sha}/check-runs")
def _check_runs(repo: Repo, asked: Asked) -> Any:
    runs = [
        {
            "name": each.name,
            "status": each.status.lower(),
            "conclusion": each.conclusion.lower() if each.conclusion else None,
        }
        for each in repo.checks.get(asked.path["sha"], [])
        if not each.legacy
    ]
    return {"total_count": len(runs), "check_runs": runs}


@route("GET", "/commits/{sha}/status")
def _combined_status(repo: Repo, asked: Asked) -> Any:
    states = [
        {"context": each.name, "state": (each.conclusion or "PENDING").lower()}
        for each in repo.checks.get(asked.path["sha"], [])
        if each.legacy
    ]
    return {"state": "pending", "total_count": len(states), "statuses": states}


@route("GET", "/commits/{sha}/check-suites")
def _suites(repo: Repo, asked: Asked) -> Any:
    count = repo.suites.get(asked.path["sha"], 0)
    runs = sum(not each.legacy for each in repo.checks.get(asked.path["sha"], []))
    suite = {
        "status": "queued",
        "latest_check_runs_count": runs,
        "created_at": iso(repo.world.now),
        "app": {"slug": "ci"},
    }
    return {"total_count": count, "check_suites": [suite] * count}


@route("GET", "/actions/runs")
def _runs(repo: Repo, asked: Asked) -> Any:
    head = asked.query.get("head_sha")
    found = [_run_json(repo, run) for run, commit in repo.runs.items() if head in (None, commit)]
    return {"total_count": len(found), "workflow_runs": found}


@route("POST", "/actions/runs/{run}/rerun-failed-jobs", 201)
def _rerun(repo: Repo, asked: Asked) -> Any:
    repo.rerun(int(asked.path["run"]))
    return {}


def _run_json(repo: Repo, run: int) -> dict[str, Any]:
    jobs = [each for each in repo.checks[repo.runs[run]] if each.run == run]
    ended = all(each.status == "COMPLETED" for each in jobs)
    worst = next((each.conclusion for each in jobs if each.conclusion != "SUCCESS"), "SUCCESS")
    return {
        "id": run,
        "head_sha": repo.runs[run],
        "status": "completed" if ended else "in_progress",
        "conclusion": (worst or "success").lower() if ended else None,
    }


def _review_json(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "node_id": f"R_{review.id}",
        "state": review.state,
        "user": _user(review.author),
        "commit_id": review.commit,
        "submitted_at": iso(review.at),
    }


def _comment_json(said: Said) -> dict[str, Any]:
    return {
        "id": said.id,
        "node_id": f"C_{said.id}",
        "user": _user(said.author, bot=said.bot),
        "body": said.body,
        "created_at": iso(said.at),
        "html_url": f"https://github.com/comment/{said.id}",
    }


def _user(login: str, *, bot: bool = False) -> dict[str, Any]:
    return {"login": f"{login}[bot]" if bot else login, "type": "Bot" if bot else "User"}
