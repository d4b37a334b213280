"""Likely personal data in a text: e-mail addresses, telephone numbers, card numbers, identity numbers.

Likely, not certain: what has the form and passes the check digits that its kind has. Telephone
numbers are judged by ``phonenumbers``, Google's library. Neighbours: texts asks.
"""

from __future__ import annotations

import re

MIGHT_BE_PERSONAL = r"@|[0-9][0-9 ().\-]{6,}|[A-Z][12][0-9]{8}"
_EMAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,24}(?![A-Za-z0-9])")
# Chinese has no spaces: a character right beside a number parts it as a space does, a letter does not.
_DIGITS = re.compile(
    r"(?<![A-Za-z0-9_.,/$€£-])(?<!\d:)\+?\(?[0-9](?:[ ().\-]{0,2}[0-9]){6,18}(?![A-Za-z0-9_/:%-]|[.,][0-9])"
)
_ANNOUNCED = re.compile(
    r"(?:call|tel|phone|mobile|text|whatsapp|line|contact|電話|手機|打)\W*(?:\w+\W+){0,2}$", re.IGNORECASE
)
_YEARS = re.compile(r"(?:19|20)\d\d\D(?:19|20)\d\d")
_CARD_STARTS = ("3", "4", "5", "6", "2")
_TAIWAN_ID = re.compile(r"(?<![A-Za-z0-9])[A-Z][12]\d{8}(?![0-9])")
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
# Where users of Chinese and English texts live; a national number is valid somewhere by chance otherwise.
_REGIONS = ("TW", "US", "GB", "CN", "HK", "SG", "JP", "AU", "IN", "DE", "FR")


def kinds_of(text: str) -> set[str]:
    """Which of ``email``, ``phone``, ``card`` and ``national_id`` a text holds."""
    found = set()
    if _EMAIL.search(text):
        found.add("email")
    if any(_is_taiwan_id(match[0]) for match in _TAIWAN_ID.finditer(text)):
        found.add("national_id")
    for match in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _is_card(digits):
            found.add("card")
        elif _written_like_a_phone(match[0], digits, text[max(0, match.start() - 25) : match.start()]) and _is_phone(
            match[0], digits
        ):
            found.add("phone")
    return found


def _is_card(digits: str) -> bool:
    """13 to 19 digits of a card issuer with Luhn's check digit (ISO/IEC 7812-1)."""
    if not 13 <= len(digits) <= 19 or not digits.startswith(_CARD_STARTS) or len(set(digits)) < 2:
        return False
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _written_like_a_phone(written: str, digits: str, before: str) -> bool:
    """Whether digits are grouped, begun or announced like a telephone; a bare number is an order more often."""
    if written[0] in "+0(" or _ANNOUNCED.search(before):
        return True
    grouped = re.fullmatch(r"\d{4}[ \-]\d{4}", written) and not _YEARS.fullmatch(written)
    return bool(grouped or (len(digits) >= 10 and re.search(r"\d[ .\-]+\d", written)))


def _is_phone(written: str, digits: str) -> bool:
    """Whether the number exists in some region's plan."""
    import phonenumbers

    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    for region in (None,) if written.startswith("+") else _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(written, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _is_taiwan_id(number: str) -> bool:
    """The national identification number of Taiwan: a letter, nine digits, weights 1 9 8 … 1 1."""
    first = _TAIWAN_LETTERS.index(number[0]) + 10
    digits = [first // 10, first % 10, *(int(d) for d in number[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(d * w for d, w in zip(digits, weights, strict=True)) % 10 == 0
