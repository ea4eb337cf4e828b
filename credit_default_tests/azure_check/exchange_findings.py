"""What the recorded exchange itself shows about items of the list."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from credit_default_tests.azure_check.recording import exchanges
from credit_default_tests.azure_check.session import Session

_OK = 200
#: Items that are looked at here.
KEYS = ("code-uploads", "sas-lifetime", "classic-tables")


def look(session: Session, recording: Path) -> str:
    """Look where code was uploaded to, for how long it could be, and by which names telemetry was asked for."""
    kept = exchanges(recording)
    queries = [one for one in kept if one["path"].endswith("/query") and one.get("status") == _OK]
    for query in queries[:1]:
        table = str(query["body"]["query"]).split()[0]
        session.find("classic-tables", "which tables does Azure Monitor know?", expected="traces", observed=table)
    for one in kept:
        if not one["path"].endswith("/startPendingUpload") or one.get("status") != _OK:
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
        break
    return f"{len(kept)} requests"
