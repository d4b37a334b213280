"""Text files in any usual encoding, with any usual delimiter, are read, and what was found is said."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from tests.data_cases import configured, jsonl, read

from finetune30.data.local import read_local
from finetune30.data.table import Columns
from finetune30.errors import DataError

SIMPLIFIED = [
    "酒店的位置很好，房间也很干净，服务员非常热情。",
    "这个电脑用了三天就坏了，太差了！",
    "书的内容还不错，就是纸张有点薄。",
    "早餐种类少，而且都是冷的，不会再来了。",
    "送货很快，包装也很好，非常满意。",
    "房间的隔音不好，晚上很吵，没睡好。",
    "这本书我看了两遍，真的让人感动。",
    "键盘手感不好，屏幕也有一个亮点。",
    "前台的态度让人很不舒服。",
    "性价比很高，下次还会买。",
]
TRADITIONAL = [
    "飯店的位置很好，房間也很乾淨，服務人員非常親切。",
    "這台電腦用了三天就壞了，太差了！",
    "書的內容還不錯，就是紙張有點薄。",
    "早餐種類少，而且都是冷的，不會再來了。",
    "送貨很快，包裝也很好，非常滿意。",
    "房間的隔音不好，晚上很吵，沒睡好。",
    "這本書我看了兩遍，真的讓人感動。",
    "鍵盤手感不好，螢幕也有一個亮點。",
    "櫃檯的態度讓人很不舒服。",
    "價格很划算，下次還會買。",
]
JAPANESE = ["ホテルはとても清潔で、スタッフも親切でした。", "部屋がうるさくて汚かったです。"] * 5
KOREAN = ["호텔이 아주 깨끗하고 직원들이 친절했습니다.", "방이 시끄럽고 더러웠어요."] * 5
GERMAN = ["Das Hotel war sehr schön, das Frühstück köstlich.", "Das Zimmer war für 100 € zu laut – schlecht."] * 5
FRENCH = ["L'hôtel était très agréable – déjà réservé.", "Le petit déjeuner coûtait 15 € ; à éviter."] * 5
RUSSIAN = ["Отличный отель, персонал очень вежливый.", "Номер был грязный, больше не приедем."] * 5
GREEK = ["Το ξενοδοχείο ήταν υπέροχο και το προσωπικό ευγενικό.", "Το δωμάτιο ήταν βρώμικο."] * 5
POLISH = ["Hotel był bardzo czysty, obsługa miła.", "Pokój był głośny, śniadanie niesmaczne."] * 5


def rows(texts: list[str], ending: str) -> str:
    """These texts with labels 0 and 1 as the content of a file."""
    if ending == ".jsonl":
        return "".join(f'{{"text": "{text}", "label": {at % 2}}}\n' for at, text in enumerate(texts))
    comma = "\t" if ending == ".tsv" else ","
    quote = "" if ending == ".tsv" else '"'
    body = "".join(f"{quote}{text}{quote}{comma}{at % 2}\n" for at, text in enumerate(texts))
    return f"text{comma}label\n{body}"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize(
    ("encoding", "texts", "said"),
    [
        ("utf-8", TRADITIONAL, None),
        ("utf-8-sig", TRADITIONAL, "began with a byte order mark"),
        ("utf-16", TRADITIONAL, "is UTF-16, read as such"),
        ("utf-16-le", TRADITIONAL, "is UTF-16 (without a byte order mark), read as such"),
        ("utf-16-be", GERMAN, "is UTF-16 (without a byte order mark), read as such"),
        ("utf-32", GERMAN, "is UTF-32, read as such"),
        ("cp950", TRADITIONAL, "is Big5, read as such"),
        ("big5hkscs", ["係咁㗎喇，唔錯㗎。", *TRADITIONAL], "is Big5 (HKSCS), read as such"),
        ("gbk", SIMPLIFIED, "is GBK (GB 18030), read as such"),
        ("gbk", TRADITIONAL, "is GBK (GB 18030), read as such"),
        ("gb18030", ["这个字很少见：𠮷，是的。", *SIMPLIFIED], "is GBK (GB 18030), read as such"),
        ("cp932", JAPANESE, "is Shift-JIS, read as such"),
        ("euc_jp", JAPANESE, "is EUC-JP, read as such"),
        ("cp949", KOREAN, "is EUC-KR, read as such"),
        ("cp1252", FRENCH, "is windows-1252 (Latin-1), read as such"),
        ("cp1252", GERMAN, "is windows-1252 (Latin-1), read as such"),
        ("latin-1", ["Très bien à l'hôtel", "à éviter\x81"], "is Latin-1, read as such"),
        ("cp1251", RUSSIAN, "is windows-1251, read as such"),
        ("cp1253", GREEK, "is windows-1253, read as such"),
        ("cp1250", POLISH, "is windows-1250, read as such"),
    ],
)  # fmt: skip
def test_the_encoding_of_ten_rows_is_found_and_said(
    encoding: str, texts: list[str], said: str | None, ending: str
) -> None:
    table = read(rows(texts, ending).encode(encoding), ending)

    assert table.texts == texts
    notes = [note for note in table.notes if "columns found" not in note]
    assert notes == [] if said is None else said in notes[0]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize(
    "text", ["caf\xe9", "5 \xb5\xc4", "25\xb0C", "\xfc", "I paid \xa350", "na\xefve \xabsic\xbb", "S\xe3o Paulo"]
)
def test_a_single_letter_beyond_ascii_is_windows_1252(encoding: str, text: str) -> None:
    plain = "so it goes,0\n" * 5000

    table = read(f"text,label\n{plain}{text},1\n".encode(encoding), ".csv")

    assert table.texts[-1] == text


@pytest.mark.parametrize(("encoding", "texts"), [("gb18030", SIMPLIFIED), ("cp950", TRADITIONAL), ("cp932", JAPANESE)])
@pytest.mark.parametrize("every", [2, 5, 10, 50])
def test_rows_in_utf8_among_rows_in_another_encoding_are_an_error(encoding: str, texts: list[str], every: int) -> None:
    lines = [f"{texts[at % 10]},1\n".encode("utf-8" if at % every == 1 else encoding) for at in range(200)]

    with pytest.raises(DataError, match=r"is not UTF-8; [0-9]+ more broken lines"):
        read(b"text,label\n" + b"".join(lines), ".csv")


def test_the_built_in_chinese_reviews_saved_as_big5_are_found_to_be_big5() -> None:
    content = resources.files("finetune30.data").joinpath("reviews_zh.tsv").read_text("utf-8")
    header, *lines = content.splitlines()
    for at in range(0, len(lines) - 10, 10):
        table = read("\n".join([header, *lines[at : at + 10]]).encode("cp950"), ".tsv")

        assert table.notes[0] == "rows.tsv is Big5, read as such"
    assert "\n".join(read(content.encode("cp950"), ".tsv").texts) in "\n".join(line.split("\t")[2] for line in lines)


def test_a_few_chinese_characters_that_tell_nothing_are_not_taken_for_latin1() -> None:
    with pytest.raises(DataError, match="is not UTF-8") as refused:
        read("text,label\n劉備,1\n".encode("cp950"), ".csv")

    assert "data.encoding: big5" in str(refused.value.hint)
    assert read("text,label\n劉備,1\n".encode("cp950"), ".csv", encoding="big5").texts == ["劉備"]


def test_a_letter_far_behind_the_first_megabyte_decides_too() -> None:
    content = b"text,label\n" + b"plain words in a long row of text,0\n" * 40_000 + "déjà vu,1\n".encode("latin-1")

    assert read(content, ".csv").texts[-1] == "déjà vu"


@pytest.mark.parametrize(
    ("told", "encoding"),
    [
        ("big5", "big5"), ("Big5", "cp950"), ("big5", "big5hkscs"), ("gbk", "gb18030"), ("GB2312", "gbk"),
        ("latin-1", "cp1252"), ("latin1", "latin-1"), ("shift_jis", "cp932"), ("euc-kr", "cp949"),
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"), ("utf-16", "utf-16-le"), ("UTF-16LE", "utf-16"), ("koi8-r", "koi8-r"), ("utf_8", "utf-8"),
    ],
)  # fmt: skip
def test_an_encoding_may_be_named_by_any_of_its_names(told: str, encoding: str) -> None:
    texts = {"koi8-r": ["мир"], "cp949": ["평화"], "cp1252": ["schön – €"], "latin-1": ["schön"], "cp932": ["平和①"]}
    hong_kong = ["和平㗎"] if encoding == "big5hkscs" else ["和平"]
    content = rows(texts.get(encoding, hong_kong), ".csv").encode(encoding)

    assert read(content, ".csv", encoding=told).texts == texts.get(encoding, hong_kong)


@pytest.mark.parametrize(
    ("name", "hint"), [("rot13", "such as utf-8"), ("base64", "such as utf-8"), ("bigg5", "did you mean 'big5'?")]
)
def test_only_encodings_of_files_are_suggested(name: str, hint: str) -> None:
    with pytest.raises(DataError, match="there is no encoding") as refused:
        read("text,label\na,1\n", ".csv", encoding=name)

    assert str(refused.value.hint).startswith(hint)


@pytest.mark.parametrize("name", ["klingon", "rot13", "base64", "hex", "zip", "idna", "unicode_escape", "utf-7", "\0"])
def test_what_is_no_encoding_of_files_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="there is no encoding") as refused:
        read("text,label\na,1\n", ".csv", encoding=name)

    assert refused.value.where == "data.encoding"


def test_a_misspelt_encoding_names_the_nearest() -> None:
    with pytest.raises(DataError) as refused:
        read("text,label\na,1\n", ".csv", encoding="big-6")

    assert "did you mean 'big5'" in str(refused.value.hint)


def test_bytes_that_do_not_fit_the_named_encoding_are_an_error_with_their_place() -> None:
    content = "text,label\nfine,1\ncafé,0\nfine,1\nnaïve,0\n".encode("latin-1")

    with pytest.raises(DataError, match=r"byte 0xe9 is not UTF-8; 1 more broken lines: line 5 \(row 3\)") as refused:
        read(content, ".csv", encoding="utf-8")

    assert refused.value.where == "rows.csv: line 3 (row 1)"
    assert "data.encoding is utf-8" in str(refused.value.hint)


def test_the_configuration_names_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\nмир,1\n".encode("cp1251"))

    found = read_local(str(path), configured(path, encoding="windows-1251"))

    assert found.tables["train"].texts == ["мир"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\nso; so,1\n", None),
        ("text;label\nso, so;1\nyes, well;0\n", "semicolons"),
        ("text\tlabel\nso, so\t1\n", "tabs"),
        ("text|label\nso, so|1\n", "vertical bars"),
        ('text;label\n"one; two";1\nthree;0\n', "semicolons"),
        ('"text";"label"\n"so, so";"1"\n', "semicolons"),
        ("id,a;text;label\n1;so, so;1\n", "semicolons"),
        ("text;label\n", "semicolons"),
        ("label,text\r1,so; so\r", None),
    ],
)
def test_the_delimiter_of_a_csv_file_is_found_and_said(content: str, said: str | None) -> None:
    table = read(content, ".csv", Columns("text", "label"))

    assert table.notes == (() if said is None else (f"rows.csv is separated by {said}",))
    assert all(label in ("0", "1") for label in table.labels)


@pytest.mark.parametrize(
    ("ending", "header"),
    [
        (".csv", ' text , "label"'),
        (".csv", "\ufefftext,label"),
        (".csv", "'text','label'"),
        (".csv", "text,label,,,"),
        (".csv", "text,label,x,x"),
        (".tsv", '"text"\t label '),
        (".tsv", "text\tlabel\t\t"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_padded_quoted_and_empty_names_of_columns_are_read(ending: str, header: str, line_end: str) -> None:
    comma = "," if ending == ".csv" else "\t"
    empty = comma * (header.count(comma) - 1)

    table = read(f"{header}{line_end}a{comma}1{empty}{line_end}{line_end}b{comma}0{empty}{line_end}", ending)

    assert (table.texts, table.labels) == (["a", "b"], ["1", "0"])
    assert table.columns == Columns("text", "label")


def test_line_ends_may_be_mixed_in_csv_and_in_json_lines() -> None:
    assert read('text,label\ra,1\r\n"b\r\nc",2\nd,3\r', ".csv").texts == ["a", "b\r\nc", "d"]
    one = jsonl({"text": "a", "label": 1}).strip()
    assert read(f"{one}\r{one}\r\n{one}\n\r{one}", ".jsonl").texts == ["a"] * 4


def test_empty_cells_beyond_the_header_are_nothing_and_cells_without_a_name_are_said() -> None:
    assert read("text,label\na,1,,\nb,0\n", ".csv").texts == ["a", "b"]

    table = read("text,label,,\na,1,,\nb,0,more,\nc,1\n", ".csv", Columns("text", "label"))

    assert table.labels == ["1", "0", "1"]
    assert table.notes == ("rows.csv: 1 rows have cells in columns without a name, which are not read",)
