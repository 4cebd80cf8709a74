"""What a mission changes at GitHub: it merges, brings a branch up to date, and has broken checks run again.

What must be true: a merge names the head that it is of, so what was pushed since is never merged with it; and what
became of a merge is read from GitHub when its answer was lost or a refusal, since an earlier try may have done it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinytown.actors.missions.github.answers import objects, text_of
from tinytown.actors.missions.github.failures import GitHubFailed, GitHubLimited, GitHubRefused
from tinytown.times import seconds_of

if TYPE_CHECKING:
    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.references import Reference
    from tinytown.messages import JsonObject

METHODS = {"squash": "allow_squash_merge", "merge": "allow_merge_commit", "rebase": "allow_rebase_merge"}
"""The ways to merge, the preferred one first, and what a repository says when it allows one."""

BROKEN_OFF = frozenset({"cancelled", "timed_out", "startup_failure", "stale"})
"""How a workflow run ends that found no fault in the code."""

SILENT_FOR = 600.0
"""Seconds after which a suite without any run counts no more: some apps make one for each push and never use it."""


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """What became of a merge.

    `refused`: GitHub will not, for the `reason`. `moved`: the head is another one, so what was approved is no longer
    what is there.
    """

    result: Literal["merged", "refused", "moved"]
    reason: str | None = None


async def merge(github: GitHub, pull: Reference, head: str, method: str | None = None) -> MergeOutcome:
    """Merge a pull request if its head is still this one.

    Without a method it is the first of `METHODS` that the repository allows. Raises `GitHubLimited`, `GitHubFailed`,
    and `GitHubDenied` for a token that GitHub does not know; then it may be tried again, with the same result.
    """
    body: JsonObject = {"sha": head}
    if (chosen := method or await _method(github, pull)) is not None:
        body["merge_method"] = chosen
    try:
        answer = await github.change("PUT", f"{_path(pull)}/merge", body)
    except GitHubLimited:
        raise
    except GitHubFailed:
        if await _merged(github, pull):
            return MergeOutcome("merged")
        raise
    except GitHubRefused as error:
        if error.status == 401:
            raise
        if await _merged(github, pull):
            return MergeOutcome("merged")
        return MergeOutcome("moved" if error.status == 409 else "refused", error.message)
    # A success may be of something in between, a page to log in, say.
    told = isinstance(answer, dict) and answer.get("merged") is True
    if not told and not await _merged(github, pull):
        raise GitHubFailed(f"GitHub does not say that it has merged {pull}")
    return MergeOutcome("merged")


async def update_branch(github: GitHub, pull: Reference, head: str) -> str | None:
    """Merge the base into the branch of a pull request if its head is still this one.

    Why GitHub will not, or None: then there is a new head before long. Raises what `merge` raises.
    """
    try:
        await github.change("PUT", f"{_path(pull)}/update-branch", {"expected_head_sha": head})
    except GitHubRefused as error:
        if error.status == 401:
            raise
        return error.message
    return None


async def rerun_broken(github: GitHub, pull: Reference, head: str) -> int:
    """Have the workflow runs of this head that broke off run again; how many those are.

    Each is asked for once: its failed jobs, or all when GitHub finds none that failed. A run that it will not repeat
    is left as it is.
    """
    repository = f"/repos/{pull.repository.full_name}"
    path = f"{repository}/actions/runs?head_sha={head}&per_page=100"
    runs = objects(await github.pages(path, name="workflow_runs", background=True))
    broken = [run for run in runs if text_of(run.get("conclusion")) in BROKEN_OFF]
    begun = [await _rerun(github, f"{repository}/actions/runs/{run.get('id')}") for run in broken]
    return sum(begun)


async def _rerun(github: GitHub, run: str) -> bool:
    for what in ("rerun-failed-jobs", "rerun"):
        try:
            await github.change("POST", f"{run}/{what}", {})
        except GitHubRefused as error:
            if error.status == 401:
                raise
        else:
            return True
    return False


async def has_suites(github: GitHub, pull: Reference, head: str) -> bool:
    """Whether anything will check this head, or has.

    Raises what `GitHub.get` raises: what cannot be read is never taken for a head without checks.
    """
    path = f"/repos/{pull.repository.full_name}/commits/{head}/check-suites?per_page=100"
    suites = objects(await github.pages(path, name="check_suites", background=True))
    return any(_counts(suite, github.now()) for suite in suites)


def _counts(suite: JsonObject, now: float) -> bool:
    if suite.get("latest_check_runs_count") != 0:
        return True
    try:
        return now - seconds_of(str(suite.get("created_at"))) < SILENT_FOR
    except ValueError:
        return True


async def _method(github: GitHub, pull: Reference) -> str | None:
    """None where the token is not told what the repository allows; GitHub then takes its own default."""
    repository = (await github.get(f"/repos/{pull.repository.full_name}")).value
    allowed = repository if isinstance(repository, dict) else {}
    return next((method for method, name in METHODS.items() if allowed.get(name) is True), None)


async def updated_at(github: GitHub, pull: Reference) -> str | None:
    """When anything of it changed last, as GitHub writes that; None when it does not say. Raises as `GitHub.get`."""
    return text_of((await _read(github, pull)).get("updated_at"))


async def _merged(github: GitHub, pull: Reference) -> bool:
    return (await _read(github, pull)).get("merged") is True


async def _read(github: GitHub, pull: Reference) -> JsonObject:
    found = (await github.get(_path(pull))).value
    return found if isinstance(found, dict) else {}


def _path(pull: Reference) -> str:
    return f"/repos/{pull.repository.full_name}/pulls/{pull.number}"
