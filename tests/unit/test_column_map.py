"""CSV of any header becomes values, and what cannot be read is said and skipped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import column_map
from kit.column_map import BadColumnMap, BadRow, Field, Row, parse_map, read_rows

FIELDS = (
    Field(name="id", read=column_map.words(8), required=True),
    Field(name="beds", read=column_map.whole(0, 30), required=True),
    Field(name="price", read=column_map.cents(10**12)),
    Field(name="sold", read=column_map.day),
    Field(name="view", read=column_map.yes_no),
    Field(name="zip", read=column_map.zip_code),
)


def rows_of(text: str, given_map: str = "") -> list[Row | BadRow]:
    return list(read_rows(text.splitlines(keepends=True), FIELDS, parse_map(given_map, FIELDS)))


def test_columns_are_read_by_map_and_by_their_own_name():
    (row,) = rows_of('ID,Rooms,price,junk\na,3,"$649,950",x\n', "ID=id,Rooms=beds")
    assert isinstance(row, Row)
    assert dict(row.values) == {"id": "a", "beds": 3, "price": 649_950_00, "sold": None, "view": None, "zip": None}
    assert row.line == 2


def test_bad_rows_are_said_with_line_and_reason_and_the_rest_is_read():
    rows = rows_of(
        "id,beds,sold,view,zip\na,3,2015-05-01,1,98107\nb,33,,,\nc,x,,,\n,1,,,\nd,1\ne,2,May 1,,\nf,2,,maybe,\ng,2,,,9810\n"
    )
    assert [row.reason for row in rows if isinstance(row, BadRow)] == [
        "beds '33': is not within 0 to 30",
        "beds 'x': is no number",
        "id is missing",
        "has another number of cells than the header",
        "sold 'May 1': is no date",
        "view 'maybe': is neither yes nor no",
        "zip '9810': is no ZIP code of five digits",
    ]
    assert [row.line for row in rows] == list(range(2, 10))


@pytest.mark.parametrize(
    ("given_map", "problem"),
    [
        ("ID", "is not column=field"),
        ("ID=nothing", "there is no field nothing"),
        ("a=id,b=id", "id is mapped twice"),
        ("missing=price", "the file has no column missing for price"),
        ("missing=beds", "the file has no column missing for beds"),
    ],
)
def test_map_that_does_not_fit_is_refused(given_map: str, problem: str):
    with pytest.raises(BadColumnMap, match=problem):
        rows_of("id,beds\na,1\n", given_map)


def test_mark_of_spreadsheets_is_no_part_of_the_first_name():
    (row,) = rows_of("\ufeffid,beds\na,1\n")
    assert isinstance(row, Row)


@pytest.mark.parametrize("cell", ["nan", "inf", "-1", "1e99", "0", "", "12.345", "$", "--"])
def test_amount_that_is_none_is_refused(cell: str):
    with pytest.raises(ValueError, match="is "):
        column_map.cents(10**12)(cell)


@given(st.text(alphabet="id,beds\n\"'a1\u00e9\x00 ", max_size=60))
def test_no_file_breaks_the_reader(text: str):
    for row in rows_of(f"id,beds\n{text}"):
        assert isinstance(row, Row | BadRow)


def test_bytes_that_are_cut_short_are_no_row():
    rows = rows_of('id,beds\na,1\n"b,2')
    assert isinstance(rows[0], Row)
    assert isinstance(rows[1], BadRow)
