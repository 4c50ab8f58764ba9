"""Invented names of tracks, albums and artists, each a function of a number.

>>> titles(np.array([0, 1]), np.array([False, False])).to_pylist()
['Quiet Ferry', 'Copper Garden']
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


_ADJECTIVES = words("""Quiet Copper Silver Hollow Crimson Distant Electric Frozen Gentle Golden Hidden Ivory Jagged Lonely Lucky Midnight
Neon Northern Paper Pale Quick Restless Rusty Salty Scarlet Second Secret Shallow Slow Solar Southern Spare Static Stolen Strange
Sudden Tender Thin Tidal Tiny Twin Velvet Violet Wandering Warm Wasted Wild Winter Wooden Yellow Young Broken Burning Careless
Cold Concrete Early Empty Endless Faithful Fearless Feral Foreign Glass Half Honest Humble Idle Inner Late Liquid Lost Magnetic
Muddy Narrow Nervous Open Outer Patient Plastic Polar Proud Random Rapid Sacred Sleepless Smoky Stray Sunken Tall Unfinished
Upper Vacant Vague Waking Weary""")
_NOUNS = words("""Ferry Garden River Engine Harbour Mirror Window Signal Lantern Meadow Orchard Planet Pocket Radio Rooftop Sailor Shadow
Station Summer Sunday Telephone Theatre Thunder Tiger Tower Train Tunnel Valley Violin Voltage Weekend Whisper Willow Winter
Wolf Anchor Answer Arrow Autumn Avenue Balcony Ballad Bicycle Blossom Border Bridge Candle Canyon Carnival Castle Cathedral
Cinema Circus City Cloud Comet Compass Corner Cradle Crowd Dancer Daylight Desert Diamond Distance Dream Driver Echo Ember
Evening Falcon Feather Fever Fire Flower Forest Fortune Fountain Frontier Ghost Giant Gravity Guitar Halo Heart Highway Honey
Horizon Hour Island Jacket Journey Jungle Kingdom Kite Ladder Lagoon Letter Lighthouse Lightning Machine Marble Market Memory
Mile Minute Moon Morning Motor Mountain""")
_PLACES = words("""Lisbon Marlow Tromso Harlow Bergen Delmar Osaka Lima Kazan Varna Split Turin Galway Porto Ghent Riga Cadiz Genoa Ravenna
Leith Bodo Lund Bruges Malmo Odense Tartu Vilnius Gdansk Brno Graz Linz Pecs Sibiu Ohrid Kotor Zadar Patras Izmir Batumi Tbilisi
Yerevan Bukhara Almaty Omsk Tomsk Perm Vyborg Pskov""")
_FIRST = words("""Mara Jonas Elin Tove Anselm Bruno Clara Dario Edda Felix Greta Hanno Ines Jaro Kira Lasse Mina Nico Odile Pavel Quentin
Runa Silas Thea Ugo Vera Wim Xenia Yann Zora Alba Boris Celia Dante Esme Fabio Gilda Hugo Irma Joel""")
_LAST = words("""Hartwell Lindqvist Okafor Marchetti Vance Solberg Duarte Novak Castellan Thorne Abara Birch Calloway Dravec Ellery
Fontaine Grieg Hollis Ivarsson Jankowiak Kestrel Lorca Maddox Nyberg Orsini Pryce Quill Renner Santoro Tamura Ullmann Vasari
Winther Yilmaz Zeller Ashby Brandt Corvin Delacroix Ekman""")
_CYRILLIC = words("""Ночь Река Весна Дорога Зима Луна Окно Мост Ветер Дождь Снег Море Город Вокзал Письмо Свет Тень Огонь Осень Утро
Берег Волна Голос Дым Звезда Лето Лёд Маяк Небо Облако Парус Песня Площадь Поезд Рассвет Сад Сон Трамвай Туман
Улица""")
_CYRILLIC_FIRST = words("Лада Мирон Есения Тихон Злата Савва Варя Гордей Ника Демьян Рада Фёдор Стеша Лука Майя Платон")
_CYRILLIC_LAST = words("""Заречный Полынин Вершков Тальник Северин Лунёв Рябинов Горлица Медовар Снежин Травник Клёнов Искрин Дубрава
Березин
Ветров""")

Number = NDArray[np.int64]


def titles(number: Number, cyrillic: NDArray[np.bool_]) -> pa.Array:
    """Titles of tracks and albums, text (n,); lower numbers have shorter titles. Numbers below 2 million have different titles."""
    short = [" ", _part(_ADJECTIVES, number), _part(_NOUNS, number // len(_ADJECTIVES) + number)]
    round_ = number // (len(_ADJECTIVES) * len(_NOUNS))
    latin = _with_tail(_joined(short), " in ", _part(_PLACES, round_ - 1), round_ > 0)
    latin = _with_tail(latin, ", Part ", _numeral(round_ // len(_PLACES) + 1), round_ // len(_PLACES) > 0)
    pairs = [" и ", _part(_CYRILLIC, number), _part(_CYRILLIC, number // len(_CYRILLIC) + number + 1)]
    turn = number // len(_CYRILLIC) ** 2
    return pc.if_else(pa.array(cyrillic), _with_tail(_joined(pairs), ", часть ", _numeral(turn + 1), turn > 0), latin)


def artists(number: Number, cyrillic: NDArray[np.bool_]) -> pa.Array:
    """Names of artists, text (n,): persons, then bands, then persons with bands. Numbers below 400,000 have different names."""
    persons, bands = len(_FIRST) * len(_LAST), len(_ADJECTIVES) * len(_NOUNS)
    person = _joined([" ", _part(_FIRST, number), _part(_LAST, number // len(_FIRST) + number)])
    rest = np.maximum(number - persons, 0)
    band = _joined([" ", _constant("The", number), _part(_ADJECTIVES, rest), _part(_NOUNS, rest // len(_ADJECTIVES) + rest)])
    leader = _joined([" & ", _part(_FIRST, rest // bands - 1), band])
    latin = pc.if_else(pa.array(number < persons), person, pc.if_else(pa.array(rest < bands), band, leader))
    native = _joined([" ", _part(_CYRILLIC_FIRST, number), _part(_CYRILLIC_LAST, number // len(_CYRILLIC_FIRST) + number)])
    turn = number // (len(_CYRILLIC_FIRST) * len(_CYRILLIC_LAST))
    return pc.if_else(pa.array(cyrillic), _with_tail(native, " & ", latin, turn > 0), latin)


def _part(choice: list[str], number: Number) -> pa.Array:
    return pa.array(choice).take(pa.array(number % len(choice)))


def _joined(parts: list[pa.Array | str]) -> pa.Array:
    separator, *columns = parts
    return pc.binary_join_element_wise(*columns, separator)


def _with_tail(head: pa.Array, link: str, tail: pa.Array, where: NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(where), pc.binary_join_element_wise(head, tail, link), head)


def _constant(word: str, number: Number) -> pa.Array:
    return pa.array([word]).take(pa.array(np.zeros(len(number), np.int64)))


def _numeral(number: Number) -> pa.Array:
    return pa.array(number).cast(pa.string())
