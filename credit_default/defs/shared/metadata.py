"""What the asset pages show. Every figure comes from a stored result; none is worked out here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg

from credit_default.core.printable import shortlist
from credit_default.core.promotion.gates import Verdict
from credit_default.core.promotion.ledger import Ledger
from credit_default.ports import EndpointState, ModelVersion, Storage

Result = Mapping[str, Any]
Shown = dict[str, Any]

#: Tag of a registered version: when it was trained.
TRAINED_AT = "trained_at"
#: How many lines of the ledger a page shows.
_LINES = 50


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.MetadataValue:
    """Return a table; ``columns`` maps each key of the rows to its type."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    records = [dg.TableRecord({name: _cell(row.get(name)) for name in columns}) for row in rows]
    return dg.MetadataValue.table(records=records, schema=schema)


def _cell(value: Any) -> str | int | float | bool:
    if value is None:
        return ""
    if isinstance(value, float):
        return round(value, 4)
    return value if isinstance(value, (str, int, bool)) else str(value)


def _figures(result: Result, names: Sequence[str]) -> Shown:
    """Return the figures that are there, under their own names, so that Dagster plots them over time."""
    return {name: result[name] for name in names if result.get(name) is not None}


def _rows(count: Any, uri: str) -> Shown:
    return {"dagster/row_count": int(count), "dagster/uri": uri}


def _place(uri: str) -> dg.MetadataValue:
    """Return a link, or a path to copy: browsers follow no link from a page to a file of this machine."""
    if uri.startswith("file://"):
        return dg.MetadataValue.path(url2pathname(urlsplit(uri).path))
    return dg.MetadataValue.url(uri)


def _pictures(storage: Storage, key: str, names: Iterable[str]) -> Shown:
    """Return plots as pictures inside the page: they need no file server and last as long as the event."""
    shown: Shown = {}
    for name in names:
        picture = base64.b64encode(storage.read(f"{key}/{name}")).decode()
        title = name.rsplit("/", 1)[-1].removesuffix(".png")
        shown[title] = dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")
    return shown


def curated(result: Result, uri: str, quarantine: str | None) -> Shown:
    """Show where the training rows came from, and what was refused of one's own files."""
    origins = [{"origin": origin, "rows": rows} for origin, rows in result["origins"].items()]
    return {
        **_rows(result["rows"], uri),
        "origins": _table(origins, {"origin": "string", "rows": "int"}),
        **_figures(result, ("target_rate", "missing_share", "labelled_days", "outcomes_without_row")),
        **_unread(result),
        **_left_out(result.get("labelled_days_left_out")),
        **_refused(result, quarantine),
    }


def _left_out(days: Mapping[str, str] | None) -> Shown:
    rows = [{"day": day, "why": why} for day, why in (days or {}).items()]
    return {"labelled_days_left_out": _table(rows, {"day": "string", "why": "string"})} if rows else {}


def _refused(result: Result, quarantine: str | None) -> Shown:
    reasons = [{"reason": rule, "rows": count} for rule, count in sorted(result["by_reason"].items())]
    return {
        "rejected": result["rejected"],
        **({"rejected_by_rule": _table(reasons, {"reason": "string", "rows": "int"})} if reasons else {}),
        **({"quarantine": _place(quarantine)} if quarantine else {}),
    }


def prepared(result: Result, uri: str) -> Shown:
    """Show the parts."""
    parts = [{"part": name, **about} for name, about in result["parts"].items()]
    return {
        **_rows(sum(int(part["rows"]) for part in parts), uri),
        "parts": _table(parts, {"part": "string", "rows": "int", "target_rate": "float"}),
        **_figures(result, ("curated_data_version",)),
    }


def _nested(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple)) or value is None


def quality_report(result: Result, uri: str) -> Shown:
    """Show the way to the page."""
    return {"report": _place(uri), **{k: v for k, v in result.items() if not _nested(v)}}


def trained(manifest: Result, storage: Storage, key: str) -> Shown:
    """Show a model's figures, its search and its plots."""
    test = manifest["metrics"]["test"]
    trials = [{"trial": trial["number"], **trial} for trial in manifest["trials"]]
    figures = (
        "roc_auc",
        "gini",
        "ks",
        "average_precision",
        "brier",
        "calibration_slope",
        "calibration_intercept",
        "f1",
    )
    return {
        "dagster/uri": storage.uri(key),
        **_figures(test, figures),
        "threshold": manifest["threshold"],
        "model_sha256": manifest["model_sha256"],
        **({"manifest_sha256": manifest["manifest_sha256"]} if "manifest_sha256" in manifest else {}),
        "content_hash": manifest["content_hash"],
        "prepared_data_version": manifest["prepared_data_version"],
        "mlflow_run_id": manifest.get("mlflow_run_id") or "not tracked",
        "parameters": dg.MetadataValue.json(dict(manifest["parameters"])),
        "trials": _table(trials, {"trial": "int", "mean_auc": "float", "std_auc": "float"}),
        **_pictures(storage, key, manifest["plots"]),
    }


def registered(
    version: ModelVersion,
    manifest: Result,
    verdict: Verdict,
    uri: str,
    *,
    champion: str | None = None,
    compared: Result | None = None,
) -> Shown:
    """Show a version and why it may or may not go live."""
    criteria = verdict.as_dict()["criteria"]
    return {
        "dagster/uri": uri,
        "model": version.name,
        "version": version.version,
        "verdict": verdict.decision,
        "criteria": _table(
            criteria,
            {
                "name": "string",
                "value": "float",
                "threshold": "string",
                "passed": "bool",
                "explanation": "string",
            },
        ),
        "tags": dg.MetadataValue.json(dict(version.tags)),
        **_figures(manifest["metrics"]["test"], ("roc_auc", "brier")),
        **(_compared(champion, compared) if champion and compared else {}),
    }


def _compared(champion: str, compared: Result) -> Shown:
    """Show what a comparison measured: the two models, the segments, the groups and the gaps between those."""
    measured = ("roc_auc", "gini", "ks", "brier", "calibration_slope", "mean_pd", "bad_rate", "predicted_default_share")
    models = [
        {"figure": name, "champion": compared["champion"][name], "challenger": compared["challenger"][name]}
        for name in measured
    ]
    segments = [{**one, **_interval(one["auc_gain"])} for one in compared["segments"]]
    gaps = [{**one, **_interval(one["widening"])} for one in compared["gaps"]]
    interval = {"estimate": "float", "low": "float", "high": "float"}
    shares = {f"{model}_predicted_default_share": "float" for model in ("champion", "challenger")}
    gain = compared["auc_gain"] or {}
    return {
        "compared_with_version": champion,
        "compared_rows": compared["rows"],
        "compared_days": f"{compared['first_day'] or 'no day'} to {compared['last_day'] or 'no day'}",
        **{f"auc_gain_{name}": gain[name] for name in interval if name in gain},
        "comparison": _table(models, {"figure": "string", "champion": "float", "challenger": "float"}),
        "bands": _table(compared["bands"], {"band": "string", "rows": "int", "mean_pd": "float", "bad_rate": "float"}),
        "segments": _table(
            segments, {"segmentation": "string", "segment": "string", "rows": "int", "bads": "int", **interval}
        ),
        "groups": _table(
            compared["groups"], {"attribute": "string", "group": "string", "rows": "int", "bad_rate": "float", **shares}
        ),
        "gaps": _table(gaps, {"attribute": "string", "champion": "float", "challenger": "float", **interval}),
    }


def _interval(found: Result | None) -> Result:
    return found or {}


def deployed(
    champion: ModelVersion,
    before: EndpointState,
    after: EndpointState,
    smoke: Result | None,
    reason: str,
    *,
    who: str | None = None,
) -> Shown:
    """Show which version is live, which one was, what it promised, and how its golden rows scored."""
    return {
        "live_version": after.default or "none",
        "previous_version": after.previous or "none",
        "changed": after.default != before.default,
        "deployed_side_by_side": ", ".join(after.deployments),
        "model_sha256": champion.sha256,
        "reason": reason,
        **({"who": who} if who else {}),
        **_promised(champion.tags),
        **({"golden_rows_largest_difference": smoke["largest_difference"]} if smoke else {}),
    }


def _promised(tags: Mapping[str, str]) -> Shown:
    """Show what a version did on its test part and when it was trained, as far as its tags say so."""
    shown: Shown = {}
    # Anybody may change a tag in the studio: one that cannot be read is not on record.
    with suppress(KeyError, ValueError):
        shown["roc_auc"] = float(tags["roc_auc"])
    with suppress(KeyError, ValueError):
        shown["trained_at"] = dg.MetadataValue.timestamp(_utc(tags[TRAINED_AT]))
    return shown


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def promotions(ledger: Ledger) -> Shown:
    """Show the newest lines of the ledger, and what holds them to what they are: how many, and the last one's hash."""
    columns = {
        "number": "int",
        "at": "string",
        "action": "string",
        "from_version": "string",
        "to_version": "string",
        "reason": "string",
        "who": "string",
        "run_id": "string",
    }
    newest = [
        {**entry.as_dict(), "at": entry.at.isoformat(sep=" ", timespec="seconds")}
        for entry in reversed(ledger.entries[-_LINES:])
    ]
    return {
        "ledger": _table(newest, columns),
        "ledger_is_whole": not ledger.problems,
        "ledger_lines": len(ledger.entries),
        "ledger_head": ledger.head,
        **({"ledger_problems": "; ".join(map(str, ledger.problems))} if ledger.problems else {}),
    }


def accepted(result: Result, uri: str, quarantine: str | None) -> Shown:
    """Show how many rows came, how many were refused and by which rules."""
    files = [{"file": name, **about} for name, about in result["files"].items()]
    columns = {"file": "string", "rows": "int", "rejected": "int", "sha256": "string"}
    if any("same_as" in file for file in files):
        columns["same_as"] = "string"
    return {
        **_rows(result["accepted"], uri),
        **_figures(result, ("rows", "accepted_share", "acceptance", "rows_without_client_id", "target_rate")),
        "files": _table(files, columns),
        **_unread(result),
        **_names(result, "id_like_columns"),
        **_names(result, "extra_columns"),
        **_refused(result, quarantine),
    }


def _names(result: Result, of: str) -> Shown:
    """Show the names that a result holds, and how many more there were."""
    names = result.get(of) or []
    return {of: shortlist(names, max(len(names), result.get(f"{of}_count", 0)))} if names else {}


def _unread(result: Result) -> Shown:
    """Show the files that lie there and were not read, and why."""
    return {"files_not_read": result["not_read"]} if result.get("not_read") else {}


def collected(counts: Mapping[str, int], landed: int, uri: str, outcome: str) -> Shown:
    """Show what was asked online on a day, and what the landing folder holds of it now."""
    return {**_rows(landed, uri), "export": outcome, **counts}


def predicted(result: Result, uri: str) -> Shown:
    """Show a day's scores, in the large."""
    return {
        **_rows(result["rows"], uri),
        **{name: value for name, value in result.items() if name != "rows" and not _nested(value)},
    }


def drifted(result: Result, report: str, kept_until: date | None) -> Shown:
    """Show a day's drift: the verdicts, then each feature, worst first.

    The link to the report leads nowhere after the day `kept_until`, when retention removes it; None is never.
    """
    overall = result["overall"]
    columns = {
        "feature_name": "string",
        "drift_score": "float",
        "drift_detected": "bool",
        "stattest_name": "string",
        "csi": "float",
        "csi_limit": "float",
        "violation": "bool",
    }
    return {
        "violation": overall["violation"],
        "dataset_drift": overall["dataset_drift"],
        **_figures(overall, ("n_features", "n_drifted_features", "share_drifted_features", "psi", "max_csi", "note")),
        **_figures(result, ("n_rows", "n_reference", "model_version")),
        "report": _place(report),
        "report_kept_until": kept_until.isoformat() if kept_until else "for ever",
        "features": _table(sorted(result["features"], key=lambda feature: -(feature["csi"] or 0.0)), columns),
        "violating_features": ", ".join(overall["violating_features"]) or "none",
    }


def performed(result: Result, uri: str) -> Shown:
    """Show how a day's predictions did."""
    columns = {"band": "string", "rows": "int", "mean_pd": "float", "bad_rate": "float"}
    return {
        "dagster/uri": uri,
        **_figures(result["metrics"], ("roc_auc", "gini", "ks", "bad_rate", "brier", "mean_pd")),
        **_figures(result, ("n_predictions", "n_outcomes", "n_joined", "joined_share", "model_version", "warning")),
        "bands": _table(result["bands"], columns),
    }
