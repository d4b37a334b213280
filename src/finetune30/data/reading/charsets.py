"""Which encoding a text file was saved in.

A byte order mark tells it. Without one, bytes that are not UTF-8 are judged: read as the right East
Asian encoding a text is made of that language's most frequent characters, read as a wrong one of
rare ones, and a dozen characters are enough to see it. Among the single-byte encodings
charset-normalizer is asked, and windows-1252 is taken unless it is sure of another.
Neighbours: decoding asks, and reads the file in what is found here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from encodings.aliases import aliases
from typing import BinaryIO

from finetune30.data.table import did_you_mean
from finetune30.errors import DataError

MARK_BYTES = 64
_PLAIN_LETTERS = 8
_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHOWN = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 (without a byte order mark)",
    "utf-16-be": "UTF-16 (without a byte order mark)",
    "utf-32": "UTF-32",
    "cp1252": "windows-1252 (Latin-1)",
    "iso8859-1": "Latin-1",
    "cp950": "Big5",
    "big5hkscs": "Big5 (HKSCS)",
    "gb18030": "GBK (GB 18030)",
    "cp932": "Shift-JIS",
    "cp949": "EUC-KR",
    "euc-jp": "EUC-JP",
}
# Files said to be the first are the second as soon as they hold a character that only it has.
_REALLY = {
    "gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950", "euc-kr": "cp949", "shift-jis": "cp932",
    "iso8859-1": "cp1252", "ascii": "cp1252", "utf-8": "utf-8-sig",
}  # fmt: skip
_WIDER = {"cp950": "big5hkscs", "cp1252": "iso8859-1"}
_NOT_FOR_FILES = ("idna", "punycode", "undefined", "utf-7", "unicode-escape", "raw-unicode-escape")

_STOPS = "，。！？、：；（）「」《》“”…"
# The characters that half of a modern text is made of.
_FREQUENT = {
    "gb18030": _STOPS + "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日"
    "很太买书店酒房间服务差非常比较感觉没给再问点让真错电话题机",
    "cp950": _STOPS + "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過"
    "發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日"
    "很太買書店酒房間服務差非常比較感覺沒給再問點讓真錯電話題機",
    "cp932": _STOPS + "ー" + "".join(map(chr, range(0x3041, 0x3094))),
    "euc-jp": _STOPS + "ー" + "".join(map(chr, range(0x3041, 0x3094))),
    "cp949": "이다는을의에가하고를지로기사도은한서리어자그나대들인시아있게일해수보스정라마전만무것주요습니너여제안"
    "면오내부장상구원비우과세신연조성동과거점진선화드데때또더잘못안없좋된할까네요",
}
_SINGLE_BYTE = ["cp1250", "cp1251", "cp1252", "cp1253", "cp1255", "cp1256", "cp1257", "koi8_r"]
# First bytes of the sequences of UTF-8 that hardly ever come about by chance.
_TELLING = bytes([0xC2, 0xC3, *range(0xE0, 0xF5)])
_NOT_TELLING = bytes(byte for byte in range(256) if byte not in _TELLING)
_TELLING_IN_LINE = 3
_FAMILIAR_SHARE = 0.15
_FAMILIAR_AT_LEAST = 3
_SURE_COHERENCE = 0.2
_DENSE = 0.4
_MISPLACED = re.compile("[A-Za-z][¡-¿×÷][A-Za-z]")  # no Western word has a sign inside
_MISPLACED_AT_MOST = 3
_ASCII = bytes(range(128))


def told(name: str, start: bytes) -> str:
    """The codec of an encoding that a person named, for a file that starts like this.

    Raises: DataError when there is no such encoding of text files.
    """
    codec = _text_codec(name)
    if codec is None:
        near = did_you_mean(name, filter(_text_codec, sorted({*aliases, *aliases.values()})))
        raise DataError(
            f"there is no encoding {name!r} for text files",
            where="data.encoding",
            hint=near or "such as utf-8, latin-1, big5, gbk, shift_jis, utf-16; null finds it",
        )
    if codec.startswith(("utf-16", "utf-32")):
        mark = marked(start) or ""
        # Python's own utf-16 insists on a byte order mark.
        return mark if mark.startswith(codec[:6]) else codec if codec.endswith("e") else f"{codec}-le"
    return _REALLY.get(codec, codec)


def _text_codec(name: str) -> str | None:
    """The codec of this name, if it makes text of the bytes of a file."""
    try:
        codec = codecs.lookup(name).name.replace("_", "-")
        with suppress(UnicodeDecodeError):
            b"a".decode(codec)  # a LookupError where it makes no text of bytes
    except (LookupError, ValueError):
        return None
    return None if codec in _NOT_FOR_FILES else codec


def family(codec: str) -> tuple[str, ...]:
    """The encoding, then the wider one that holds the few characters it lacks."""
    return (codec, _WIDER[codec]) if codec in _WIDER else (codec,)


def shown(codec: str) -> str:
    """What people call it."""
    return _SHOWN.get(codec, codec.replace("cp125", "windows-125"))


def marked(start: bytes) -> str | None:
    """The encoding that the first bytes tell: by a byte order mark, or as UTF-16 without one."""
    for mark, codec in _MARKS:
        if start.startswith(mark):
            return codec
    # Names of columns are plain letters, of which UTF-16 makes a NUL byte each.
    for codec, nul in (("utf-16-le", 1), ("utf-16-be", 0)):
        letters = start[1 - nul : _PLAIN_LETTERS * 2 : 2].partition(b"\n")[0]
        if letters and all(letters) and not any(start[nul : len(letters) * 2 : 2]):
            return codec
    return None


@dataclass(frozen=True)
class _Survey:
    """What a whole file says about not being UTF-8.

    Attributes:
        sample: The first lines with a byte beyond ASCII.
        broken: Bytes that are not UTF-8.
        telling: Characters that are, and are no accident.
        good_lines: Lines of such characters without a broken byte.
        bad_lines: Lines with broken bytes.
    """

    sample: bytes
    broken: int
    telling: int
    good_lines: int
    bad_lines: int


def found(handle: BinaryIO) -> str | None:
    """The encoding of a file that is not UTF-8; None if it is UTF-8 with faults, or cannot be told."""
    survey = _survey(handle)
    asian = _east_asian(survey.sample)
    if survey.good_lines > survey.bad_lines // 100:
        return None
    if survey.telling > (survey.broken if asian else survey.broken // 100):
        return None
    return asian or _single_byte(survey.sample)


def _survey(handle: BinaryIO) -> _Survey:
    handle.seek(0)
    sample = bytearray()
    broken = telling = good_lines = bad_lines = 0
    for line in _lines_beyond_ascii(handle):
        if len(sample) < _SAMPLE_BYTES:
            sample += line[:_SAMPLE_BYTES] + b"\n"
        valid = line.decode("utf-8", "ignore").encode()
        here = len(valid.translate(None, _NOT_TELLING))
        telling += here
        broken += len(line) - len(valid)
        bad_lines += len(valid) < len(line)
        good_lines += len(valid) == len(line) and here >= _TELLING_IN_LINE
    return _Survey(bytes(sample), broken, telling, good_lines, bad_lines)


def _lines_beyond_ascii(handle: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while chunk := handle.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _CHUNK_BYTES:
            lines, rest = [*lines, rest], b""
        yield from (line for line in lines if not line.isascii())
    if not rest.isascii():
        yield rest


def _east_asian(sample: bytes) -> str | None:
    shares = {codec: _familiar(sample, codec) for codec in _FREQUENT}
    best = max(shares, key=lambda codec: shares[codec])
    return best if shares[best] >= _FAMILIAR_SHARE else None


def _familiar(sample: bytes, codec: str) -> float:
    """Share of the characters beyond ASCII that are among the frequent ones; broken ones count threefold."""
    text = codecs.getincrementaldecoder(codec)("replace").decode(sample)
    beyond = [character for character in text if character > "\x7f"]
    frequent = set(_FREQUENT[codec])
    familiar = [character for character in beyond if character in frequent]
    if len(set(familiar)) < _FAMILIAR_AT_LEAST:
        return 0.0
    return len(familiar) / (len(beyond) + 2 * beyond.count("\ufffd"))


def _single_byte(sample: bytes) -> str | None:
    import charset_normalizer

    western = sample.decode("cp1252", "replace")
    is_western = len(_MISPLACED.findall(western)) <= _MISPLACED_AT_MOST
    asked = [name for name in _SINGLE_BYTE if is_western or name != "cp1252"]
    fits = {match.encoding: match for match in charset_normalizer.from_bytes(sample, cp_isolation=asked)}
    best = next(iter(fits.values()), None)
    if best is None or best.coherence < _SURE_COHERENCE:
        # Western letters are mostly plain; what is mostly beyond ASCII is some other script.
        return "cp1252" if len(sample.translate(None, _ASCII)) < len(sample) * _DENSE else None
    # It confuses the Latin alphabets on short texts: another one only where this one makes no words.
    if "cp1252" in fits or western == sample.decode(best.encoding, "replace"):
        return "cp1252"
    return best.encoding
