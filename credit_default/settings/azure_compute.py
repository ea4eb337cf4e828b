"""Which compute each kind of step runs on, read from the environment.

Each variable has a form for every kind of step and one for a single kind, which wins::

    CREDIT_DEFAULT_COMPUTE          cpu-cluster       every kind
    CREDIT_DEFAULT_COMPUTE_TRAIN    big-cluster       training only
"""

import re
from enum import StrEnum

import dagster as dg

from credit_default.core.variables import VariableReader

#: The name by which Azure ML knows compute that it provides by itself.
SERVERLESS = "serverless"

_COMPUTE = "CREDIT_DEFAULT_COMPUTE"
_SPOT_COMPUTE = "CREDIT_DEFAULT_SPOT_COMPUTE"
_INSTANCE_TYPE = "CREDIT_DEFAULT_INSTANCE_TYPE"
_SPOT = "CREDIT_DEFAULT_SPOT"
_INSTANCE_COUNT = "CREDIT_DEFAULT_INSTANCE_COUNT"

#: Azure's rule for clusters: they begin with a letter, and do not end with a hyphen.
_NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,63}")
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_MOST_INSTANCES = 100


class Kind(StrEnum):
    """Kinds of steps: each may have a compute of its own."""

    TRAIN = "train"
    SCORE = "score"
    DRIFT = "drift"


#: The kind of each step. A new step has to be entered: the environment of another kind may lack what it imports.
KINDS = {
    "train": Kind.TRAIN,
    "comparison": Kind.SCORE,
    "curated_data": Kind.SCORE,
    "inference_data": Kind.SCORE,
    "outcomes": Kind.SCORE,
    "prepared_data": Kind.SCORE,
    "score": Kind.SCORE,
    "smoke_test": Kind.SCORE,
    "data_quality_report": Kind.DRIFT,
    "drift": Kind.DRIFT,
    "performance": Kind.DRIFT,
}


def kind_of(step: str) -> Kind:
    """Return the kind of a step.

    Raises
    ------
    ValueError
        There is no such step.
    """
    try:
        return KINDS[step]
    except KeyError:
        raise ValueError(f"{step!r} is no step with a kind; expected one of {', '.join(KINDS)}") from None


class Target(dg.Config):
    """Where a kind of step runs.

    Attributes
    ----------
    compute
        A cluster, or ``serverless``.
    spot_compute
        A cluster of low-priority machines that is tried first.
    instance_type
        Size of the machines; for serverless compute only, a cluster has its own.
    spot
        Whether serverless machines are low-priority ones at first.
    instance_count
        How many trials of a search run at once, each on a machine of its own. Any other job is one process.
    """

    compute: str
    spot_compute: str | None = None
    instance_type: str | None = None
    spot: bool = False
    instance_count: int = 1


def read_targets(variables: VariableReader) -> dict[Kind, Target]:
    """Return the target of each kind; the reader has what is wrong with the variables."""
    reader = _Reader(variables)
    targets = {}
    for kind in Kind:
        compute = reader.name(_COMPUTE, kind, "the cluster that steps run on, or serverless")
        if compute is None:
            reader.missing(kind)
        targets[kind] = Target(
            compute=compute or SERVERLESS,
            spot_compute=reader.name(_SPOT_COMPUTE, kind, "a cluster of low-priority machines that is tried first"),
            instance_type=reader.instance_type(kind, serverless=compute == SERVERLESS),
            spot=reader.spot(kind, serverless=compute == SERVERLESS),
            instance_count=reader.count(kind),
        )
    return targets


class _Reader:
    """Reads variables with a form for one kind and one for all."""

    def __init__(self, variables: VariableReader) -> None:
        self._variables = variables
        self._refuse = variables.refuse

    def missing(self, kind: Kind) -> None:
        everywhere = not any(self._find(_COMPUTE, other)[1] for other in Kind)
        name = _COMPUTE if everywhere else f"{_COMPUTE}_{kind.name}"
        self._refuse(name, "not set", "the name of a cluster, or serverless", "the compute that steps run on")

    def name(self, form: str, kind: Kind, purpose: str) -> str | None:
        name, value = self._find(form, kind)
        if value and not _NAME.fullmatch(value):
            expected = "1 to 32 letters, digits and hyphens, a letter first and no hyphen last"
            self._refuse(name, repr(value), expected, purpose)
        return value or None

    def instance_type(self, kind: Kind, *, serverless: bool) -> str | None:
        name, value = self._find(_INSTANCE_TYPE, kind)
        expected, purpose = "a size such as Standard_D4s_v3", "the machines of serverless compute"
        if value and not _TYPE.fullmatch(value):
            self._refuse(name, repr(value), expected, purpose)
        self._only_serverless(name, value, kind, serverless=serverless)
        return value if value and serverless else None

    def spot(self, kind: Kind, *, serverless: bool) -> bool:
        name, value = self._find(_SPOT, kind)
        if value and value.lower() not in _YES_NO:
            self._refuse(name, repr(value), "yes or no", "whether serverless machines are low-priority ones at first")
        self._only_serverless(name, value, kind, serverless=serverless)
        return serverless and _YES_NO.get(value.lower(), False)

    def count(self, kind: Kind) -> int:
        name, value = self._find(_INSTANCE_COUNT, kind)
        if kind is not Kind.TRAIN:
            if value and name.endswith(f"_{kind.name}"):
                self._refuse(
                    name, repr(value), "it to be unset", "these steps are one process; only trials run at once"
                )
            return 1
        if not value:
            return 1
        if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= _MOST_INSTANCES:
            expected = f"a whole number, 1 to {_MOST_INSTANCES}"
            self._refuse(name, repr(value), expected, "how many trials of a search run at once")
            return 1
        return int(value)

    def _only_serverless(self, name: str, value: str, kind: Kind, *, serverless: bool) -> None:
        """Refuse what was said about one kind and cannot be obeyed; what is said about all is for those it fits."""
        if value and not serverless and name.endswith(f"_{kind.name}"):
            expected = f"{_COMPUTE}_{kind.name} to be {SERVERLESS} with it"
            self._refuse(
                name, repr(value), expected, "a cluster has machines of its own; see CREDIT_DEFAULT_SPOT_COMPUTE"
            )

    def _find(self, form: str, kind: Kind) -> tuple[str, str]:
        """Return the variable that counts for a kind, and its value."""
        own = f"{form}_{kind.name}"
        value = self._variables.text(own)
        return (own, value) if value else (form, self._variables.text(form))
