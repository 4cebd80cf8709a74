"""What the forge holds, as documents of the REST interface. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge.exchange import at

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.runtime.demo.forge.commits import Check, Commit
    from tinytown.runtime.demo.forge.pulls import Pull, Review, Said
    from tinytown.runtime.demo.forge.repository import Issue, Repo

SITE = "https://github.com"
"""Where the pages of what it holds would be; nothing is there."""


def user(login: str, *, bot: bool = False) -> JsonObject:
    """Somebody. This interface marks the names of bots."""
    return {"login": f"{login}[bot]" if bot else login, "type": "Bot" if bot else "User"}


def repository(repo: Repo) -> JsonObject:
    """A repository, with the ways of merging that it allows."""
    return {
        "full_name": repo.full_name,
        "default_branch": repo.default_branch,
        "allow_squash_merge": "squash" in repo.methods,
        "allow_merge_commit": "merge" in repo.methods,
        "allow_rebase_merge": "rebase" in repo.methods,
    }


def issue(found: Issue) -> JsonObject:
    """An issue."""
    return {
        "id": found.number + 1000,
        "number": found.number,
        "title": found.title,
        "body": found.body,
        "state": found.state,
        "state_reason": found.reason,
        "user": user(found.author),
        "author_association": found.association,
        "labels": [{"name": label} for label in found.labels],
        "html_url": f"{SITE}/{found.repo.full_name}/issues/{found.number}",
        "updated_at": at(found.updated),
        "issue_dependencies_summary": {"total_blocked_by": len(found.blocked_by)},
        **found.raw,
    }


def pull_as_issue(found: Pull) -> JsonObject:
    """A pull request under the address of an issue, which says what it is."""
    ended: JsonObject = {"merged_at": at(found.updated) if found.merged else None}
    return {**pull(found), "state_reason": None, "labels": [], "pull_request": ended}


def pull(found: Pull) -> JsonObject:
    """A pull request as it stands in a list, where nothing is said of merging."""
    owner = "somebody" if found.foreign else found.repo.owner
    return {
        "id": found.number + 2000,
        "node_id": f"PR_{found.key}",
        "number": found.number,
        "title": found.title,
        "body": found.body,
        "state": found.state,
        "draft": found.draft,
        "user": user(found.author),
        "html_url": f"{SITE}/{found.repo.full_name}/pull/{found.number}",
        "updated_at": at(found.updated),
        "merged_at": at(found.updated) if found.merged else None,
        "merge_commit_sha": found.merge_commit,
        "head": {
            "ref": found.branch,
            "sha": found.head,
            "repo": {"full_name": f"{owner}/{found.repo.name}"},
        },
        "base": {"ref": found.base, "repo": {"full_name": found.repo.full_name}},
    }


def whole_pull(found: Pull) -> JsonObject:
    """A pull request by itself."""
    mergeable = None if found.merged else not found.conflicting
    state = found.merge_state.lower()
    return {**pull(found), "merged": found.merged, "mergeable": mergeable, "mergeable_state": state}


def comment(found: Said) -> JsonObject:
    """A comment."""
    return {
        "id": found.id,
        "node_id": f"C_{found.id}",
        "user": user(found.author, bot=found.bot),
        "author_association": "NONE" if found.bot else found.association,
        "body": found.body,
        "created_at": at(found.at),
        "html_url": f"{SITE}/comment/{found.id}",
    }


def line_comments(thread: Said) -> list[JsonObject]:
    """The comments of a thread."""
    place: JsonObject = {"path": thread.path, "position": None if thread.outdated else 1}
    first: JsonObject = {**comment(thread), **place, "in_reply_to_id": None}
    return [first, *({**comment(each), **place, "in_reply_to_id": thread.id} for each in thread.replies)]


def review(found: Review) -> JsonObject:
    """A review."""
    return {
        "id": found.id,
        "node_id": f"R_{found.id}",
        "state": found.state,
        "user": user(found.author),
        "author_association": found.association,
        "commit_id": found.commit,
        "submitted_at": at(found.at),
    }


def check_run(check: Check) -> JsonObject:
    """A check run."""
    return {"name": check.name, "status": check.status.lower(), "conclusion": _lower(check.conclusion)}


def combined_status(commit: Commit) -> JsonObject:
    """The statuses of a commit."""
    found = [check for check in commit.checks if check.legacy]
    return {
        "state": "pending",
        "total_count": len(found),
        "statuses": [{"context": each.name, "state": _lower(each.conclusion) or "pending"} for each in found],
    }


def suite(commit: Commit, now: float) -> JsonObject:
    """A suite of checks."""
    runs = sum(not each.legacy for each in commit.checks)
    app: JsonObject = {"slug": "ci"}
    return {"status": "queued", "latest_check_runs_count": runs, "created_at": at(now), "app": app}


def workflow_run(number: int, commit: Commit) -> JsonObject:
    """A workflow run: it has ended when all its jobs have, and is as good as the worst."""
    jobs = [check for check in commit.checks if check.run == number]
    ended = all(check.status == "COMPLETED" for check in jobs)
    worst = next((check.conclusion for check in jobs if not check.good), "SUCCESS")
    return {
        "id": number,
        "head_sha": commit.sha,
        "status": "completed" if ended else "in_progress",
        "conclusion": _lower(worst) if ended else None,
    }


def reference(branch: str, sha: str) -> JsonObject:
    """A branch."""
    return {"ref": f"refs/heads/{branch}", "object": {"sha": sha, "type": "commit"}}


def _lower(word: str | None) -> str | None:
    return word.lower() if word else None
