"""Versions of a spec: MAJOR.MINOR.PATCH, one step at a time, each step with a line in the change log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from fairtrial.errors import Problem, UsageError
from fairtrial.spec.changes import Change

Level = Literal["major", "minor", "patch"]
LEVELS: tuple[Level, ...] = ("patch", "minor", "major")
"""From the smallest step to the largest."""

FORM = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


def parse_version(version: str) -> tuple[int, int, int]:
    """The numbers of a version.

    Raises:
        UsageError: It is not written MAJOR.MINOR.PATCH.
    """
    match = FORM.fullmatch(version)
    if match is None:
        raise UsageError(f"A version is MAJOR.MINOR.PATCH, got {version!r}.", hint="Such as 1.2.0.")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def next_version(version: str, level: Level) -> str:
    """The version one step of `level` above."""
    major, minor, patch = parse_version(version)
    steps = {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}
    return ".".join(map(str, steps[level]))


def step_between(old: str, new: str) -> Level | None:
    """The level of one step from a version to the next; None when it is none or several."""
    return next((level for level in LEVELS if next_version(old, level) == new), None)


def largest(levels: Iterable[Level]) -> Level | None:
    """The largest of some levels; None of none."""
    return max(levels, key=LEVELS.index, default=None)


def version_problems(key: str, old: str, new: str, needed: Level | None, log: Sequence[Change]) -> list[Problem]:
    """What is wrong with the step from one version of a spec to the next.

    Args:
        key: The experiment.
        old: Its version before.
        new: Its version now.
        needed: The smallest step that its changes call for; None when nothing changed.
        log: Lines of the change log about it.
    """
    if new == old:
        if needed is None:
            return []
        text = f"{key!r} has changed since version {old}, so its version must move to {next_version(old, needed)} at least: "
        return [Problem(f"{text}the changes are {needed}. Write it with `fairtrial bump {key} --level {needed}`.", ("version",))]
    if parse_version(new) < parse_version(old):
        return [Problem(f"Versions go up: {key!r} was {old} and is {new}.", ("version",))]
    found: list[Problem] = []
    step = step_between(old, new)
    if step is None:
        steps = ", ".join(f"{next_version(old, level)} ({level})" for level in LEVELS)
        found.append(Problem(f"Versions go one step at a time: {key!r} was {old} and is {new}. The next is {steps}.", ("version",)))
    elif needed is not None and LEVELS.index(step) < LEVELS.index(needed):
        text = f"{key!r} went from {old} to {new}, a {step} step, but its changes are {needed}: write {next_version(old, needed)}."
        found.append(Problem(text, ("version",)))
    return found + log_problems(key, new, step, log)


def log_problems(key: str, version: str, step: Level | None, log: Sequence[Change]) -> list[Problem]:
    """What is wrong with the line of a version in the change log."""
    line = next((line for line in log if line.version == version), None)
    if line is None:
        text = f"A new version needs a line in the change log; there is none for {key!r} {version}."
        return [Problem(f"{text} Add {{version: {version}, date: ..., description: ...}} to change_log.", ("version",))]
    if line.level is not None and step is not None and line.level != step:
        return [Problem(f"The change log calls {key!r} {version} {line.level}, the step to it is {step}.", ("change_log",))]
    return []
