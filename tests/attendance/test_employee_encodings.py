"""CSV files of employees are read as Excel and LibreOffice of different countries write them."""

from __future__ import annotations

from itertools import product

import pytest

from app.attendance.employees import Employee, Wrong, from_csv

WESTERN = "Zoë Müller", "José Peña", "Åsa Öberg", "François L’Hôte", "Conceição Brandão", "Nuñez, Ana – São"
ANY = *WESTERN, "आशा राव", "محمد الأحمد", "Łukasz Żółć", "Ayşe Yıldız", "王小明", "Иван Петров"
ENCODINGS = "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"


def table(names: tuple[str, ...], delimiter: str = ",", line_break: str = "\r\n") -> str:
    rows = [("user_id", "employee_id", "name")]
    rows += [(f"000{number}", f"E{number}", name) for number, name in enumerate(names, 1)]
    return "".join(delimiter.join(f'"{cell}"' for cell in row) + line_break for row in rows)


def employees(names: tuple[str, ...]) -> list[Employee]:
    return [Employee(f"000{number}", f"E{number}", name) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize(("encoding", "delimiter"), list(product(ENCODINGS, ",;\t")))
def test_unicode_is_detected_with_and_without_a_byte_order_mark(encoding: str, delimiter: str) -> None:
    names = WESTERN if encoding in ("utf-16-le", "utf-16-be") else ANY
    assert from_csv(table(names, delimiter).encode(encoding)) == employees(names)


def test_big_endian_with_a_byte_order_mark() -> None:
    assert from_csv(("\ufeff" + table(ANY)).encode("utf-16-be")) == employees(ANY)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_windows_1252_is_read_for_western_names(line_break: str) -> None:
    data = table(WESTERN, ";", line_break).encode("cp1252")
    assert from_csv(data) == employees(WESTERN)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1251", "Иван Петров"),
        ("cp1253", "Γιώργος Παπαδόπουλος"),
        ("cp1255", "משה כהן"),
        ("cp1256", "محمد الأحمد"),
        ("cp874", "สมชาย ใจดี"),
        ("cp1250", "Łukasz Żółć"),
        ("cp1254", "Ayşe Yıldız"),
        ("gbk", "王小明"),
        ("shift-jis", "田中太郎"),
        ("mac-roman", "Zoë Müller-Peña"),
    ],
)
def test_text_that_is_unlikely_in_windows_1252_is_refused(encoding: str, name: str) -> None:
    with pytest.raises(Wrong, match="Save it as CSV UTF-8"):
        from_csv(table((name,)).encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_excels_separator_line_is_followed(encoding: str) -> None:
    data = "sep=|\r\nuser_id|employee_id|name\r\n7|E,;7|Zoë\r\n".encode(encoding)
    assert from_csv(data) == [Employee("7", "E,;7", "Zoë")]


def test_line_numbers_count_the_separator_line() -> None:
    with pytest.raises(Wrong, match="line 3"):
        from_csv(b"sep=;\r\nuser_id;employee_id\r\n;E1\r\n")


def test_mixed_line_breaks_blank_lines_and_quotes_within_cells() -> None:
    data = b'user_id,employee_id,name\r\n\n 00042 ,E1,"Asha ""Ash"" Rao"\n7,E2,5\' 4" Tom\r\n,,\r\n'
    assert from_csv(data) == [Employee("00042", "E1", 'Asha "Ash" Rao'), Employee("7", "E2", "5' 4\" Tom")]


def test_cut_off_utf_16_is_refused() -> None:
    with pytest.raises(Wrong, match="UTF-16"):
        from_csv(table(("Zoë",)).encode("utf-16")[:-1])
