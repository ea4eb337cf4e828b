"""Errors as Azure words them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class AzureError(Exception):
    """A refusal that the client gets in Azure's own format.

    Parameters
    ----------
    status
        The HTTP status.
    code
        Azure's error code, such as ``ResourceNotFound``.
    message
        What a person reads.
    headers
        Headers of the answer, such as ``Retry-After``.
    """

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def body(self) -> dict[str, Any]:
        """Return the error object that Azure Resource Manager and Azure ML send."""
        return {"error": {"code": self.code, "message": self.message}}


def not_found(kind: str, name: str) -> AzureError:
    """Return Azure's answer to a name that nothing has."""
    return AzureError(404, "ResourceNotFound", f"{kind} '{name}' was not found.")


def conflict(message: str) -> AzureError:
    """Return Azure's answer to a change of something that cannot change."""
    return AzureError(409, "Conflict", message)


def bad_request(message: str, code: str = "ValidationError") -> AzureError:
    """Return Azure's answer to a request that can never be right."""
    return AzureError(400, code, message)


def not_in_emulator(message: str) -> AzureError:
    """Return the answer to something that Azure does and the emulator does not: not a status that clients try again."""
    return AzureError(501, "NotInTheEmulator", message)
