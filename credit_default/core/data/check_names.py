"""Names of the data-quality checks and what each one holds: plain data, read by both planes."""

#: Of the curated table.
CURATED_CHECKS = {
    "schema": "Every column of the curated schema is there, with its type.",
    "ranges": "Numbers are finite and in range, categories are known, the target is 0 or 1.",
    "duplicates": "No client is there twice for the same day.",
    "missing_share": "At most a fifth of any feature is missing.",
    "target_rate": "Both classes are there, 2 % to 60 % of clients default, and there are 1,000 rows or more.",
}
#: Of the prepared parts.
PREPARED_CHECKS = {
    "leakage": "No client is in two parts, and no feature alone tells the target (AUC above 0.95).",
    "drift_between_parts": "Calibration and test part look like the development part, chance aside.",
}
