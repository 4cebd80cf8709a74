"""What the forge holds, as objects of GitHub's GraphQL schema: those fields of it that missions ask for. No I/O."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge.documents import SITE
from tinytown.runtime.demo.forge.exchange import at
from tinytown.runtime.demo.forge.graphql import RAW, Missing, Schema, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinytown.runtime.demo.forge.answering import Forge
    from tinytown.runtime.demo.forge.commits import Check, Commit
    from tinytown.runtime.demo.forge.graphql import Arguments, Fields, Value
    from tinytown.runtime.demo.forge.pulls import Pull, Review, Said
    from tinytown.runtime.demo.forge.repository import Issue, Repo


def schema(forge: Forge) -> Schema:
    """What can be asked of a forge."""
    return Schema(partial(_query, forge), {"IssueOrPullRequest": frozenset({"Issue", "PullRequest"})})


def _query(forge: Forge, points: int) -> Fields:

    def repository(given: Arguments) -> Value:
        name = f"{given.get('owner')}/{given.get('name')}"
        repo = forge.repos.get(name.lower())
        if repo is None:
            raise Missing(f"Could not resolve to a Repository with the name '{name}'.")
        return _repository(repo)

    limit: Fields = {
        "__typename": "RateLimit",
        "cost": points,
        "limit": 5000,
        "remaining": 5000,
        "used": points,
        "resetAt": at(forge.clock() + 3600),
    }
    return {"__typename": "Query", "rateLimit": limit, "repository": repository}


def _repository(repo: Repo) -> Fields:
    def issue(number: int) -> Fields | None:
        return _issue(repo.issues[number]) if number in repo.issues else None

    def pull(number: int) -> Fields | None:
        return _pull(repo.pulls[number]) if number in repo.pulls else None

    return {
        "__typename": "Repository",
        "nameWithOwner": repo.full_name,
        "issue": _numbered("an Issue", issue),
        "pullRequest": _numbered("a PullRequest", pull),
        "issueOrPullRequest": _numbered("an issue or pull request", lambda number: issue(number) or pull(number)),
    }


def _numbered(kind: str, find: Callable[[int], Fields | None]) -> Callable[[Arguments], Value]:
    def resolve(given: Arguments) -> Value:
        number = given.get("number")
        found = find(number) if isinstance(number, int) else None
        if found is None:
            raise Missing(f"Could not resolve to {kind} with the number of {number}.")
        return found

    return resolve


def _connection(kind: str, nodes: Sequence[Value]) -> Callable[[Arguments], Value]:
    """A list as a connection: the first or the last so many."""

    def resolve(given: Arguments) -> Value:
        first, last = given.get("first"), given.get("last")
        if isinstance(first, int):
            shown = nodes[:first]
        elif isinstance(last, int):
            shown = nodes[-last:]
        else:
            raise Wrong("You must provide a `first` or `last` value to properly paginate", "missingArguments")
        page: Fields = {"__typename": "PageInfo", "hasNextPage": len(shown) < len(nodes), "endCursor": None}
        return {"__typename": f"{kind}Connection", "totalCount": len(nodes), "nodes": shown, "pageInfo": page}

    return resolve


def _name(repo: Repo) -> Fields:
    return {"__typename": "Repository", "nameWithOwner": repo.full_name}


def _actor(login: str, *, bot: bool = False) -> Fields:
    return {"__typename": "Bot" if bot else "User", "login": login}


def _issue(issue: Issue) -> Fields:
    def blockers(given: Arguments) -> Value:
        keys = (key.partition("#") for key in issue.blocked_by)
        found = [issue.repo.forge.repo(name).issues.get(int(number)) for name, _, number in keys]
        return _connection("Issue", [_issue(each) for each in found if each is not None])(given)

    return {
        "__typename": "Issue",
        "id": f"I_{issue.key}",
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "url": f"{SITE}/{issue.repo.full_name}/issues/{issue.number}",
        "state": issue.state.upper(),
        "stateReason": issue.reason.upper() if issue.reason else None,
        "updatedAt": at(issue.updated),
        "author": _actor(issue.author),
        "authorAssociation": issue.association,
        "repository": _name(issue.repo),
        "labels": _connection("Label", [{"__typename": "Label", "name": label} for label in issue.labels]),
        "blockedBy": blockers,
    }


def _pull(pull: Pull) -> Fields:
    return {
        "__typename": "PullRequest",
        RAW: pull.raw,
        "id": f"PR_{pull.key}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "url": f"{SITE}/{pull.repo.full_name}/pull/{pull.number}",
        "state": "MERGED" if pull.merged else pull.state.upper(),
        "merged": pull.merged,
        "isDraft": pull.draft,
        "isCrossRepository": pull.foreign,
        "updatedAt": at(pull.updated),
        "author": _actor(pull.author),
        "repository": _name(pull.repo),
        "headRefName": pull.branch,
        "headRefOid": pull.head,
        "baseRefName": pull.base,
        "mergeable": "CONFLICTING" if pull.conflicting else "UNKNOWN" if pull.merged else "MERGEABLE",
        "mergeStateStatus": pull.merge_state,
        "reviewDecision": pull.decision,
        "commits": _connection(
            "PullRequestCommit", [{"__typename": "PullRequestCommit", "commit": _commit(pull.commit)}]
        ),
        "latestOpinionatedReviews": partial(_opinions, pull),
        "reviewThreads": _connection("PullRequestReviewThread", [_thread(each) for each in pull.threads]),
        "comments": _connection("IssueComment", [_comment(each, "IssueComment") for each in pull.comments]),
    }


def _opinions(pull: Pull, given: Arguments) -> Value:
    shown = pull.deciding if given.get("writersOnly") is True else pull.opinions
    return _connection("PullRequestReview", [_review(each) for each in shown])(given)


def _commit(commit: Commit) -> Fields:
    rollup: Fields | None = None
    if commit.rollup is not None:
        rollup = {
            "__typename": "StatusCheckRollup",
            "state": commit.rollup,
            "contexts": _connection("StatusCheckRollupContext", [_check(each) for each in commit.checks]),
        }
    return {"__typename": "Commit", "oid": commit.sha, "message": commit.message, "statusCheckRollup": rollup}


def _check(check: Check) -> Fields:
    if check.legacy:
        return {"__typename": "StatusContext", "context": check.name, "state": check.conclusion}
    return {
        "__typename": "CheckRun",
        "name": check.name,
        "status": check.status,
        "conclusion": check.conclusion or "",
    }


def _review(review: Review) -> Fields:
    return {
        "__typename": "PullRequestReview",
        "id": f"R_{review.id}",
        "state": review.state,
        "submittedAt": at(review.at),
        "author": _actor(review.author),
        "commit": {"__typename": "Commit", "oid": review.commit},
    }


def _thread(said: Said) -> Fields:
    comments = [_comment(each, "PullRequestReviewComment") for each in said.whole]
    return {
        "__typename": "PullRequestReviewThread",
        "id": f"T_{said.id}",
        "isResolved": said.resolved,
        "isOutdated": said.outdated,
        "path": said.path,
        "line": 1,
        "comments": _connection("PullRequestReviewComment", comments),
    }


def _comment(said: Said, kind: str) -> Fields:
    return {
        "__typename": kind,
        "id": f"C_{said.id}",
        "databaseId": said.id,
        "author": _actor(said.author, bot=said.bot),
        "authorAssociation": "NONE" if said.bot else said.association,
        "body": said.body,
        "createdAt": at(said.at),
        "url": f"{SITE}/comment/{said.id}",
    }
