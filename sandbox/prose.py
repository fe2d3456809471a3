"""Generated answers: deterministic, marked [sandbox], of plausible length, and cheap (a slice of a prepared text)."""

import random
from bisect import bisect_left

MARK = "[sandbox]"
BYTES_PER_TOKEN = 4
_VOCABULARY = """
press room sheet margin ink plate proof type column letter paper roller morning reader print edition story line
shift night copy galley desk street harbour window river bridge garden engine market signal winter light map
carries holds turns finds brings keeps sets reads draws leaves meets opens follows counts sends returns makes
quiet early narrow plain bright slow careful steady warm distant small common exact fresh the a every another
its one and then while before after under over beside with without toward again often almost still
"""
_WORDS = tuple(_VOCABULARY.split())


def _corpus(words: int) -> tuple[str, list[int]]:
    """A text of `words` words in sentences, and the offsets at which sentences start."""
    rng = random.Random(20_260_101)
    pieces: list[str] = []
    starts: list[int] = []
    length = 0
    while words > 0:
        count = rng.randint(6, 14)
        words -= count
        sentence = " ".join(rng.choices(_WORDS, k=count)).capitalize() + ". "
        starts.append(length)
        length += len(sentence)
        pieces.append(sentence)
    return "".join(pieces), starts


_TEXT, _STARTS = _corpus(40_000)


def filler(rng: random.Random, length: int) -> str:
    """`length` characters of prose that start at a sentence and end at a word where one ends nearby."""
    repeats, rest = divmod(length, len(_TEXT) // 2)
    latest = bisect_left(_STARTS, len(_TEXT) - rest)
    start = _STARTS[rng.randrange(max(1, latest))]
    text = _TEXT[: len(_TEXT) // 2] * repeats + _TEXT[start : start + rest]
    return text.rstrip()


def answer(rng: random.Random, *, about: str, tokens: int) -> str:
    """An answer of about `tokens` tokens; it quotes the start of its question, so that answers can be told apart."""
    quote = " ".join(about[:60].split())
    opening = f"{MARK} On “{quote}”: " if quote else f"{MARK} "
    wanted = tokens * BYTES_PER_TOKEN
    if len(opening) >= wanted:
        return opening[: max(wanted, len(MARK))].rstrip()
    return opening + filler(rng, wanted - len(opening))
