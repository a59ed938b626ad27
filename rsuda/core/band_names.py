"""Name bands: codes such as 'RGBIR', words, Sentinel-2 and Landsat numbers, and wavelengths become one set of names.

Blue, green, red and near infrared ('ir') have one name each, so that the bands of two sensors meet. All other bands keep
their own names in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell

BANDS = ("ir", "red", "green", "blue")  # band names that have a letter code; all other names are allowed too
MOST_BANDS = 1000  # of a file, a scene and a model
_CODES = {"ir": "IR", "red": "R", "green": "G", "blue": "B"}
_WORDS = (("NIR", "ir"), ("IR", "ir"), ("N", "ir"), ("R", "red"), ("G", "green"), ("B", "blue"))
_INFRARED = ("nir", "near infrared", "infrared", "nearinfrared", "near-infrared", "near_infrared", "near ir")
_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "ir", "i": "ir"}
_SECOND = {  # where still free; words without blanks
    **dict.fromkeys(("rouge", "rot", "rojo", "rosso", "vermelho", "rood", "czerwony", "красный", "红", "赤"), "red"),
    **dict.fromkeys(("vert", "grün", "gruen", "verde", "groen", "zielony", "зелёный", "зеленый", "绿", "緑"), "green"),
    **dict.fromkeys(("bleu", "blau", "azul", "blu", "blauw", "niebieski", "синий", "蓝", "青"), "blue"),
    **dict.fromkeys(
        (
            *("nir1", "nir08", "vnir", "infrarouge", "procheinfrarouge", "pir", "infrarot", "nahesinfrarot"),
            *("infrarrojo", "infrarrojocercano", "infrarosso", "vicinoinfrarosso", "infravermelho"),
            *("infravermelhopróximo", "infrarood", "nabijinfrarood", "近红外", "近赤外"),
        ),
        "ir",
    ),
}
_NOT_CODES = ("gray", "grey", "brightness", "green_i", "red_edge")  # begin with two letters of a code
_SENTINEL_2 = {"02": "blue", "03": "green", "04": "red", "08": "ir"}
_LANDSAT_8 = {"2": "blue", "3": "green", "4": "red", "5": "ir"}
_LANDSAT_7 = {"1": "blue", "2": "green", "3": "red", "4": "ir"}
_BOTH = {"2": "blue", "3": "green", "4": "red"}  # in Sentinel-2 and Landsat 8
_NUMBER = re.compile(r"(?:band|b|bd|layer|channel|ch)?[ _-]*\d+", re.IGNORECASE)
_COUNTED = re.compile(r"(?:band|b|layer|channel)?[ _-]*\d+a? *[:\-(] *(?P<name>[a-z0-9.][^)]*)\)?")  # 'band 1: red'
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) *\(? *(nm|nanomet\w+|um|µm|μm|micromet\w+|microns?)\b", re.IGNORECASE)
# Nominal wavelengths in micrometres. The band nearest to a colour's wavelength has this colour, within this distance.
_COLOURS = {"blue": 0.485, "green": 0.56, "red": 0.66, "ir": 0.835}
_APART = 0.04


def band_names(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read band names from 'RGB', 'IRRG', 'RGBIR', 'red,green,nir', one name ('pan') or a list.

    'IR', 'NIR' and 'N' mean near infrared. Numbers of Sentinel-2 (B02 … B12, B8A) and Landsat (SR_B4) become the names
    of the colours. So do single letters and texts such as 'Band 1: Red' or 'Red (655 nm)'.

    Raises:
        InputError: a code has other letters, or a band occurs twice.
    """
    if not isinstance(text, str):
        names = [str(band) for band in text]
    elif "," in text:
        names = text.split(",")
    else:
        names = _code_or_name(text)
    names = [_plain(name) for name in names]
    if len(set(names)) == len(names):
        colours = colours_of(names)
        names = [colours.get(name, name) for name in names]
    if len(set(names)) != len(names):
        band_list = ", ".join(names)
        raise InputError(f"a band occurs twice in {band_list if len(band_list) <= 100 else band_list[:100] + '…'}")
    return tuple(names)


def own_names(descriptions: Sequence[str]) -> tuple[str, ...]:
    """Write descriptions in lower case, as rsuda 0.1 named bands; runs of that version have such names."""
    return tuple("ir" if (name := text.strip().lower()) in _INFRARED else name for text in descriptions)


def band_code(bands: tuple[str, ...]) -> str:
    """Abbreviate a band order: ('ir', 'red', 'green') becomes 'IRRG'."""
    return "".join(_CODES[band] for band in bands) if all(band in _CODES for band in bands) else ",".join(bands)


def listed(bands: Sequence[str]) -> str:
    """List band names for a sentence; of many, the first ones and their number."""
    return ", ".join(bands) if len(bands) <= 20 else f"{', '.join(bands[:5])}, … ({len(bands)} bands)"


def example_order(count: int) -> str:
    """Write an example of a band order with this number of bands, for a sentence."""
    return {1: "pan", 2: "red,ir", 3: "RGB", 4: "RGBIR"}.get(count, "blue,green,red,…")


def advice(count: int) -> str:
    """Advise how to name the bands of a file with this number of bands, for the end of a sentence."""
    return (
        f"name its bands in file order, for example {spell('bands', example_order(count))} (adapt has "
        f"{spell('target_bands')} and {spell('source_bands')}, domain files have bands:)"
    )


def are_numbers(descriptions: Sequence[str]) -> bool:
    """Check whether descriptions only count ('Band_1', 'Band_2', …) and belong to no sensor whose numbers are known."""
    plain = [_plain(text) for text in descriptions]
    return all(_NUMBER.fullmatch(text) for text in plain) and not colours_of(plain)


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Find which of a file's bands are blue, green, red and near infrared ('ir'); other bands are left out.

    A colour's own word comes first, then letters, then the numbers of a sensor, then wavelengths in the text.
    """
    plain = {name: _plain(name) for name in names}
    result = {name: word for name, word in plain.items() if word in BANDS}
    lengths = {name: um for name in names if (um := wavelength(name)) is not None}
    for sayings in (_by_letter(plain), _by_number(plain), _by_second_word(plain), colours_by_wavelength(lengths)):
        for name, colour in sayings.items():
            if name not in result and colour not in result.values():
                result[name] = colour
    return result


def colours_by_wavelength(lengths: Mapping[str, float]) -> dict[str, str]:
    """Find the band nearest to each colour's wavelength, by wavelengths in micrometres."""
    names: dict[str, str] = {}
    for colour, length in _COLOURS.items():
        distances = {band: abs(value - length) for band, value in lengths.items()}
        near = min(distances, key=lambda band: distances[band], default=None)
        if near is not None and distances[near] < _APART and near not in names:
            names[near] = colour
    return names


def names_by_wavelength(lengths: Sequence[float]) -> tuple[str, ...]:
    """Name bands by their wavelengths in micrometres: colours, else '1610 nm'."""
    digits = next(
        digit
        for digit in range(7)
        if digit == 6 or len({round(1000 * um, digit) for um in lengths}) == len(set(lengths))
    )
    texts = [f"{1000 * um:.{digits}f} nm" for um in lengths]
    colours = colours_by_wavelength(dict(zip(texts, lengths, strict=True)))
    return tuple(colours.get(text, text) for text in texts)


def wavelength(text: str) -> float | None:
    """Find the wavelength in micrometres in a text such as 'Red (655 nm)' or '0.655 Micrometers'; None without one."""
    match = _LENGTH.search(text)
    if match is None:
        return None
    value = float(match[1]) / (1000 if match[2].lower().startswith("n") else 1)
    return value if 0.1 < value < 1000 else None


def _plain(text: str) -> str:
    """Write a name in lower case, without the count before it ('Band 1: Red') or the wavelength of a colour after it."""
    name = " ".join(str(text).split()).lower()
    if match := _COUNTED.fullmatch(name):
        name = match["name"].strip() if not re.match(r"[\d.]", match["name"]) else name
    word = re.sub(r" *[(\[,]? *" + _LENGTH.pattern + r" *[)\]]?$", "", name)
    word = re.sub(r" band$", "", word)
    for form in (name, word):
        if form in _INFRARED or form in BANDS:
            return "ir" if form in _INFRARED else form
    return name


def _code_or_name(text: str) -> list[str]:
    """Split a code of letters, or take the text as one name ('pan') where it does not begin as a code does."""
    rest, names = text.strip().upper(), []
    plain = _plain(text)
    if plain in BANDS:
        return [plain]
    while rest:
        word, name = next((pair for pair in _WORDS if rest.startswith(pair[0])), ("", ""))
        if not word:
            break
        names.append(name)
        rest = rest[len(word) :]
    if names and not rest:
        return names
    if plain and (len(names) < 2 or plain in _NOT_CODES or re.search(r"\d", plain)):
        return [plain]
    raise InputError(f"band order '{text}' is not made of R, G, B and IR: name the bands as red,green,…")


def _by_letter(plain: Mapping[str, str]) -> dict[str, str]:
    letters = {name: word for name, word in plain.items() if len(word) == 1}
    if not set(letters.values()) <= set(_LETTERS):
        return {}
    return {name: _LETTERS[letter] for name, letter in letters.items()}


def _by_second_word(plain: Mapping[str, str]) -> dict[str, str]:
    words = {name: re.sub(r"[ _-]", "", word) for name, word in plain.items()}
    return {name: _SECOND[word] for name, word in words.items() if word in _SECOND}


def _by_number(plain: Mapping[str, str]) -> dict[str, str]:
    """Find the colours of numbered bands of Sentinel-2 (B02, B8A) or Landsat (B4, SR_B4) by all their numbers."""
    numbers = {name: match for name, word in plain.items() if (match := re.fullmatch(r"(sr_)?b(\d\d?|8a)", word))}
    table = _number_table({match[2] for match in numbers.values()}, any(match[1] for match in numbers.values()))
    return {name: table[match[2]] for name, match in numbers.items() if match[2] in table}


def _number_table(numbers: set[str], surface: bool) -> Mapping[str, str]:
    """Find the colours of a sensor's numbers; empty where they may be those of several sensors.

    Args:
        surface: the numbers have Landsat's prefix 'SR_'.
    """
    plain = {number.lstrip("0") for number in numbers}
    if surface:
        return _landsat_table(plain)
    if any(number.startswith("0") for number in numbers):
        return _SENTINEL_2
    if plain & {"8a", "12"} or ("8" in plain and not plain & {"1", "5", "6", "7"}):
        return {number.lstrip("0"): colour for number, colour in _SENTINEL_2.items()} if len(plain) > 1 else {}
    if plain == {str(number + 1) for number in range(11)}:
        return _LANDSAT_8
    if "1" in plain or "8" in plain:  # only counted, or of Landsat 4 to 7
        return {}
    return _LANDSAT_8 if len(plain) > 1 and plain & {"2", "3", "4"} else _BOTH


def _landsat_table(numbers: set[str]) -> Mapping[str, str]:
    if "1" not in numbers or "6" in numbers:
        return _LANDSAT_8
    return _LANDSAT_7 if {"5", "7"} <= numbers else {}
