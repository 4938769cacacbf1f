"""Cuts text into the words that are searched by: the same for documents and for questions.

Names are taken apart (`copyTree_now` is copy, tree, now), words that say nothing are left out, and endings
go, so that copying finds copies. It knows English endings only; words of other languages stay as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_]+|\d+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
SHORT = 3
"""A word of no more letters has no ending, and none becomes shorter."""
_VOWEL = re.compile(r"[aeiouy]")
_SILENT = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be because been before being but by can could did "
        "do does doing done each either else etc for from get gets got had has have how i if in into is "
        "it its itself just let like many may me might more most much must my need no nor not of off on "
        "once one only onto or other our out over own please same shall she should so some such than that "
        "the their them then there these they this those through to too under until up upon us use used "
        "uses using very via want was way we were what when where whether which while who whom whose why "
        "will with within without would yes you your ",
    )
)


def words(text: str) -> list[str]:
    """Return the words of a text that say something, in order, without their endings."""
    return [word for found in _WORD.findall(text) for word in _parts(found)]


@lru_cache(maxsize=100_000)
def _parts(name: str) -> tuple[str, ...]:
    said = (part.lower() for part in _HUMP.split(name))
    return tuple(stem(word) for word in said if word not in _SILENT and (len(word) > 1 or not word.isascii()))


def stem(word: str) -> str:
    """Return a word without its ending: copies, copied, copying → copy."""
    if len(word) <= SHORT or not word.isascii():
        return word
    for ending, instead in (("sses", "ss"), ("ies", "y"), ("ied", "y")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= SHORT and _VOWEL.search(rest):
            word = rest
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]  # stopp-ing
            break
    return word.removesuffix("e") if len(word) > SHORT else word
