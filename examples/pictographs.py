"""Prompts for pictures, drawn from the pictographs that `unicodedata` names."""

import math
import re
import unicodedata
from collections.abc import Iterator

_BLOCKS = (
    (0x2600, 0x27BF),
    (0x1F300, 0x1F5FF),
    (0x1F600, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F900, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
)

_NO_SUBJECTS = """
ABOVE ACCOMMODATION ADI AESCULAPIUS AMERICAS ANGER ANKH AQUARIUS ARIES ARROW ARROWHEAD ARROWS ASIA ASTERISK
ASTRONOMICAL BALLOT BAR BEGINNER BIKINI BIOHAZARD BLOOD BOMB BOWLING BOYS BREAST BREASTFEEDING BRIEFS BRIGHTNESS
BUBBLE BULLET BUNNY BUTTON CADUCEUS CAMPING CANCELLATION CANCER CAPRICORN CERES CHART CHECK CHI CHILDREN CHIRON
CIRCLE CIRCLED CLAIM CLOCKWISE CLOSET COCKROACH COFFIN COLLISION COMPONENT COMPONENTS COMPRESSION CONJUNCTION
CONSTRUCTION COOKING CROSS CURLY CURRENCY CUSTOMS DAGGER DASH DAVID DEAF DECREASE DHARMA DIAMOND DIGRAM DIVISION
DIVORCE DOCUMENT DOTTED DOWN DRAUGHTS DVD EMOJI ENTRY EUROPE EXCLAMATION FACING FARSI FAX FINGER FLORETTE FOGGY
FRAME FUNERAL GEMINI GIRLS GUA HAIRCUT HEADSTONE HEAVY HERMES HOCHO HOOK HORSE-RACING HUNDRED HYGIEIA INCREASE
INDEX INFORMATION INPUT INTERLOCKED INVERTED JERUSALEM JUGGLING JUNO KAABA KEYCAP KISS KISSING KNIFE LABEL LANE
LANES LATIN LEFT LEFTWARDS LEO LEVEL LIBRA LILITH LINES LINK LIQUID LITTER LOOP LORRAINE LOVE LUGGAGE MALE MAP
MARK MARKS MARRIAGE MASSAGE MAXIMIZE MEDIUM MENS MIDDLE MILITARY MINIMIZE MINUS MODERN MONOGRAM MOOD
MULTIPLICATION NATURAL NEUTER NO NODE NOTCHED NOTE OFF OM ONE-PIECE OPHIUCHUS OPPOSITION OVERLAP PAGES PALLAS
PARTIALLY PASSPORT PEACE PENTAGRAM PEOPLE PILL PIRACY PISCES PISTOL PLUS POINTING POMMEE POO POTABLE PREGNANT
PROHIBITED QUESTION QUINCUNX RADIOACTIVE RAYS RECTILINEAR RECYCLED RECYCLING RESTRICTED RESTROOM RHO RIFLE RIGHT
RIGHTWARDS ROLLING SAGITTARIUS SALTIRE SAVOURING SCORPIUS SELECTOR SEMICIRCLE SEMISEXTILE SERIOUS SESQUIQUADRATE
SEXTILE SHINTO SHOGI SICKLE SIDEWAYS SIGN SIGNAL SLEEPING SLEUTH SMOKING SPLASHING SQUARE SQUARED STAFF STRESS
SUIT SYRINGE TANGLED TAURUS TEXT THONG TOILET TRAFFIC TRIANGLE TRIGRAM TURBAN TWISTED UNMARRIED VESTA VIBRATION
VIRGO VOMITING WAY WOMENS
"""
_UNCOUNTED_NOUNS = """
bacon bread broccoli butter coral curry fire fog food fuji garlic japan jupiter lightning mercury milk neptune pluto
popcorn rain rice saturn spaghetti sushi uranus wood
"""
_NOT_A_SUBJECT = frozenset(_NO_SUBJECTS.split())
_UNCOUNTED = frozenset(_UNCOUNTED_NOUNS.split())
_LEADING = re.compile(
    r"^(black|white|(lower|upper) (left|right)|(up|left|right|front|northeast)-(pointing|facing)|reversed) "
)
_TRAILING = re.compile(r" (symbol|icon|emblem)$")
_NAMES = (
    *("American", "Christmas", "European", "Fuji", "Hindu", "Japan", "Japanese", "Liberty", "Mount", "Tokyo"),
    *("Jupiter", "Mercury", "Neptune", "Pluto", "Saturn", "Uranus"),
)
_NAMES_PATTERN = re.compile(rf"\b({'|'.join(_NAMES)})\b", re.IGNORECASE)
_TAKES_AN = re.compile(r"[aio]|e(?!uropean)|x-|u(?!ni)")

# Lengths without a common divisor: the combination returns only after 25 * 19 * 13 pictures.
_STYLES = (
    "a linocut print in two colours",
    "a watercolour sketch with loose wet edges",
    "an isometric low-poly render",
    "a 1960s railway travel poster",
    "a Japanese woodblock print with flat colour and a grained sky",
    "a stained glass window with heavy lead lines",
    "a charcoal drawing on rough paper",
    "felt and button applique",
    "a macro photograph with very shallow focus",
    "a hand-coloured plate from an old encyclopedia",
    "pixel art in a sixteen-colour palette",
    "a blueprint with white construction lines and dimensions",
    "an oil painting in thick palette-knife strokes",
    "a layered paper-cut diorama lit from behind",
    "a still from a clay animation, fingerprints visible",
    "a cross-stitch sampler on linen",
    "a cyanotype with brushed borders",
    "a Roman floor mosaic with a few tiles missing",
    "a neon shop sign photographed in the rain",
    "a Bauhaus poster built from circles and triangles",
    "a picture-book illustration in gouache",
    "an Art Nouveau label with a botanical border",
    "a chalk drawing on a school blackboard",
    "a technical cutaway illustration with thin callout lines",
    "an embroidered mission patch",
)
_SETTINGS = (
    "on a windowsill above a harbour",
    "alone in the middle of a salt flat",
    "in a crowded night market",
    "on the top shelf of a clockmaker's workshop",
    "floating over a terraced hillside",
    "half buried in fresh snow",
    "on the deck of a river ferry",
    "in a greenhouse full of ferns",
    "under a railway arch with peeling posters",
    "at the bottom of a clear rock pool",
    "on a kitchen table set for two",
    "in a library with rolling ladders",
    "beside a mountain road at the last hairpin",
    "inside a glass dome on a velvet cushion",
    "in an empty theatre, seen from the stage",
    "on a rooftop between water tanks and pigeons",
    "in a field of tall grass bent by wind",
    "in the waiting room of a small airport on another planet",
    "among the roots of a very old tree",
)
_LIGHTS = (
    "late afternoon light with long shadows",
    "a pale green sky before a storm",
    "one bare bulb and deep shadow",
    "morning mist and almost no colour",
    "full moonlight, blue and silver",
    "flat noon light, hard edges",
    "firelight from below",
    "a sunset in coral and violet",
    "soft light from a north window",
    "aurora overhead, reflected everywhere",
    "candlelight with warm browns",
    "overcast light after rain, everything wet",
    "two colours only: ochre and ink blue",
)


def subjects() -> list[str]:
    """What the pictographs show, one phrase each ("a hedgehog"), without signs, arrows and the like; no duplicates."""
    phrases: dict[str, None] = {}
    for first, last in _BLOCKS:
        for code_point in range(first, last + 1):
            name = unicodedata.name(chr(code_point), "")
            if name and _NOT_A_SUBJECT.isdisjoint(re.split(r"[ -]", name)):
                phrases[_phrase(name)] = None
    return list(phrases)


def picture_prompts(count: int) -> Iterator[tuple[str, str]]:
    """`count` pairs of (subject, prompt). Subjects come back in another style and place once all were used."""
    every = subjects()
    # Neighbours in Unicode are alike (24 clocks in a row), so walk with a stride that still visits each once a lap.
    stride = next(step for step in range(round(len(every) * 0.618), 2 * len(every)) if math.gcd(step, len(every)) == 1)
    for index in range(count):
        subject = every[index * stride % len(every)]
        style, place, light = (part[index % len(part)] for part in (_STYLES, _SETTINGS, _LIGHTS))
        yield (
            subject,
            f"{subject[0].upper()}{subject[1:]} {place}, as {style}. {light[0].upper()}{light[1:]}. No lettering.",
        )


def _phrase(name: str) -> str:
    words = _TRAILING.sub("", _LEADING.sub("", name.lower()).replace("oclock", "o'clock").replace("mans ", "man's "))
    words = re.sub(r"^clock face (.+)$", r"clock face showing \1", words)
    words = _NAMES_PATTERN.sub(lambda match: match[0].capitalize(), words)
    head = (
        re.split(r" (?:with|of|in|over|on|and|behind|at|without|showing|holding|raising) ", words)[0]
        .split()[-1]
        .lower()
    )
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is", "as"))
    if plural or head in _UNCOUNTED or words.startswith(("two ", "three ")):
        return words
    return f"an {words}" if _TAKES_AN.match(words.lower()) else f"a {words}"
