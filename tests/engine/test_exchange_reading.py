"""Tests of the reader of published files: any JSON layout, any chunk boundary, any damage, exact positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange import json_records
from engine.exchange.json_records import CUT_OFF, Damaged, Found, read_records

RECORDS: list[dict[str, Any]] = [
    {"question": 'a "quoted" {brace}, and [bracket]', "output": [{"trial": 1}, {"trial": 2}]},
    {"question": "鈥檚 — 中文 \ud83d \u0000", "id": 2},
    {"question": "", "nested": {"question": [[], {}]}},
]


def found(path: Path, start: int = 0) -> list[Found | Damaged]:
    return list(read_records(path, start))


def values(path: Path) -> list[object]:
    return [one.value for one in found(path) if isinstance(one, Found)]


def layouts(records: list[Any]) -> dict[str, str]:
    """The same records in every supported file layout."""
    lines = [json.dumps(record) for record in records]
    pretty = [json.dumps(record, indent=4) for record in records]
    return {
        "lines": "\n".join(lines) + "\n",
        "windows lines": "\r\n".join(lines),
        "pretty, one after another": "\n".join(pretty),
        "pretty, touching": "".join(pretty),
        "array": json.dumps(records),
        "pretty array": json.dumps(records, indent=2),
        "byte order mark": "\ufeff" + "\n".join(lines),
    }


@pytest.mark.parametrize("layout", list(layouts(RECORDS)))
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_every_layout_gives_the_same_records(
    layout: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published files are not one object per line; a chunk may end anywhere, also inside a character."""
    monkeypatch.setattr(json_records, "CHUNK_BYTES", chunk)
    path = tmp_path / "records"
    path.write_bytes(layouts(RECORDS)[layout].encode("utf-8"))
    assert values(path) == RECORDS


def test_text_that_is_not_ascii_keeps_places_exact(tmp_path: Path) -> None:
    """A resumed import seeks to bytes, while the parser counts characters."""
    path = tmp_path / "records"
    path.write_text("\n".join(json.dumps({"question": "鈥檚" * n}, ensure_ascii=False) for n in range(5)), "utf-8")
    raw = path.read_bytes()
    for one in found(path):
        assert isinstance(one, Found)
        assert json.loads(raw[one.start : one.end]) == one.value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    records=st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    escaped=st.booleans(),
)
def test_reading_goes_on_from_the_end_of_any_record(
    records: list[Any], chunk: int, indent: int | None, escaped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A reader that starts where another stopped reads exactly the remaining records, whatever they contain."""
    path = tmp_path_factory.mktemp("read") / "records"
    path.write_text("\n".join(json.dumps(one, indent=indent, ensure_ascii=escaped) for one in records), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "CHUNK_BYTES", chunk)
        everything = found(path)
        assert [one.value for one in everything if isinstance(one, Found)] == records
        for position, one in enumerate(everything):
            assert found(path, one.end) == everything[position + 1 :]


def test_a_last_record_that_is_cut_off_is_named(tmp_path: Path) -> None:
    """A file that is still being copied, or whose writer died, ends inside a record."""
    whole = "\n".join(json.dumps(one, indent=4) for one in RECORDS[:2])
    path = tmp_path / "records"
    for cut in range(len(json.dumps(RECORDS[0], indent=4)) + 3, len(whole) - 1):
        path.write_text(whole[:cut], "utf-8")
        first, last = found(path)
        assert isinstance(first, Found)
        assert last == Damaged(CUT_OFF, first.end + 1, cut)


@pytest.mark.parametrize("chunk", [16, 1 << 20])
@pytest.mark.parametrize(
    "damage",
    [
        '{"question": "cut off in a tex',
        '{"question": 1,, "id": 2}',
        '{"question": nonsense}',
        '{"question": "raw \x01 control"}',
        "# a comment",
        "}}}",
        '{"question": ' + "[" * 100_000,
    ],
)
def test_damage_costs_only_what_it_hits(
    damage: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad record in 460,000 must not end the import, and is reported with its position."""
    monkeypatch.setattr(json_records, "CHUNK_BYTES", chunk)
    path = tmp_path / "records"
    good = [json.dumps({"question": f"q{n}", "output": [{"trial": n}]}) for n in range(4)]
    path.write_text("\n".join([*good[:2], damage, *good[2:]]), "utf-8")
    everything = found(path)
    assert [one.value["question"] for one in everything if isinstance(one, Found)] == ["q0", "q1", "q2", "q3"]  # type: ignore[index]
    bad = [one for one in everything if isinstance(one, Damaged)]
    assert len(bad) == 1
    assert bad[0].start == len("\n".join(good[:2])) + 1
    assert bad[0].reason


def test_damage_inside_one_line_array_is_left_out_alone(tmp_path: Path) -> None:
    """Without line breaks, reading resumes at text that begins like the records before."""
    path = tmp_path / "records"
    path.write_text('[{"id": 1, "a": [{"x": 1}]}, {"id": 2, "a": }, {"id": 3, "a": []}]')
    assert values(path) == [{"id": 1, "a": [{"x": 1}]}, {"id": 3, "a": []}]


def test_bytes_that_are_not_utf8_become_replacement_characters_and_are_counted(tmp_path: Path) -> None:
    """Mis-decoded text is kept unchanged; bytes that are no text must not stop the file."""
    path = tmp_path / "records"
    path.write_bytes(b'{"q": "a\xff\xfeb"}\n{"q": "\xe9\x88\xa5"}\n')
    first, second = found(path)
    assert isinstance(first, Found) and isinstance(second, Found)
    assert (first.value, first.replaced) == ({"q": "a\ufffd\ufffdb"}, True)
    assert (second.value, second.replaced) == ({"q": "鈥"}, False)
    assert found(path, first.end) == [second]


def test_a_record_without_end_is_given_up_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing quote may extend a record to the end of the file; detecting that must not load all of it."""
    monkeypatch.setattr(json_records, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(json_records, "LARGEST_RECORD", 10_000)
    path = tmp_path / "records"
    path.write_text('{"id": 1}{"id": "' + "x" * 200_000 + '{"id": 3}')
    widest = 0
    window = json_records._Window(path, 0)
    everything = []
    for one in json_records._records(window):
        widest = max(widest, len(window.text))
        everything.append(one)
    assert [one.value for one in everything if isinstance(one, Found)] == [{"id": 1}, {"id": 3}]
    assert widest < 50_000
