"""What stands between ``${{`` and ``}}`` in a command."""

import pytest

from credit_default_tests.azure_emulator.bindings import UnknownBinding, names, reference, substitute


def test_values_are_put_in_as_they_are():
    assert substitute("run ${{inputs.a}} ${{ outputs.b }}", {"inputs.a": "x y", "outputs.b": "$z"}) == "run x y $z"


def test_what_is_in_a_value_is_not_looked_at_again():
    assert substitute("${{inputs.a}}", {"inputs.a": "${{inputs.b}}", "inputs.b": "no"}) == "${{inputs.b}}"


def test_a_part_whose_value_is_missing_is_left_out():
    line = "run $[[--a ${{inputs.a}}]] $[[--b ${{inputs.b}}]]"

    assert substitute(line, {"inputs.b": "2"}) == "run  --b 2"
    assert names(line) == set()


def test_a_value_that_nobody_gave_is_an_error():
    with pytest.raises(UnknownBinding, match=r"inputs\.absent"):
        substitute("${{inputs.absent}}", {"inputs.a": "1"})


@pytest.mark.parametrize(
    ("text", "found"), [("${{parent.inputs.a}}", "parent.inputs.a"), ("x${{parent.inputs.a}}", None), ("plain", None)]
)
def test_a_reference_is_one_binding_and_nothing_else(text, found):
    assert reference(text) == found
