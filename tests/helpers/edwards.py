"""Edwards curves in our own arithmetic, for crafting keys and signatures that no library makes."""

from __future__ import annotations

from functools import cache

P25519 = 2**255 - 19
D25519 = -121665 * pow(121666, -1, P25519) % P25519
L25519 = 2**252 + 27742317777372353535851937790883648493
P448 = 2**448 - 2**224 - 1
D448 = -39081
L448 = 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885

Point = tuple[int, int]


def add(a: int, d: int, p: int, one: Point, other: Point) -> Point:
    """The sum of two points of a x^2 + y^2 = 1 + d x^2 y^2."""
    (x1, y1), (x2, y2) = one, other
    product = d * x1 * x2 * y1 * y2 % p
    x = (x1 * y2 + y1 * x2) * pow(1 + product, -1, p) % p
    y = (y1 * y2 - a * x1 * x2) * pow(1 - product, -1, p) % p
    return x, y


def times(a: int, d: int, p: int, count: int, point: Point) -> Point:
    total: Point = (0, 1)
    while count:
        if count & 1:
            total = add(a, d, p, total, point)
        point, count = add(a, d, p, point, point), count >> 1
    return total


def root(value: int, p: int) -> int | None:
    """A square root modulo p, or None."""
    value %= p
    found = pow(value, (p + 1) // 4, p) if p % 4 == 3 else pow(value, (p + 3) // 8, p)
    for candidate in (found, found * pow(2, (p - 1) // 4, p) % p):
        if candidate * candidate % p == value:
            return candidate
    return None


def small_points(a: int, d: int, p: int, order: int, cofactor: int) -> set[Point]:
    """Every point whose order divides the cofactor: the large prime times any point lands on one."""
    found: set[Point] = set()
    y = 2
    while len(found) < cofactor:
        x = root((1 - y * y) * pow(a - d * y * y, -1, p), p)
        if x is not None:
            point = times(a, d, p, order, (x, y))
            for count in range(cofactor):
                found.add(times(a, d, p, count, point))
        y += 1
    assert all(times(a, d, p, cofactor, point) == (0, 1) for point in found)
    return found


@cache
def small_25519() -> set[Point]:
    return small_points(-1, D25519, P25519, L25519, 8)


@cache
def small_448() -> set[Point]:
    return small_points(1, D448, P448, L448, 4)


def spellings(points: set[Point], p: int, bits: int, size: int) -> list[bytes]:
    """Every encoding of these points, those that are not canonical too."""
    found = set[bytes]()
    for _, y in points:
        for value in (y, y + p):
            if value < 1 << bits:
                found |= {(value | sign << size * 8 - 1).to_bytes(size, "little") for sign in (0, 1)}
    return sorted(found)


B25519: Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def add25519(one: Point, other: Point) -> Point:
    return add(-1, D25519, P25519, one, other)


def times25519(count: int, point: Point = B25519) -> Point:
    return times(-1, D25519, P25519, count, point)


def encode25519(point: Point) -> bytes:
    """RFC 8032 5.1.2."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")
