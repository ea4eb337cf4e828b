"""How the deployments of an endpoint are named, and what their names and the endpoint's tags tell.

A deployment is named after the version of the model and the code that scores with it, so that new code, too, is put
beside what answers now instead of in its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from credit_default.code_version import code_version
from credit_default.ports import EndpointState

#: Tags of an endpoint.
_PREVIOUS, _CHANGED_BY = "previous", "changed_by"
_NAME = re.compile(r"version-(\d+)-([0-9a-f]{12})")
#: How many deployments stay beside the default.
_KEEP = 6


@dataclass(frozen=True)
class Deployed:
    """A deployment: how far Azure is with it, and the sha256 of its model as its tag tells it."""

    state: str
    sha256: str | None


@dataclass(frozen=True)
class EndpointSnapshot:
    """An endpoint as it is, by the names that Azure knows; for whoever plans a change of it, or shows it.

    Attributes
    ----------
    name
        Of the endpoint.
    code
        What the name of a deployment ends with that is made now.
    there
        Whether there is such an endpoint.
    default
        Name of the deployment that answers.
    deployments
        Every deployment by its name, those of other people too.
    """

    name: str
    code: str
    there: bool = False
    default: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    deployments: Mapping[str, Deployed] = field(default_factory=dict)

    @property
    def state(self) -> EndpointState:
        """The same, by versions of the model."""
        return state_of(list(self.deployments), self.default, self.tags, self.code)


def code_of(environment: str) -> str:
    """Return 12 hex digits that change with the code that scores and with the environment it scores in."""
    return hashlib.sha256(f"{code_version()} {environment}".encode()).hexdigest()[:12]


def name_of(version: str, code: str) -> str:
    """Return the name of the deployment of a version."""
    return f"version-{version}-{code}"


def choose(names: Collection[str], version: str, code: str) -> str | None:
    """Return the deployment of a version to go on with: that of this code, or else another; None when there is none."""
    ours = [name for name in names if version_of(name) == version]
    wanted = name_of(version, code)
    return wanted if wanted in ours else next(iter(sorted(ours)), None)


def state_of(names: Collection[str], default: str | None, tags: Mapping[str, str], code: str) -> EndpointState:
    """Return the state of an endpoint that has deployments of these names; those of other people are not ours to tell.

    Parameters
    ----------
    default
        Name of the deployment that answers.
    code
        The present one: a default of another is outdated.
    """
    versions = {version for name in names if (version := version_of(name)) is not None}
    answers = version_of(default) if default else None
    return EndpointState(
        tuple(sorted(versions, key=int)),
        answers,
        tags.get(_PREVIOUS) or None,
        tags.get(_CHANGED_BY) or None,
        outdated=answers is not None and default != name_of(answers, code),
    )


def tags_after(tags: Mapping[str, str], state: EndpointState, version: str, changed_by: str) -> dict[str, str]:
    """Return the tags of an endpoint at which ``version`` is to answer."""
    if version == state.default:
        return dict(tags)  # only other code
    return {**tags, _PREVIOUS: state.default or "", _CHANGED_BY: changed_by}


def superfluous(names: Collection[str], default: str, previous: str | None) -> list[str]:
    """Return the oldest deployments, which nobody is likely to go back to: Azure has a limit for each endpoint."""
    ours = sorted((name for name in names if version_of(name)), key=lambda name: int(version_of(name) or 0))
    others = [name for name in ours if name != default and version_of(name) != previous]
    return others[: max(len(others) - _KEEP, 0)]


def superfluous_online(names: Collection[str], default: str, previous: str | None, code: str) -> list[str]:
    """Return all but what answers and what answered before: these cost money while they stand."""
    kept = {default, choose(names, previous, code) if previous else None}
    newest = max(_number(name) for name in kept if name)
    # A newer one is there to go live next.
    return [name for name in names if name not in kept and 0 < _number(name) <= newest]


def _number(name: str) -> int:
    """Return the version of a deployment as a number; 0 when it is none of ours."""
    return int(version_of(name) or 0)


def version_of(name: str) -> str | None:
    """Return the version that a deployment is of, or None when it is not one of ours."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None
