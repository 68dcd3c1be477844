"""Names for questions: known ones, invented ones of every letter structure, and those that training never sees.

A word is *unseen* when it stands in ``_UNSEEN`` or when its digest falls into one class of eight. Training uses no
name with an unseen word and the evaluation of unseen names only names whose every word is unseen, so the two are
disjoint by construction, whatever the seeds.
"""

from __future__ import annotations

import hashlib
import random
import string
import unicodedata
from functools import cache
from itertools import chain
from typing import Literal

__all__ = ["NameKind", "digest_class", "entity", "invented_word", "is_unseen"]

NameKind = Literal["city", "country", "person", "thing"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


_KNOWN: dict[NameKind, tuple[str, ...]] = {
    "city": _words(
        "Paris London Berlin Madrid Rome Vienna Oslo Dublin Lisbon Athens Warsaw Tokyo Seoul "
        "Delhi Cairo Lima Bogota Havana Boston Chicago Austin Seattle Miami Toronto Sydney "
        "Nairobi Munich Milan Hanoi Prague Quito Denver Lagos Zurich Hamburg Naples Geneva Lyon "
        "Porto Leeds"
    ),
    "country": _words(
        "France Germany Spain Italy Austria Norway Ireland Portugal Greece Poland Japan India "
        "Egypt Peru Cuba Canada Australia Brazil Chile Mexico Sweden Finland Denmark Kenya "
        "Iceland Turkey Argentina China Vietnam"
    ),
    "person": _words(
        "Alice Bob Carol David Emma Frank Grace Henry Ivan Julia Kevin Laura Mike Nina Oscar "
        "Paula Anna Ben Clara Tom Sara Max Lena Paul Maria Peter Lucy John Mary James"
    ),
    "thing": _words(
        "Apollo Falcon Orion Atlas Phoenix Mercury Titan Nova Zephyr Comet Aurora Vega"
    ),
}
_PAIRS: dict[NameKind, tuple[str, ...]] = {
    "city": _listed(
        "New York,Los Angeles,San Diego,Hong Kong,Cape Town,Buenos Aires,Mexico City,New Delhi"
    ),
    "country": _listed("South Korea,New Zealand,Costa Rica,Saudi Arabia,South Africa,Sri Lanka"),
    "person": _listed("Ada Brown,John Smith,Mary Jones,Peter Miller,Anna White,Tom Baker"),
    "thing": _listed("Project Atlas,Red Falcon,Blue Comet,Team Orion"),
}
_UNSEEN: dict[NameKind, tuple[str, ...]] = {
    "city": _listed(
        "Ouagadougou,Timbuktu,Vladivostok,Krakow,Bratislava,Ljubljana,Tallinn,Antwerp,Marrakech,"
        "Kathmandu,Honolulu,Albuquerque,Cincinnati,Mississauga,Chattanooga,Guadalajara,Medellin,"
        "Yokohama,Fukuoka,Bangalore,Hyderabad,Gaborone,Mombasa,Aberdeen,Swindon,Graz,Bergen,Turku,"
        "Aarhus,Perth,Hobart,Jakarta,Manila,Minsk,Split,Ghent,Bern,Ulm,Fez,Baku,Kuala Lumpur,"
        "Addis Ababa,Tel Aviv,Phnom Penh,Novi Sad,Baton Rouge,Des Moines,Ciudad Juarez"
    ),
    "country": _listed(
        "Mozambique,Kyrgyzstan,Uruguay,Paraguay,Bolivia,Cambodia,Botswana,Zimbabwe,Liechtenstein,"
        "Luxembourg,Azerbaijan,Madagascar,Honduras,Jamaica,Estonia,Slovenia,Croatia,Nepal,Laos,"
        "Chad,Mali,Togo,Oman,Qatar,Fiji,Tonga,Burkina Faso,Sierra Leone,Cabo Verde,El Salvador"
    ),
    "person": _listed(
        "Priyanka,Svetlana,Giuseppe,Bartholomew,Konstantin,Aoife,Siobhan,Mohammed,Xiaoming,"
        "Takeshi,Ingrid,Bjorn,Fatima,Guillermo,Wolfgang,Penelope,Theodore,Zbigniew,Hannah,Otto,"
        "Eve,Ian,Zoe,Jaya,Dmitri Volkov,Chloe Dubois,Aisha Khan,Rajesh Gupta,Bob Okonkwo-Ellis"
    ),
    "thing": _listed(
        "Zorblat,Quixnar,Wumpelfizz,Blorptron,Xylophex,Grumdle,Snazzwick,Vrrp Kolm,Jub Jub,"
        "Fnordling"
    ),
}
_FIRST_WORDS = _words(
    "New San Santa Port Saint St. Fort Mount Lake North South East West El La Las Los Great Old "
    "Upper Bad Rio Van De Mc"
)
_LAST_WORDS = _words(
    "City Town Beach Falls Springs Island Valley Hill Bay Bridge Park Smith Jones Miller Junior "
    "Jr. II"
)
_WORDS_TOO = _words(
    "Will Sunday Rain Grace Price Mark Page Story Note Send Rose Hope May Book Chart Milk Order "
    "Bank Gate Boss Bill Sky"
)
_JOINTS = (" de ", " del ", " of ", " van ", " al ", " and ", " & ", "-", "-", "'")
_ONSETS = (
    *_words(
        "b c d f g h j k l m n p q r s t v w x y z bl br ch cl cr dr dw fl fr gh gl gr gw kh kl kn kr "
        "ll mb mc ng nk ph pl pr ps qu rh sc sch sh sk sl sm sn sp spr st str sv sw tch th tr ts tz "
        "tw vl vr wh wr zh zl zw"
    ),
    *[""] * 12,
)
_VOWELS = _words(
    "a e i o u a e i o u a e i o y aa ae ai au ea ee ei eo eu ia ie io iu oa oe oi oo ou ua ue ui "
    "uo ya yo ayo eye"
)
_CODAS = (
    *_words(
        "b c ck d f ff g gg h k ks l ld lk ll lm lp ls lt m mb mm mp n nd ng nk nn ns nt nx p ph pp "
        "pt q r rb rch rd rg rk rl rm rn rp rs rst rt rv s sh sk sp ss st t tch th ts tt tz v w wn x "
        "y z zz"
    ),
    *[""] * 60,
)
_ACCENTS = dict(zip("aceinouyszgdl", "áçéíñöüÿšžğđł", strict=True))
_SCRIPTS = (
    "абвгдежзиклмнопрстуфхцчшыюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "東京都大阪市北海道山川田中村",
    "אבגדהוזחטילמנס",
    "कखगचजटडतदनपबमयरल",
)
_CLASSES = 8


@cache
def _pool(kind: NameKind, unseen: bool) -> tuple[str, ...]:
    names = (*_KNOWN[kind], *_PAIRS[kind], *_UNSEEN[kind])
    fits = all if unseen else lambda held: not any(held)
    return tuple(name for name in names if fits(map(is_unseen, name.split())))


@cache
def _unseen_words() -> frozenset[str]:
    return frozenset(" ".join(chain(*_UNSEEN.values())).casefold().split())


def digest_class(text: str, classes: int) -> int:
    """The class of ``classes`` that the digest of the text falls into, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") % classes


def is_unseen(word: str) -> bool:
    """Whether training never uses the word in a name."""
    folded = word.casefold()
    return folded in _unseen_words() or digest_class(folded, _CLASSES) == 0


def entity(rng: random.Random, kind: NameKind, *, unseen: bool = False) -> str:
    """A name: of the known ones one in four, or one in two of the unseen; else invented, of one to three words."""
    if rng.random() < (0.5 if unseen else 0.25):
        return rng.choice(_pool(kind, unseen))
    if unseen:
        return " ".join(_word(rng, unseen=True) for _ in range(rng.choice((1, 1, 2))))
    while True:
        name = _invented_name(rng)
        if not any(map(is_unseen, name.split())):
            return name


def _invented_name(rng: random.Random) -> str:
    shape = rng.random()
    if shape < 0.66:
        return _word(rng)
    if shape < 0.68:
        return rng.choice(_WORDS_TOO)
    if shape < 0.88:
        return f"{_word(rng)} {_word(rng)}"
    if shape < 0.91:
        return " ".join(_word(rng) for _ in range(3))
    if shape < 0.94:
        return f"{rng.choice(_FIRST_WORDS)} {_word(rng)}"
    if shape < 0.97:
        return f"{_word(rng)} {rng.choice(_LAST_WORDS)}"
    return _word(rng) + rng.choice(_JOINTS) + _word(rng)


def invented_word(rng: random.Random) -> str:
    """A word of lower-case letters that training may use in a name."""
    while is_unseen(word := _letters(rng)):
        pass
    return word


def _letters(rng: random.Random) -> str:
    """A word that no language has to have: 1 to 13 lower-case letters, mostly 3 to 10."""
    shape = rng.random()
    if shape < 0.6:
        return _syllables(rng)
    length = min(rng.randint(2, 13), rng.randint(3, 14))
    if shape < 0.78:
        return "".join(rng.choices(string.ascii_lowercase, k=length))
    if (
        shape < 0.85
    ):  # few letters, often repeated: where copying by the last letter alone goes wrong
        return "".join(rng.choices(rng.sample(string.ascii_lowercase, rng.randint(2, 5)), k=length))
    return "".join(
        rng.choice("aeiou" if at % 2 else "bcdfghjklmnpqrstvwxyz") for at in range(length)
    )


def _word(rng: random.Random, *, unseen: bool = False) -> str:
    while True:
        word = _dressed(rng, _letters(rng))
        if is_unseen(word) == unseen:
            return word


def _syllables(rng: random.Random) -> str:
    count = rng.choice((1, 2, 2, 2, 3, 3, 4))
    word = "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)
    )
    return word[: rng.randint(7, 13)]


def _dressed(rng: random.Random, word: str) -> str:
    """The word as people write it: mostly with a capital, at times with accents or in another script."""
    case = rng.random()
    if case < 0.06:
        word = "".join(_ACCENTS.get(c, c) if rng.random() < 0.4 else c for c in word)
    elif case < 0.075:
        script = rng.choice(_SCRIPTS)
        return unicodedata.normalize("NFC", "".join(rng.choices(script, k=min(len(word), 7))))
    elif case < 0.09:
        return "".join(rng.choices(string.ascii_uppercase + string.digits, k=rng.randint(2, 6)))
    if case < 0.2:
        return word
    if case < 0.24:
        return word.upper()
    if case < 0.27 and len(word) > 4:
        at = rng.randint(2, len(word) - 2)
        return word[:at].capitalize() + word[at:].capitalize()
    return word.capitalize()
