"""What the recorded exchange itself shows about items of the list."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from credit_default_tests.azure_check.recording import exchanges
from credit_default_tests.azure_check.session import Session

#: Items that are looked at here.
KEYS = ("code-uploads", "sas-lifetime")


def look(session: Session, recording: Path) -> None:
    """Look where code was uploaded to, and for how long it could be."""
    for one in exchanges(recording):
        if not one["path"].endswith("/startPendingUpload") or one.get("status") != 200:
            continue
        told = one["answer"]["blobReferenceForConsumption"]
        parts = urlsplit(told["blobUri"]).path.strip("/").split("/")
        session.find(
            "code-uploads",
            "where is code uploaded to?",
            expected="a container of its own",
            observed="a container of its own" if len(parts) == 1 else f"a folder {len(parts) - 1} below a container",
        )
        ends = parse_qs(urlsplit(told["credential"]["sasUri"]).query).get("se")
        if ends:
            seconds = (datetime.fromisoformat(ends[0]) - datetime.fromisoformat(one["at"])).total_seconds()
            session.find(
                "sas-lifetime",
                "for how long may code be uploaded?",
                expected="1 h",
                observed=f"{seconds / 3600:.0f} h",
                detail=f"{seconds:.0f} s",
            )
        return
