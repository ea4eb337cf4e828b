import pyarrow as pa
import pyarrow.compute as pc
import pytest

from credit_default.core.data.check_names import CURATED_CHECKS, PREPARED_CHECKS
from credit_default.core.data.prepared import prepare
from credit_default.core.data.quality import curated_checks, prepared_checks
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.core.statistics.bins import make_bins


@pytest.fixture(scope="module")
def curated():
    return development_clients()


@pytest.fixture(scope="module")
def prepared(curated):
    return prepare(curated, curated_data_version="v")


def with_column(table, name, values):
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), field, pa.chunked_array([pa.array(values, field.type)]))


def judged(table):
    return {check.name: check for check in curated_checks(table)}


def failed(table):
    return [name for name, check in judged(table).items() if not check.passed]


def test_the_bundled_table_passes_every_check_in_the_order_that_was_declared(curated, prepared):
    checks = curated_checks(curated)
    assert [check.name for check in checks] == list(CURATED_CHECKS)
    assert all(check.passed for check in checks)
    checks = prepared_checks(prepared.parts, prepared.bins)
    assert [check.name for check in checks] == list(PREPARED_CHECKS)
    assert all(check.passed for check in checks)


def test_a_column_that_is_missing_or_of_another_type_fails_the_schema(curated):
    missing = judged(curated.drop_columns(["age"]))
    assert not missing["schema"].passed
    assert "'age' is there 0 times" in missing["schema"].description
    assert list(missing) == list(CURATED_CHECKS)
    position = curated.column_names.index("age")
    other = curated.set_column(position, "age", curated["age"].cast(pa.int64()))
    assert failed(other) == ["schema"]


def test_checks_still_answer_when_there_is_nothing_to_judge(curated):
    assert list(judged(pa.table({"x": [1]}))) == list(CURATED_CHECKS)
    assert not any(check.passed for name, check in judged(pa.table({"x": [1]})).items())
    assert "target_rate" in failed(curated.slice(0, 0))


@pytest.mark.parametrize(
    ("name", "value"), [("age", -3.0), ("age", float("inf")), ("credit_limit", -1.0), ("age", 17.0)]
)
def test_one_number_out_of_range_fails_and_is_counted_but_not_shown(curated, name, value):
    values = curated[name].to_pylist()
    values[7] = value
    check = judged(with_column(curated, name, values))["ranges"]
    assert not check.passed
    assert f"'{name}': 1 row, " in check.description


def test_an_unknown_category_and_a_target_that_is_neither_zero_nor_one_fail(curated):
    position = curated.column_names.index("sex")
    texts = ["unheard-of", *curated["sex"].cast(pa.string()).to_pylist()[1:]]
    check = judged(curated.set_column(position, "sex", pa.array(texts)))["ranges"]
    assert "'sex': 1 row, " in check.description
    assert "unheard-of" not in check.description
    for odd in (2, None):
        targets = [odd, *curated[TARGET].to_pylist()[1:]]
        assert "ranges" in failed(with_column(curated, TARGET, targets))


def test_a_client_twice_fails_unless_on_different_days(curated):
    twice = pa.concat_tables([curated, curated.slice(3, 2)])
    check = judged(twice)["duplicates"]
    assert not check.passed
    assert check.metadata["repeated_rows"] == 2
    days = pa.array(range(twice.num_rows), pa.int32()).cast(pa.date32())
    assert "duplicates" not in failed(twice.append_column("as_of", days))


@pytest.mark.parametrize(("share", "passes"), [(0.19, True), (0.21, False)])
def test_more_than_a_fifth_missing_fails(curated, share, passes):
    ages = curated["age"].to_pylist()
    missing = int(len(ages) * share)
    check = judged(with_column(curated, "age", [None] * missing + ages[missing:]))["missing_share"]
    assert check.passed is passes
    assert check.metadata["column"] == "age"


def test_the_target_needs_both_classes_a_plausible_rate_and_rows_to_rely_on(curated):
    bad = curated.filter(pc.equal(curated[TARGET], 1))
    good = curated.filter(pc.equal(curated[TARGET], 0))
    one_class = judged(good)["target_rate"]
    assert (one_class.passed, one_class.severity) == (False, "ERROR")
    assert "one class" in one_class.description
    flipped = judged(pa.concat_tables([bad, good.slice(0, 1000)]))["target_rate"]
    assert (flipped.passed, flipped.severity) == (False, "ERROR")
    assert "right way round" in flipped.description
    few = judged(curated.slice(0, 900))["target_rate"]
    assert (few.passed, few.severity) == (False, "WARN")


def test_a_client_in_two_parts_is_a_leak(prepared):
    parts = dict(prepared.parts)
    parts["test"] = pa.concat_tables([parts["test"], parts["development"].slice(0, 3)])
    check = prepared_checks(parts, prepared.bins)[0]
    assert (check.name, check.passed, check.severity) == ("leakage", False, "ERROR")
    assert "3 clients are both in the development and in the test part" in check.description


@pytest.mark.parametrize("how", ["larger", "smaller", "missing", "in the middle"])
def test_a_feature_that_tells_the_target_is_a_leak_however_it_does(curated, how):
    target = curated[TARGET].to_pylist()
    ages = curated["age"].to_pylist()
    told = {
        "larger": [age + 80 * bad for age, bad in zip(ages, target, strict=True)],
        "smaller": [age - 80 * bad for age, bad in zip(ages, target, strict=True)],
        "missing": [None if bad else age for age, bad in zip(ages, target, strict=True)],
        "in the middle": [50.0 if bad else (20.0 if age < 35 else 90.0) for age, bad in zip(ages, target, strict=True)],
    }[how]
    leaking = prepare(with_column(curated, "age", told), curated_data_version="v")
    check = prepared_checks(leaking.parts, leaking.bins)[0]
    assert not check.passed
    assert "'age' alone tells the target" in check.description


def test_a_part_from_elsewhere_is_an_error_and_a_slightly_different_one_a_warning(prepared):
    test = prepared.parts["test"]

    def with_bills(factor):
        scaled = with_column(test, "bill_amount_1", pc.multiply(test["bill_amount_1"], factor))
        return prepared_checks({**prepared.parts, "test": scaled}, prepared.bins)[1]

    far, near = with_bills(20.0), with_bills(1.3)
    assert (far.passed, far.severity) == (False, "ERROR")
    assert (near.passed, near.severity) == (False, "WARN")
    assert "'bill_amount_1' of the test part" in near.description


def test_a_part_with_another_target_rate_is_a_warning(prepared):
    test = prepared.parts["test"]
    richer = pa.concat_tables(
        [test.filter(pc.equal(test[TARGET], 1)), test.filter(pc.equal(test[TARGET], 0)).slice(0, 1200)]
    )
    check = prepared_checks({**prepared.parts, "test": richer}, prepared.bins)[1]
    assert not check.passed
    assert "target rate of the test part" in check.description


@pytest.mark.slow
def test_equal_parts_of_a_small_table_are_not_called_different(curated):
    # 150 rows in twelve bins differ by chance by more than the usual marks allow.
    alarms = 0
    starts = range(0, 3_000, 750)
    for start in starts:
        small = prepare(curated.slice(start, 750), curated_data_version="v")
        alarms += not prepared_checks(small.parts, small.bins)[1].passed
    print(f"{alarms} of {len(starts)} small tables raise a false alarm")
    assert alarms == 0


def test_no_message_holds_a_value_of_a_row():
    odd = 98_765.4321
    table = arrivals().slice(0, 1_200)
    ages = [odd, *table["age"].to_pylist()[1:]]
    ids = ["secret-client", *table[CLIENT_ID].to_pylist()[1:]]
    told = str(curated_checks(with_column(with_column(table, "age", ages), CLIENT_ID, ids)))
    assert "98765" not in told
    assert "98,765" not in told
    assert "secret-client" not in told
    made = prepare(with_column(table, CLIENT_ID, ids), curated_data_version="v")
    parts = {**made.parts, "test": made.parts["development"]}
    assert "secret-client" not in str(prepared_checks(parts, make_bins(parts["development"], FEATURE_NAMES)))
