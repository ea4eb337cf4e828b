"""Messages are made of texts with a full stop and without."""

import pytest

from credit_default.core.plurals import plural, verb
from credit_default.core.sentences import sentence


@pytest.mark.parametrize("text", ["nothing landed", "nothing landed.", "nothing landed. ", "nothing landed\n"])
def test_a_text_gets_the_full_stop_that_it_lacks(text):
    assert sentence(text) == "nothing landed."
    assert sentence(sentence(text)) == "nothing landed."


def test_counts_agree_with_their_nouns_and_verbs():
    assert [f"{plural(n, 'row')} {verb(n, 'is', 'are')}" for n in (0, 1, 2_000)] == [
        "0 rows are",
        "1 row is",
        "2,000 rows are",
    ]
