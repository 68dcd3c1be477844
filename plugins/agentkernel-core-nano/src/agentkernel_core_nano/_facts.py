"""The tables behind the tools: units, and what ``lookup`` knows."""

from __future__ import annotations

__all__ = ["COUNTRIES", "FACTS", "STAFF", "UNITS"]

# Names of the unit -> base units in one of it, and where its zero lies.
_UNITS: dict[str, dict[str, float]] = {
    "length": {
        "m meters metres": 1,
        "km kilometers kilometres": 1000,
        "cm centimeters": 0.01,
        "mm millimeters": 0.001,
        "miles": 1609.344,
        "yards": 0.9144,
        "feet": 0.3048,
        "inches": 0.0254,
    },
    "mass": {
        "g grams": 1,
        "kg kilograms": 1000,
        "tons tonnes": 1e6,
        "pounds": 453.59237,
        "ounces": 28.349523125,
    },
    "volume": {"l liters litres": 1, "ml milliliters": 0.001, "gallons": 3.785411784, "cups": 0.24},
    "time": {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800},
}
UNITS: dict[str, tuple[str, float, float]] = {
    name: (kind, float(scale), 0.0)
    for kind, units in _UNITS.items()
    for names, scale in units.items()
    for name in names.split()
} | {
    "celsius": ("temperature", 1.0, 273.15),
    "fahrenheit": ("temperature", 5 / 9, 273.15 - 32 * 5 / 9),
    "kelvin": ("temperature", 1.0, 0.0),
}

_COUNTRY_FIELDS = ("capital", "currency", "language", "continent")
COUNTRIES = """
Argentina|Buenos Aires|peso|Spanish|South America
Australia|Canberra|dollar|English|Oceania
Austria|Vienna|euro|German|Europe
Brazil|Brasilia|real|Portuguese|South America
Canada|Ottawa|dollar|English|North America
Chile|Santiago|peso|Spanish|South America
China|Beijing|yuan|Mandarin|Asia
Cuba|Havana|peso|Spanish|North America
Denmark|Copenhagen|krone|Danish|Europe
Egypt|Cairo|pound|Arabic|Africa
Finland|Helsinki|euro|Finnish|Europe
France|Paris|euro|French|Europe
Germany|Berlin|euro|German|Europe
Greece|Athens|euro|Greek|Europe
Iceland|Reykjavik|krona|Icelandic|Europe
India|New Delhi|rupee|Hindi|Asia
Ireland|Dublin|euro|English|Europe
Italy|Rome|euro|Italian|Europe
Japan|Tokyo|yen|Japanese|Asia
Kenya|Nairobi|shilling|Swahili|Africa
Mexico|Mexico City|peso|Spanish|North America
Norway|Oslo|krone|Norwegian|Europe
Peru|Lima|sol|Spanish|South America
Poland|Warsaw|zloty|Polish|Europe
Portugal|Lisbon|euro|Portuguese|Europe
South Korea|Seoul|won|Korean|Asia
Spain|Madrid|euro|Spanish|Europe
Sweden|Stockholm|krona|Swedish|Europe
Turkey|Ankara|lira|Turkish|Asia
Vietnam|Hanoi|dong|Vietnamese|Asia
"""
_STAFF_FIELDS = ("role", "phone", "office", "email")
STAFF = """
Alice|director|5510|B12|alice@example.org
Bob|engineer|5522|B14|bob@example.org
Carol|designer|5537|C03|carol@example.org
David|accountant|5541|A07|david@example.org
Emma|engineer|5558|B15|emma@example.org
Frank|librarian|5563|D21|frank@example.org
"""


def _table(text: str, fields: tuple[str, ...]) -> dict[str, dict[str, str]]:
    rows = [line.split("|") for line in text.strip().splitlines()]
    return {key.casefold(): dict(zip(fields, facts, strict=True)) for key, *facts in rows}


FACTS = _table(COUNTRIES, _COUNTRY_FIELDS) | _table(STAFF, _STAFF_FIELDS)
