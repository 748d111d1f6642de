"""Names of countries and large regions that may follow the name of a place: "Paris, France" is Paris.

The list is short on purpose: any other name after a comma may be a second answer.
"""

from __future__ import annotations

_REGIONS = frozenset(
    name.strip()
    for name in """
    afghanistan, albania, algeria, argentina, armenia, australia, austria, azerbaijan, bangladesh, belarus, belgium,
    bolivia, bosnia, brazil, bulgaria, cambodia, cameroon, canada, chile, china, colombia, costa rica, croatia, cuba,
    cyprus, czech republic, czechia, denmark, dominican republic, ecuador, egypt, england, estonia, ethiopia, finland,
    france, georgia, germany, ghana, greece, guatemala, haiti, honduras, hungary, iceland, india, indonesia, iran,
    iraq, ireland, israel, italy, jamaica, japan, jordan, kazakhstan, kenya, kuwait, laos, latvia, lebanon, libya,
    lithuania, luxembourg, malaysia, malta, mexico, mongolia, morocco, myanmar, nepal, netherlands, new zealand,
    nicaragua, nigeria, north korea, northern ireland, norway, pakistan, panama, paraguay, peru, philippines, poland,
    portugal, qatar, romania, russia, saudi arabia, scotland, senegal, serbia, singapore, slovakia, slovenia, somalia,
    south africa, south korea, spain, sri lanka, sudan, sweden, switzerland, syria, taiwan, tanzania, thailand,
    tunisia, turkey, uganda, ukraine, united arab emirates, united kingdom, uk, great britain, united states, united
    states of america, usa, us, uruguay, uzbekistan, venezuela, vietnam, wales, yemen, zambia, zimbabwe,
    alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware, florida, hawaii, idaho, illinois,
    indiana, iowa, kansas, kentucky, louisiana, maine, maryland, massachusetts, michigan, minnesota, mississippi,
    missouri, montana, nebraska, nevada, new hampshire, new jersey, new mexico, new york, north carolina, north
    dakota, ohio, oklahoma, oregon, pennsylvania, rhode island, south carolina, south dakota, tennessee, texas, utah,
    vermont, virginia, washington, west virginia, wisconsin, wyoming, ontario, quebec, british columbia, europe, asia,
    africa, north america, south america
    """.split(",")
)


def is_region(text: str) -> bool:
    """Check whether a text is the name of a country, a state of the USA or a continent."""
    name = text.strip(" .").casefold().replace(".", "")
    return name.removeprefix("the ") in _REGIONS
