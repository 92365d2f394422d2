"""What an hour of the machine costs, in whatever unit a person typed, and what a run has cost by then."""

from __future__ import annotations

import re
from dataclasses import dataclass

from finetty.backend.messages import Refusal, message

NOT_A_PRICE = message("runs.not_a_price", "{text} is no price of an hour.")
PRICE_SHAPE = message("runs.price_shape", 'Type a number, with its unit if you like: 2.49, ¥18 or "2.49 USD".')

_PRICE = re.compile(
    r"(?P<before>[^\d\s.,+-]{0,8}\s?)(?P<amount>\d{1,9}(?:\.\d{1,6})?)(?P<after>\s?[^\d\s.,/]{0,12})(?:\s*/\s*h(?:r|our)?)?"
)


@dataclass(frozen=True)
class Price:
    """An amount an hour; `before` and `after` are the unit, with its space, as it was typed."""

    amount: float
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.before}{self.amount:g}{self.after}"

    def cost(self, seconds: float) -> str:
        """What so many seconds cost."""
        return f"{self.before}{self.amount * seconds / 3600:.2f}{self.after}"


def price_of(text: str) -> Price:
    """The price that was typed. Raises Refusal."""
    typed = _PRICE.fullmatch(text.strip())
    if not typed or not text.isprintable():
        raise Refusal(NOT_A_PRICE(text=text[:40]), PRICE_SHAPE())
    return Price(float(typed["amount"]), typed["before"], typed["after"].rstrip())
