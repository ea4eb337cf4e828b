"""Training: our default search, beside a sweep of random forests.

The sweep is the usual one for this table: eight forests of 100 to 1000 trees, 1 to 25 levels deep, on all features
with one-hot categories, the best of them by AUC on validation rows. Both are compared on the 15,000 arrivals, which
neither has seen, with a 95 % interval by paired bootstrap: the test part alone is too small to tell them apart.

    python -m credit_default_tests.benchmarks.training [--forests 8]
"""

from __future__ import annotations

import argparse
import random
import time

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from credit_default.core.data import sample, splits
from credit_default.core.model.training import train
from credit_default.core.schema import CATEGORIES, CLIENT_ID, FEATURE_NAMES, TARGET


def sweep(parts: dict[str, pa.Table], forests: int, seed: int = 0) -> Pipeline:
    """Best forest by validation."""
    rows = {name: part.to_pandas() for name, part in parts.items()}
    source = random.Random(seed)
    best, best_auc = None, -1.0
    for _ in range(forests):
        model = make_pipeline(
            ColumnTransformer(
                [("category", OneHotEncoder(handle_unknown="ignore"), list(CATEGORIES))], remainder="passthrough"
            ),
            RandomForestClassifier(
                n_estimators=source.randint(100, 1000),
                max_depth=source.randint(1, 25),
                random_state=seed,
                n_jobs=-1,
            ),
        )
        model.fit(rows["development"][list(FEATURE_NAMES)], rows["development"][TARGET])
        auc = _auc(model, rows["calibration"])
        if auc > best_auc:
            best, best_auc = model, auc
    return best


def _auc(model, rows) -> float:
    return float(roc_auc_score(rows[TARGET], model.predict_proba(rows[list(FEATURE_NAMES)])[:, 1]))


def interval(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, samples: int = 300) -> tuple[float, float]:
    """95 % interval of the difference in AUC, both models on the same redrawn rows."""
    source = np.random.default_rng(0)
    differences = []
    for _ in range(samples):
        rows = source.integers(0, len(labels), len(labels))
        differences.append(roc_auc_score(labels[rows], ours[rows]) - roc_auc_score(labels[rows], theirs[rows]))
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forests", type=int, default=8)
    options = parser.parse_args()
    clients = sample.development_clients()
    part = np.asarray(splits.part_of(clients[CLIENT_ID].to_pylist()))
    parts = {name: clients.filter(pa.array(part == name)) for name in splits.PARTS}

    started = time.perf_counter()
    trained = train(**parts)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    forest = sweep(parts, options.forests)
    theirs = time.perf_counter() - started
    arrivals = sample.arrivals()
    frame = arrivals.to_pandas()
    labels = frame[TARGET].to_numpy()
    scores = (trained.probabilities(arrivals), forest.predict_proba(frame[list(FEATURE_NAMES)])[:, 1])
    our_auc, their_auc = (roc_auc_score(labels, score) for score in scores)
    low, high = interval(labels, *scores)
    print(f"ours    {ours:7.1f} s  ROC AUC {our_auc:.4f}  ({len(trained.trials)} trials, fit, calibration, importance)")
    print(f"forests {theirs:7.1f} s  ROC AUC {their_auc:.4f}  ({options.forests} fits)")
    print(f"ratio   {theirs / ours:7.1f} times faster, AUC {our_auc - their_auc:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
