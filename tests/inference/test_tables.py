"""Which lines and columns of a .csv file are which sequence, step and feature."""

import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.inference.tables import TableRules, parse, sequences_of, summary
from tests.support.errors import raises

LONG = """machine,t,temp,hum,load
a,0,1,2,3
b,1,21,22,23
a,1,4,5,6
b,0,11,12,13
a,2,7,8,9
"""
RULES = TableRules("machine", "t", ("temp", "hum", "load"))


@pytest.fixture
def read(tmp_path):
    def call(text, rules=None, width=3, known=()):
        place = tmp_path / "x.csv"
        place.write_text(text)
        rules = rules or TableRules()
        return sequences_of(parse(place, rules), rules, width, known)

    return call


def test_a_long_table_is_as_many_sequences_as_it_has_ids(read):
    found = read(LONG, RULES)
    assert found.keys == ("a", "b")
    assert [row.tolist() for row in found.sequences] == [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[11, 12, 13], [21, 22, 23]],
    ]
    assert found.times == (("0", "1", "2"), ("0", "1"))
    assert (found.features, found.by_name) == (("temp", "hum", "load"), True)


def test_without_time_the_lines_keep_their_order(read):
    found = read(LONG, TableRules("machine", None, RULES.features))
    assert found.sequences[1].tolist() == [[21, 22, 23], [11, 12, 13]]
    assert found.times is None


def test_other_columns_are_the_features_unless_they_are_named(read):
    assert read(LONG, TableRules("machine", "t")).features == ("temp", "hum", "load")


def test_columns_are_matched_with_the_model_s_features_by_name(read):
    text = "load,x,temp,hum\n3,0,1,2\n"
    known = ("temp", "hum", "load")
    for rules in (None, TableRules(features=("load", "temp", "hum"))):
        found = read(text, rules, known=known)
        assert found.sequences[0].tolist() == [[1, 2, 3]]
        assert (found.features, found.by_name) == (known, True)
    with raises(InputError, "E-DATA-FEATURES", "load", "temp, hum, load"):
        read(text, TableRules(features=("load", "temp", "x")), known=known)
    with raises(InputError, "E-DATA-COLUMN", "'hum'", "temp, z"):
        read("temp,z\n1,2\n", known=known)


@pytest.mark.parametrize(
    ("text", "rules", "code", "names"),
    [
        (LONG, None, "E-DATA-FEATURES", ["5 columns", "machine, t, temp", "--id", "--features"]),
        (LONG, TableRules("pump"), "E-DATA-COLUMN", ["'pump'", "machine, t, temp"]),
        (LONG, TableRules(None, "t", RULES.features), "E-DATA-TIME", ["lines 2 and 5", "--id"]),
        ("i,a,b\nx,1,2\n", None, "E-DATA-TEXT", ["line 2", "'i'", "'x'", "--id i"]),
        ("x,1,2\ny,3,4\n", None, "E-DATA-TEXT", ["column 1", "--id NAME"]),
        ("1,2,3\n", TableRules("id"), "E-DATA-COLUMN", ["'id'"]),
        ("id,id,a,b\n1,2,3,4\n", TableRules("id"), "E-DATA-COLUMN", ["'id'"]),
        ("id,a,b,c\n,1,2,3\n", TableRules("id"), "E-DATA-TEXT", ["line 2", "'id'"]),
        ("t,a,b,c\nsoon,1,2,3\n", TableRules(None, "t"), "E-DATA-TIME", ["'soon'"]),
        ("t,a,b,c\n1,1,2,3\n2024-01-01,1,2,3\n", TableRules(None, "t"), "E-DATA-TIME", ["mixes"]),
        ("a,b,c\n1,2\n", None, "E-DATA-RAGGED", ["[2]", "3 as in the header"]),
        ("a\tb\tc\n1\t2\t3\n", None, "E-DATA-TEXT", ["comma"]),
        ("1" * 200_000 + ",0,0\n", None, "E-DATA-DAMAGED", ["field"]),
    ],
)
def test_a_table_that_can_be_misread_is_refused(read, text, rules, code, names):
    with raises(InputError, code, "x.csv" if code != "E-DATA-FEATURES" else "", *names):
        read(text, rules)


def test_dates_order_the_steps(read):
    text = "t,a\n2024-05-01T10:00,1\n2024-05-01T09:59,2\n2023-12-31,3\n"
    found = read(text, TableRules(None, "t"), width=1)
    assert found.sequences[0].tolist() == [[3], [2], [1]]
    mixed = "t,a\n2024-05-01T10:00+00:00,1\n2024-05-01T10:00,2\n"
    with raises(InputError, "E-DATA-TIME", "time zone"):
        read(mixed, TableRules(None, "t"), width=1)


def test_the_numbers_of_a_header_are_names_if_the_rules_use_them(read):
    found = read("id,0,1\na,5,6\n", TableRules("id", None, ("1", "0")), width=2)
    assert found.sequences[0].tolist() == [[6, 5]]


def test_what_was_read_is_one_phrase():
    names = ("temp", "hum", "load")
    expected = "5 sequences, 12 to 20 steps, 3 features (temp, hum, load)"
    assert summary([12, 20, 15, 13, 12], names) == expected
    assert summary([86], ["a"]) == "1 sequence, 86 steps, 1 feature (a)"
    assert summary([1, 1], None) == "2 sequences, 1 step"
    assert summary([2], 3) == "1 sequence, 2 steps, 3 features"
