"""Symbolic arithmetic on figures, some of which are unknown: known values are computed, unknown ones remain as names.

A term is a sum of products, e.g. `5310720 ÷ generation_tokens_per_s + 90`; without unknown names it is a number. The
meaning of the names is irrelevant here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Product = tuple[tuple[str, int], ...]
"""Unknown names with their powers (negative: divided by), sorted by name; empty for a plain number."""

_NUMBER: Product = ()


@dataclass(frozen=True)
class Symbolic:
    """A sum of products: the factor of each product of unknown names. `uses` names all figures it was computed from."""

    factors: Mapping[Product, float]
    uses: frozenset[str] = frozenset()

    @property
    def value(self) -> float | None:
        """The number, or None if it contains an unknown name."""
        return self.factors.get(_NUMBER, 0.0) if self.known else None

    @property
    def known(self) -> bool:
        """Whether it contains no unknown name."""
        return not any(self.factors)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The unknown names it contains, sorted."""
        return tuple(sorted({name for product in self.factors for name, _ in product}))

    def __add__(self, other: Symbolic) -> Symbolic:
        """Return the sum of two terms."""
        factors = dict(self.factors)
        for product, factor in other.factors.items():
            factors[product] = factors.get(product, 0.0) + factor
        return Symbolic(_without_nothing(factors), self.uses | other.uses)

    def __mul__(self, other: Symbolic) -> Symbolic:
        """Return the product of two terms."""
        factors: dict[Product, float] = {}
        for one, first in self.factors.items():
            for two, second in other.factors.items():
                product = _joined(one, two)
                factors[product] = factors.get(product, 0.0) + first * second
        return Symbolic(_without_nothing(factors), self.uses | other.uses)

    def __truediv__(self, other: Symbolic) -> Symbolic:
        """Return the term divided by a single product.

        Raises:
            ZeroDivisionError: when the divisor is 0.
            ValueError: when the divisor is a sum, since the quotient is then no sum of products.
        """
        if not other.factors:
            raise ZeroDivisionError("a term was divided by nothing")
        if len(other.factors) > 1:
            raise ValueError("a term can be divided by a product of figures, not by a sum")
        [(product, factor)] = other.factors.items()
        turned = Symbolic({tuple((name, -power) for name, power in product): 1 / factor}, other.uses)
        return self * turned

    def at_most(self, largest: Mapping[str, float]) -> float | None:
        """Return an upper bound, given the largest value of each unknown name; None if one is missing or divides."""
        bound = 0.0
        for product, factor in self.factors.items():
            for unknown, power in product:
                if power < 0 or factor < 0 or unknown not in largest:
                    return None
                factor *= largest[unknown] ** power
            bound += factor
        return bound

    def words(self, number: Callable[[float], str]) -> str:
        """Format the number, or the formula with the unknown names; `number` formats a value in the term's unit."""
        if self.known:
            return number(self.factors.get(_NUMBER, 0.0))
        parts = []
        for product, factor in sorted(self.factors.items()):
            parts.append(_product_words(product, factor) if product else number(factor))
        return " + ".join(parts)


def number(value: float, *uses: str) -> Symbolic:
    """Return a known value; `uses` names the figures it was computed from."""
    return Symbolic(_without_nothing({_NUMBER: float(value)}), frozenset(uses))


def name(unknown: str) -> Symbolic:
    """Return a symbol for an unknown figure."""
    return Symbolic({((unknown, 1),): 1.0}, frozenset({unknown}))


def total(terms: list[Symbolic]) -> Symbolic:
    """Return the sum of some terms; 0 for none."""
    result = number(0)
    for term in terms:
        result = result + term
    return result


def _without_nothing(factors: dict[Product, float]) -> dict[Product, float]:
    return {product: factor for product, factor in factors.items() if factor}


def _joined(one: Product, two: Product) -> Product:
    powers = dict(one)
    for unknown, power in two:
        powers[unknown] = powers.get(unknown, 0) + power
    return tuple(sorted((unknown, power) for unknown, power in powers.items() if power))


def _product_words(product: Product, factor: float) -> str:
    above = [_power(unknown, power) for unknown, power in product if power > 0]
    below = [_power(unknown, -power) for unknown, power in product if power < 0]
    shown = f"{factor:,.0f}" if abs(factor) >= 100 else f"{factor:,.3g}"
    front = ([shown] if factor != 1 or not above else []) + above
    return " ÷ ".join([" × ".join(front), *below])


def _power(unknown: str, power: int) -> str:
    return unknown if power == 1 else f"{unknown}^{power}"
