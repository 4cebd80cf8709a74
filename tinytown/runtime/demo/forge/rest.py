"""The REST interface of the forge: which address is answered by what. No I/O.

A rule is a function of the repository, what the path holds, and the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge import documents as doc
from tinytown.runtime.demo.forge.commits import Check
from tinytown.runtime.demo.forge.exchange import Answer, Asked
from tinytown.runtime.demo.forge.pulls import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from tinytown.messages import JsonObject
    from tinytown.runtime.demo.forge.answering import Forge
    from tinytown.runtime.demo.forge.repository import Repo

    _Rule: TypeAlias = "Callable[[Repo, str, Asked], Answer]"

_REPO = re.compile(r"/repos/([^/]+/[^/]+)(/.*)?")
_PER_PAGE = 30
_NOT_FOUND = Answer(404, {"message": "Not Found"})


def answer(forge: Forge, asked: Asked) -> Answer:
    """What the REST interface says; what is private is not there for nobody in particular."""
    found = _REPO.fullmatch(asked.path)
    repo = forge.repos.get(found[1].lower()) if found else None
    if found is None or repo is None or (repo.private and not asked.login):
        return _NOT_FOUND
    for method, path, rule in _RULES:
        if method == asked.method and (part := path.fullmatch(found[2] or "")):
            try:
                return rule(repo, "".join(part.groups()), asked)
            except KeyError:
                return _NOT_FOUND
            except Refused as refused:
                return Answer(refused.status, {"message": str(refused)})
    return _NOT_FOUND


def _listed(found: Sequence[JsonObject], asked: Asked, name: str | None = None) -> Answer:
    """A page of a list, which in some answers has a name."""
    size, page = int(asked.query.get("per_page", _PER_PAGE)), int(asked.query.get("page", 1))
    shown = list(found[(page - 1) * size : page * size])
    headers = {"Link": f'<{asked.page(page + 1)}>; rel="next"'} if page * size < len(found) else {}
    return Answer(200, [*shown] if name is None else {"total_count": len(found), name: [*shown]}, headers)


def _text(asked: Asked, name: str, default: str = "") -> str:
    return str(asked.body.get(name) or default)


def _expected(asked: Asked, name: str) -> str | None:
    """The head that a change is for, where it says so."""
    return _text(asked, name) or None


def _repository(repo: Repo, _part: str, _asked: Asked) -> Answer:
    return Answer(200, doc.repository(repo))


def _issue(repo: Repo, number: str, _asked: Asked) -> Answer:
    pull = repo.pulls.get(int(number))
    return Answer(200, doc.issue(repo.issues[int(number)]) if pull is None else doc.pull_as_issue(pull))


def _change_issue(repo: Repo, number: str, asked: Asked) -> Answer:
    issue = repo.issues[int(number)]
    if asked.body.get("state") == "closed":
        issue.close(_text(asked, "state_reason", "completed"))
    return Answer(200, doc.issue(issue))


def _blocked_by(repo: Repo, number: str, asked: Asked) -> Answer:
    keys = (key.partition("#") for key in repo.issues[int(number)].blocked_by)
    return _listed([doc.issue(repo.forge.repos[name.lower()].issues[int(of)]) for name, _, of in keys], asked)


def _comments(repo: Repo, number: str, asked: Asked) -> Answer:
    of = repo.pulls.get(int(number)) or repo.issues[int(number)]
    return _listed([doc.comment(each) for each in of.comments], asked)


def _comment(repo: Repo, number: str, asked: Asked) -> Answer:
    of = repo.pulls.get(int(number)) or repo.issues[int(number)]
    return Answer(201, doc.comment(of.comment(asked.login, _text(asked, "body"))))


def _pulls(repo: Repo, _part: str, asked: Asked) -> Answer:
    state, head = asked.query.get("state", "open"), asked.query.get("head")
    found = [
        pull
        for pull in sorted(repo.pulls.values(), key=lambda each: -each.number)
        if state in ("all", pull.state)
        and head in (None, f"{'somebody' if pull.foreign else repo.owner}:{pull.branch}")
    ]
    if asked.query.get("sort") == "updated":
        found.sort(key=lambda each: -each.updated)
    return _listed([doc.pull(each) for each in found], asked)


def _open_pull(repo: Repo, _part: str, asked: Asked) -> Answer:
    branch = _text(asked, "head").rpartition(":")[2]
    if branch not in repo.branches:
        raise Refused(422, f"Validation Failed: there is no branch {branch}")
    pull = repo.pull(
        branch,
        title=_text(asked, "title"),
        body=_text(asked, "body"),
        author=asked.login,
        base=_text(asked, "base") or None,
        draft=asked.body.get("draft") is True,
    )
    return Answer(201, doc.pull(pull))


def _pull(repo: Repo, number: str, _asked: Asked) -> Answer:
    return Answer(200, doc.whole_pull(repo.pulls[int(number)]))


def _change_pull(repo: Repo, number: str, asked: Asked) -> Answer:
    pull = repo.pulls[int(number)]
    if asked.body.get("state") == "closed" and pull.state == "open":
        pull.close()
    return Answer(200, doc.whole_pull(pull))


def _reviews(repo: Repo, number: str, asked: Asked) -> Answer:
    return _listed([doc.review(each) for each in repo.pulls[int(number)].reviews], asked)


def _review(repo: Repo, number: str, asked: Asked) -> Answer:
    states = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
    state = states[_text(asked, "event", "COMMENT")]
    return Answer(200, doc.review(repo.pulls[int(number)].review(asked.login, state, _expected(asked, "commit_id"))))


def _line_comments(repo: Repo, number: str, asked: Asked) -> Answer:
    threads = repo.pulls[int(number)].threads
    return _listed([each for thread in threads for each in doc.line_comments(thread)], asked)


def _merge(repo: Repo, number: str, asked: Asked) -> Answer:
    made = repo.pulls[int(number)].merge(_expected(asked, "sha"), _text(asked, "merge_method", "merge"))
    return Answer(200, {"sha": made, "merged": True, "message": "Pull Request successfully merged"})


def _update_branch(repo: Repo, number: str, asked: Asked) -> Answer:
    repo.pulls[int(number)].update_branch(_expected(asked, "expected_head_sha"))
    return Answer(202, {"message": "Updating pull request branch."})


def _check_runs(repo: Repo, sha: str, asked: Asked) -> Answer:
    runs = [doc.check_run(each) for each in repo.commit(sha).checks if not each.legacy]
    return _listed(runs, asked, "check_runs")


def _statuses(repo: Repo, sha: str, _asked: Asked) -> Answer:
    return Answer(200, doc.combined_status(repo.commit(sha)))


def _suites(repo: Repo, sha: str, asked: Asked) -> Answer:
    commit = repo.commit(sha)
    return _listed([doc.suite(commit, repo.forge.clock())] * commit.suites, asked, "check_suites")


def _note_status(repo: Repo, sha: str, asked: Asked) -> Answer:
    state = _text(asked, "state")
    repo.commit(sha).note(Check(_text(asked, "context", "default"), state.upper(), legacy=True))
    return Answer(201, {"state": state, "context": _text(asked, "context", "default")})


def _runs(repo: Repo, _part: str, asked: Asked) -> Answer:
    head = asked.query.get("head_sha")
    commits = [commit for commit in repo.commits.values() if head in (None, commit.sha)]
    runs = dict.fromkeys((check.run, commit.sha) for commit in commits for check in commit.checks if check.run)
    return _listed([doc.workflow_run(run, repo.commit(sha)) for run, sha in runs], asked, "workflow_runs")


def _rerun(repo: Repo, run: str, _asked: Asked) -> Answer:
    repo.rerun(int(run))
    return Answer(201, {})


def _push(repo: Repo, branch: str, asked: Asked) -> Answer:
    """Make a branch or move it: what `git push` would do."""
    branch = branch or _text(asked, "ref").removeprefix("refs/heads/")
    repo.pushed(branch, _text(asked, "sha"))
    return Answer(201 if asked.method == "POST" else 200, doc.reference(branch, repo.branches[branch]))


def _branch(repo: Repo, branch: str, _asked: Asked) -> Answer:
    return Answer(200, doc.reference(branch, repo.branches[branch]))


_RULES: tuple[tuple[str, re.Pattern[str], _Rule], ...] = tuple(
    (method, re.compile(path), rule)
    for method, path, rule in (
        ("GET", r"", _repository),
        ("GET", r"/issues/(\d+)", _issue),
        ("PATCH", r"/issues/(\d+)", _change_issue),
        ("GET", r"/issues/(\d+)/dependencies/blocked_by", _blocked_by),
        ("GET", r"/issues/(\d+)/comments", _comments),
        ("POST", r"/issues/(\d+)/comments", _comment),
        ("GET", r"/pulls", _pulls),
        ("POST", r"/pulls", _open_pull),
        ("GET", r"/pulls/(\d+)", _pull),
        ("PATCH", r"/pulls/(\d+)", _change_pull),
        ("GET", r"/pulls/(\d+)/reviews", _reviews),
        ("POST", r"/pulls/(\d+)/reviews", _review),
        ("GET", r"/pulls/(\d+)/comments", _line_comments),
        ("PUT", r"/pulls/(\d+)/merge", _merge),
        ("PUT", r"/pulls/(\d+)/update-branch", _update_branch),
        ("GET", r"/commits/([^/]+)/check-runs", _check_runs),
        ("GET", r"/commits/([^/]+)/status", _statuses),
        ("GET", r"/commits/([^/]+)/check-suites", _suites),
        ("POST", r"/statuses/([^/]+)", _note_status),
        ("GET", r"/actions/runs", _runs),
        ("POST", r"/actions/runs/(\d+)/rerun(?:-failed-jobs)?", _rerun),
        ("POST", r"/git/refs", _push),
        ("PATCH", r"/git/refs/heads/(.+)", _push),
        ("GET", r"/git/ref/heads/(.+)", _branch),
    )
)
