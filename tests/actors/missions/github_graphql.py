"""The GraphQL interface of the tests' GitHub: so much of the language as our queries use, and what a query costs.

A field that is not there is refused as GitHub does (`undefinedField`), so a query with a slip in it answers nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from github_state import Check, Issue, Pull, Repo, Said, World, iso

_TOKEN = re.compile(r'\s*(?:(\.\.\.|[{}():,])|("(?:[^"\\]|\\.)*")|(-?\d+)|([A-Za-z_]\w*))')


class BadQuery(Exception):
    """The query is answered with this error and no data."""

    def __init__(self, message: str, code: str = "parseError") -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Selection:
    """A field; or with `on` the fields of a type, or of a fragment when `name` is empty too."""

    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: list[Selection] = field(default_factory=list)
    on: str | None = None


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at, text = 0, text.strip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise BadQuery(f"Parse error on {text[at : at + 10]!r}")
            at = found.end()
            self.tokens.append(found[0].strip())
        self.tokens = [token for token in self.tokens if token != ","]
        self.fragments: dict[str, list[Selection]] = {}

    def document(self) -> list[Selection]:
        query: list[Selection] = []
        while self.tokens:
            kind = self.take()
            if kind == "fragment":
                name = self.take()
                self.take("on")
                self.take()
                self.fragments[name] = self.selections()
            elif kind == "query":
                query = self.selections()
            else:
                raise BadQuery(f"Parse error on {kind!r}")
        return query

    def take(self, wanted: str | None = None) -> str:
        if not self.tokens or wanted not in (None, self.tokens[0]):
            raise BadQuery(f"Parse error: expected {wanted!r} at {self.tokens[:1]}")
        return self.tokens.pop(0)

    def selections(self) -> list[Selection]:
        self.take("{")
        found: list[Selection] = []
        while self.tokens[:1] != ["}"]:
            found.append(self.selection())
        self.take("}")
        return found

    def selection(self) -> Selection:
        name = self.take()
        if name == "...":
            if self.tokens[0] == "on":
                self.take()
                kind = self.take()
                return Selection("", "", fields=self.selections(), on=kind)
            return Selection(self.take(), "", on="")
        alias = name
        if self.tokens[:1] == [":"]:
            self.take()
            name = self.take()
        made = Selection(name, alias)
        if self.tokens[:1] == ["("]:
            self.take()
            while self.tokens[0] != ")":
                argument = self.take()
                self.take(":")
                value = self.take()
                made.arguments[argument] = json.loads(value) if value[0] in '"-0123456789' else value
            self.take(")")
        if self.tokens[:1] == ["{"]:
            made.fields = self.selections()
        return made


def ask(world: World, query: str, *, without: frozenset[str] = frozenset()) -> tuple[dict[str, Any], int]:
    """What a query answers, and its points. `without` are fields that this GitHub is too old for."""
    try:
        parser = _Parser(query)
        selected = parser.document()
        points = max(1, round(_requests(selected, parser.fragments, 1) / 100))
        run = _Run(parser.fragments, without)
        data = run.object(_root(world, points), selected)
    except BadQuery as error:
        return {"errors": [{"message": str(error), "extensions": {"code": error.code}}]}, 1
    return {"data": data, **({"errors": run.errors} if run.errors else {})}, points


def _requests(fields: list[Selection], fragments: dict[str, list[Selection]], times: int) -> int:
    """GitHub's own count: each connection is asked for as often as what is around it may have entries."""
    total = 0
    for each in fields:
        inner = fragments.get(each.name, []) if each.on == "" else each.fields
        most = each.arguments.get("first") or each.arguments.get("last")
        total += (times if most else 0) + _requests(inner, fragments, times * (most or 1))
    return total


@dataclass
class _Run:
    fragments: dict[str, list[Selection]]
    without: frozenset[str]
    errors: list[dict[str, Any]] = field(default_factory=list)

    def object(self, value: dict[str, Any], fields: list[Selection]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for each in fields:
            if each.on == "":
                if each.name not in self.fragments:
                    raise BadQuery(f"Fragment {each.name} was used, but not defined")
                found |= self.object(value, self.fragments[each.name])
            elif each.on is not None:
                if each.on == value.get("__typename"):
                    found |= self.object(value, each.fields)
            else:
                found[each.alias] = self.field(value, each)
        return found

    def field(self, value: dict[str, Any], wanted: Selection) -> Any:
        raw = value.get("__raw", {})
        if wanted.alias in raw:
            return raw[wanted.alias]
        if wanted.name not in value or wanted.name in self.without:
            kind = value.get("__typename")
            raise BadQuery(f"Field '{wanted.name}' doesn't exist on type '{kind}'", "undefinedField")
        found = value[wanted.name]
        if callable(found):
            found = found(wanted.arguments)
            if found is None:
                what = {"repository": "a Repository", "issue": "an Issue"}.get(wanted.name, "a node")
                self.errors.append(
                    {"type": "NOT_FOUND", "path": [wanted.alias], "message": f"Could not resolve to {what}"}
                )
        if (isinstance(found, list) and found and isinstance(found[0], dict)) or found == []:
            return [self.object(each, wanted.fields) for each in found]
        if isinstance(found, dict):
            if not wanted.fields:
                raise BadQuery(f"Field must have selections (field '{wanted.name}')", "selectionMismatch")
            return self.object(found, wanted.fields)
        return found


def _root(world: World, points: int) -> dict[str, Any]:
    def repository(arguments: dict[str, Any]) -> dict[str, Any] | None:
        repo = world.repos.get(f"{arguments['owner']}/{arguments['name']}".lower())
        return None if repo is None else _repository(repo)

    limit = {"cost": points, "remaining": 5000, "resetAt": iso(world.now + 3600), "used": points}
    return {"__typename": "Query", "rateLimit": {"__typename": "RateLimit", **limit}, "repository": repository}


def _repository(repo: Repo) -> dict[str, Any]:
    def pull(arguments: dict[str, Any]) -> dict[str, Any] | None:
        found = repo.pulls.get(arguments["number"])
        return None if found is None else pull_node(found)

    def issue(arguments: dict[str, Any]) -> dict[str, Any] | None:
        found = repo.issues.get(arguments["number"])
        return None if found is None else issue_node(found)

    return {
        "__typename": "Repository",
        "nameWithOwner": repo.full_name,
        "pullRequest": pull,
        "issue": issue,
        "issueOrPullRequest": lambda arguments: issue(arguments) or pull(arguments),
    }


def issue_node(issue: Issue) -> dict[str, Any]:
    names = [each["name"] if isinstance(each, dict) else each for each in issue.labels]

    def blocked_by(arguments: dict[str, Any]) -> dict[str, Any]:
        keys = (each.partition("#") for each in issue.blocked_by)
        return _connection(
            [issue_node(issue.repo.world.repo(name).issues[int(number)]) for name, _, number in keys], arguments
        )

    return {
        "__typename": "Issue",
        "id": f"I_{issue.repo.full_name}_{issue.number}",
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "url": f"https://github.com/{issue.repo.full_name}/issues/{issue.number}",
        "state": issue.state.upper(),
        "stateReason": issue.reason.upper() if issue.reason else None,
        "author": _actor(issue.author),
        "authorAssociation": issue.association,
        "labels": lambda arguments: _connection([{"__typename": "Label", "name": each} for each in names], arguments),
        "blockedBy": blocked_by,
        "repository": {"__typename": "Repository", "nameWithOwner": issue.repo.full_name},
    }


def pull_node(pull: Pull) -> dict[str, Any]:
    checks = pull.checks
    rollup = {
        "__typename": "StatusCheckRollup",
        "state": pull.rollup,
        "contexts": lambda arguments: _connection([_check(each) for each in checks], arguments),
    }
    commit = {"__typename": "Commit", "oid": pull.head, "statusCheckRollup": rollup if checks else None}
    commits = [{"__typename": "PullRequestCommit", "commit": commit}]
    reviews = [
        {
            "__typename": "PullRequestReview",
            "id": f"R_{each.id}",
            "state": each.state,
            "submittedAt": iso(each.at),
            "author": _actor(each.author),
            "commit": {"__typename": "Commit", "oid": each.commit},
        }
        for each in pull.opinions()
    ]
    return {
        "__typename": "PullRequest",
        "__raw": pull.raw,
        "id": f"PR_{pull.key}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "url": f"https://github.com/{pull.repo.full_name}/pull/{pull.number}",
        "state": "MERGED" if pull.merged else pull.state.upper(),
        "merged": pull.merged,
        "isDraft": pull.draft,
        "updatedAt": iso(pull.updated),
        "headRefOid": pull.head,
        "headRefName": pull.branch,
        "baseRefName": pull.base,
        "isCrossRepository": pull.foreign,
        "mergeable": "CONFLICTING" if pull.conflicting else "UNKNOWN" if pull.merged else "MERGEABLE",
        "mergeStateStatus": pull.merge_state,
        "reviewDecision": pull.decision,
        "author": _actor(pull.author),
        "commits": lambda arguments: _connection(commits, arguments),
        "latestOpinionatedReviews": lambda arguments: _connection(reviews, arguments),
        "reviewThreads": lambda arguments: _connection([_thread(each) for each in pull.threads], arguments),
        "comments": lambda arguments: _connection([_comment(each) for each in pull.comments], arguments),
    }


def _check(check: Check) -> dict[str, Any]:
    if check.legacy:
        return {"__typename": "StatusContext", "context": check.name, "state": check.conclusion}
    return {
        "__typename": "CheckRun",
        "name": check.name,
        "status": check.status,
        "conclusion": check.conclusion or "",
    }


def _thread(said: Said) -> dict[str, Any]:
    return {
        "__typename": "PullRequestReviewThread",
        "id": f"T_{said.id}",
        "isResolved": said.resolved,
        "isOutdated": said.outdated,
        "path": said.path,
        "line": 1,
        "comments": lambda arguments: _connection([_comment(said)], arguments),
    }


def _comment(said: Said) -> dict[str, Any]:
    return {
        "__typename": "Comment",
        "id": f"C_{said.id}",
        "databaseId": said.id,
        "author": _actor(said.author, bot=said.bot),
        "body": said.body,
        "createdAt": iso(said.at),
        "url": f"https://github.com/comment/{said.id}",
    }


def _actor(login: str, *, bot: bool = False) -> dict[str, Any]:
    return {"__typename": "Bot" if bot else "User", "login": login}


def _connection(nodes: list[dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    if "first" not in arguments and "last" not in arguments:
        raise BadQuery("You must provide a `first` or `last` value to properly paginate", "missingArguments")
    shown = nodes[: arguments["first"]] if "first" in arguments else nodes[-arguments["last"] :]
    return {
        "__typename": "Connection",
        "totalCount": len(nodes),
        "nodes": shown,
        "pageInfo": {"__typename": "PageInfo", "hasNextPage": len(shown) < len(nodes), "endCursor": None},
    }
