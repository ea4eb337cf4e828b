"""The curated schema: 23 features and a target, as plain data.

Source of the table: "Default of Credit Card Clients", UCI Machine Learning Repository (I-Cheng Yeh, 2009,
DOI 10.24432/C55S3H, CC BY 4.0). Amounts of the curated schema are NT$ divided by 20; months run backwards,
``_1`` is the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from credit_default.core.plurals import plural

#: Repayment states from best to worst; the position in this tuple is the ordinal code that models see.
REPAYMENT_STATES = (
    "duly_paid",
    "no_delay",
    "delay_1_month",
    *(f"delay_{months}_months" for months in range(2, 9)),
)
MONTHS = range(1, 7)

CLIENT_ID = "client_id"
#: Columns that identify a client in files from outside, in order of preference.
ID_COLUMNS = (CLIENT_ID, "id", "ID")
TARGET = "default_payment_next_month"
PROBABILITY = "probability_of_default"
AS_OF = "as_of"
SOURCE_FILE = "source_file"
SOURCE_ROW = "source_row"

#: Units between the curated amounts and NT$: one curated unit is 20 NT$.
NTD_PER_CURATED_UNIT = 20


@dataclass(frozen=True)
class Feature:
    """One input column.

    ``minimum`` and ``maximum`` bound a number (inclusive); ``categories`` lists what a category may be, in
    ordinal order where ``ordinal`` holds; ``monotonic`` says how the probability of default may move when
    the feature grows: 1 up only, -1 down only, 0 free.
    """

    name: str
    kind: Literal["number", "category"]
    description: str
    categories: tuple[str, ...] = ()
    ordinal: bool = False
    minimum: float | None = None
    maximum: float | None = None
    monotonic: Literal[-1, 0, 1] = 0
    protected: bool = False


def _monthly(name: str, description: str, **details: object) -> tuple[Feature, ...]:
    return tuple(
        Feature(f"{name}_{month}", description=f"{description}, {plural(month, 'month')} back", **details)  # type: ignore[arg-type]
        for month in MONTHS
    )


FEATURES: tuple[Feature, ...] = (
    Feature("sex", "category", "Sex of the client", ("female", "male"), protected=True),
    Feature(
        "education",
        "category",
        "Highest education",
        ("graduate_school", "university", "high_school", "others"),
    ),
    Feature("marriage", "category", "Marital status", ("married", "single", "others"), protected=True),
    *_monthly(
        "repayment_status",
        "State of repayment",
        kind="category",
        categories=REPAYMENT_STATES,
        ordinal=True,
        monotonic=1,
    ),
    Feature("credit_limit", "number", "Credit limit, NT$ / 20", minimum=0.0, monotonic=-1),
    Feature("age", "number", "Age in years", minimum=18, maximum=120, protected=True),
    *_monthly("bill_amount", "Bill, NT$ / 20; negative when overpaid", kind="number"),
    *_monthly("payment_amount", "Payment, NT$ / 20", kind="number", minimum=0.0, monotonic=-1),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
BY_NAME = {feature.name: feature for feature in FEATURES}
NUMBERS = tuple(feature.name for feature in FEATURES if feature.kind == "number")
CATEGORIES = tuple(feature.name for feature in FEATURES if feature.kind == "category")
PROTECTED = tuple(feature.name for feature in FEATURES if feature.protected)
#: Columns that hold money: the ones that an upstream change of units would scale.
AMOUNTS = tuple(
    name for name in NUMBERS if name == "credit_limit" or name.startswith(("bill_amount", "payment_amount"))
)


def inputs(*, protected_attributes: bool) -> tuple[Feature, ...]:
    """Return the features that a model sees, in schema order.

    Sex, marital status and age are carried for monitoring and fairness and are no inputs by default: in many
    places they may not enter a credit decision (US Regulation B, 12 CFR 1002.6, among them).
    """
    return tuple(feature for feature in FEATURES if protected_attributes or not feature.protected)
