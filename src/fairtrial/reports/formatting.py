"""Numbers as people read them: percent, points, intervals and p-values.

Percent and percentage points are made here and nowhere else; everywhere below
this floor a rate, a share and a lift are fractions. The width of the interval
decides how many digits an effect is shown with (two significant digits of the
half-width, as metrology does: JCGM 100:2008, 7.2.6), and digits are added where
rounding would hide a fact: an end that is not zero never reads as zero, and a
p-value never rounds across its error rate.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import Literal

from fairtrial.stats.result import Estimate, Interval

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
INFINITY = "\N{INFINITY}"
DASH = "\N{EM DASH}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SMALLEST_P = 1e-4
LARGEST_P = 0.9995
MOST_DECIMALS = 6
TINIEST = 1e-250
"""Below this, a number is shown as zero: its power of ten would leave the range of doubles."""
LARGEST_PLAIN = 1e12
HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
DIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Explicit bidirectional embeddings, overrides and isolates: they can reorder the text around a name."""

Kind = Literal["proportion", "mean", "count", "ratio", "quantile"]


def clean(text: str) -> str:
    """Text from a spec or from data, made safe to print: no control or reordering characters.

    White space of any kind becomes one space, so that a name stays on one line;
    characters that could move the cursor or the words around them become U+FFFD.
    """
    spaced = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(ch) in HIDDEN or ord(ch) in DIRECTIONAL else ch for ch in spaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """How the numbers of one estimate are written, so that they line up.

    Attributes:
        factor: What a value is multiplied with before it is shown (100 for percent).
        decimals: Digits after the point, >= 0.
        unit: Text after the number, its own space included (" pp", "%").
    """

    factor: float = 1.0
    decimals: int = 0
    unit: str = ""

    def plain(self, value: float) -> str:
        """A level: "2.555%", "12,345"; the sign shows only when negative."""
        return self._digits(value) + self.unit

    def signed(self, value: float) -> str:
        """A change: "+0.77 pp", "+3.1%", and "0.00 pp" without a sign when it rounds to zero."""
        return self._signed_digits(value) + self.unit

    def span(self, interval: Interval) -> str:
        """An interval: "[+0.59, +0.94] pp", "[+30.0%, ∞)"."""
        each = self.unit if self.unit == "%" else ""
        low = f"({MINUS}{INFINITY}" if math.isinf(interval.low) else f"[{self._signed_digits(interval.low)}{each}"
        high = f"{INFINITY})" if math.isinf(interval.high) else f"{self._signed_digits(interval.high)}{each}]"
        return f"{low}, {high}" + ("" if each else self.unit)

    def between(self, interval: Interval) -> str:
        """An interval in words: "+0.59 to +0.94 pp", "+0.59 pp or more", "+0.94 pp or less"."""
        if math.isinf(interval.low) and math.isinf(interval.high):
            return "any value"
        if math.isinf(interval.high):
            return f"{self.signed(interval.low)} or more"
        if math.isinf(interval.low):
            return f"{self.signed(interval.high)} or less"
        each = self.unit if self.unit == "%" else ""
        return f"{self._signed_digits(interval.low)}{each} to {self.signed(interval.high)}"

    def _digits(self, value: float) -> str:
        text = f"{abs(value) * self.factor:,.{self.decimals}f}"
        return f"{MINUS}{text}" if value < 0 and self._shows(value) else text

    def _signed_digits(self, value: float) -> str:
        text = self._digits(value)
        return f"+{text}" if value > 0 and self._shows(value) else text

    def _shows(self, value: float) -> bool:
        return float(f"{abs(value) * self.factor:.{self.decimals}f}") > 0.0


def effect_style(kind: Kind, effect: float, interval: Interval) -> NumberStyle:
    """The style of an effect and its interval, in percentage points for a proportion.

    Args:
        kind: Kind of the metric.
        effect: Treatment minus control, in the metric's unit.
        interval: Interval of the effect; an end may be infinite.
    """
    if kind == "proportion":
        return _fit(effect, interval, factor=100.0, unit=" pp", least=1)
    return _fit(effect, interval, factor=1.0, unit="", least=0)


def estimate_style(kind: Kind, estimate: Estimate) -> NumberStyle:
    """The style of an estimate's effect: percent where it is a ratio of geometric means, else that of its metric."""
    if "geometric_means" in estimate.notes:
        return lift_style(estimate.effect, estimate.interval)
    return effect_style(kind, estimate.effect, estimate.interval)


def lift_style(lift: float, interval: Interval | None) -> NumberStyle:
    """The style of a relative lift and its interval: percent, one decimal at least below 1,000%."""
    ends = interval or Interval(low=lift, high=lift)
    largest = max((abs(x) for x in (lift, ends.low, ends.high) if math.isfinite(x)), default=0.0)
    return _fit(lift, ends, factor=100.0, unit="%", least=0 if largest >= 10.0 else 1)


def level_style(kind: Kind, style: NumberStyle) -> NumberStyle:
    """The style of the arms' own values beside an effect: one more digit, so that their difference adds up."""
    unit = style.unit.replace(" pp", "%") if kind == "proportion" else style.unit
    decimals = style.decimals + 1 if style.decimals else 0
    return NumberStyle(factor=style.factor, decimals=decimals, unit=unit)


def count(value: float) -> str:
    """A whole number with thousands separators: "588,101"; fractions are rounded."""
    return NumberStyle().plain(value)


def share(value: float) -> str:
    """A share or a probability as percent: "96.0%", "4.00%", "0.05%", "100%"."""
    if value in {0.0, 1.0}:
        return f"{100 * value:.0f}%"
    percent = 100.0 * value
    room = min(percent, 100.0 - percent) if 0.0 < percent < 100.0 else abs(percent)
    decimals = 1 if room >= 1.0 else min(MOST_DECIMALS, 1 - math.floor(math.log10(room))) if room > 0.0 else 1
    return NumberStyle(factor=100.0, decimals=decimals, unit="%").plain(value)


def power(value: float) -> str:
    """A power as percent, without the false exactness of its last digits: "80.0%", "> 99.9%"."""
    return "> 99.9%" if value > 0.999 else "< 0.1%" if value < 0.001 else share(value)


def magnitude(kind: Kind, value: float) -> str:
    """The size of an effect, without a sign, to three significant digits: "0.244 pp", "1.5"."""
    factor, unit = (100.0, " pp") if kind == "proportion" else (1.0, "")
    return _trim(_rounded(abs(value) * factor, 3)) + unit


def relative(value: float) -> str:
    """The size of a lift, without a sign, to three significant digits: "10%", "13.7%"."""
    return _trim(_rounded(abs(value) * 100.0, 3)) + "%"


def tick(kind: Kind | Literal["lift"], value: float, step: float, *, signed: bool) -> str:
    """The label of an axis tick, with as many decimals as the step between ticks needs."""
    factor, unit = (100.0, "%") if kind == "lift" else (100.0, " pp") if kind == "proportion" else (1.0, "")
    exponent = math.floor(math.log10(step * factor) + 1e-9)
    if exponent >= 6 or exponent < -5:
        text = precise(abs(value) * factor, 2)
        sign = MINUS if value < 0 else "+" if value > 0 and signed else ""
        return f"{sign}{text}{unit}"
    style = NumberStyle(factor=factor, decimals=max(0, -exponent), unit=unit)
    return "0" if abs(value) < step / 2 else style.signed(value) if signed else style.plain(value)


def level(alpha: float) -> str:
    """The confidence level of an interval that stands at `alpha`: "95%", "97.5%", "99.17%"."""
    return f"{100.0 * (1.0 - alpha):.4g}%"


def p_value(p: float, alpha: float | None = None) -> str:
    """A p-value for a table: "< 0.0001", "0.0499", "0.359", "1".

    Args:
        p: The p-value, in [0, 1].
        alpha: The error rate it is read against; rounding never carries `p` across it.
    """
    if p < SMALLEST_P:
        return f"< {SMALLEST_P:.4f}"
    if p > LARGEST_P:
        return "1" if p == 1.0 else "> 0.999"
    decimals = 3 if p >= 0.1 else 4 if p >= 1e-3 else 5
    if alpha is not None:
        while decimals < 15 and (round(p, decimals) < alpha) != (p < alpha):
            decimals += 1
    return f"{p:.{decimals}f}"


def p_statement(p: float, alpha: float | None = None) -> str:
    """A p-value for a sentence: "p < 0.0001", "p = 0.0499"."""
    text = p_value(p, alpha)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def precise(value: float | None, digits: int = 6) -> str:
    """A number as computed, to `digits` significant digits: "0.00769245", "12,345.7"."""
    if value is None:
        return DASH
    if math.isinf(value):
        return INFINITY if value > 0 else f"{MINUS}{INFINITY}"
    if value == 0.0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    sign = MINUS if value < 0 else ""
    if exponent < -5 or exponent >= 12:
        mantissa, _, power = f"{abs(value):.{digits - 1}e}".partition("e")
        return f"{sign}{_trim(mantissa)} {TIMES} 10{str(int(power)).translate(SUPERSCRIPTS)}"
    return sign + _trim(f"{abs(value):,.{max(digits - 1 - exponent, 0)}f}")


def _rounded(value: float, digits: int) -> str:
    """A value >= 0 to `digits` significant digits, zeros kept ("1.50")."""
    exponent = math.floor(math.log10(value)) if value > 0.0 else 0
    if exponent < -5 or exponent >= 12:
        return precise(value, digits)
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _fit(value: float, interval: Interval, *, factor: float, unit: str, least: int) -> NumberStyle:
    """Find decimals (or a power of ten) that show two digits of the interval's half-width."""
    finite = [factor * x for x in (value, interval.low, interval.high) if math.isfinite(x)]
    largest = max((abs(x) for x in finite), default=0.0)
    if largest < TINIEST:
        return NumberStyle(factor=factor, decimals=least, unit=unit)
    spread = _spread(value, interval) * factor
    exponent = math.floor(math.log10(largest))
    needed = 1 - math.floor(math.log10(spread)) if spread > largest * 1e-12 else 3 - exponent
    decimals = _until_zero_is_zero(max(needed, least), finite)
    if decimals <= MOST_DECIMALS and largest < LARGEST_PLAIN:
        return NumberStyle(factor=factor, decimals=decimals, unit=unit)
    if -4 <= exponent < 12:
        return NumberStyle(factor=factor, decimals=min(decimals, MOST_DECIMALS + 2), unit=unit)
    power = f" {TIMES} 10{str(exponent).translate(SUPERSCRIPTS)}"
    scaled = [x * 10.0**-exponent for x in finite]
    digits = min(_until_zero_is_zero(max(needed + exponent, 1), scaled), MOST_DECIMALS)
    return NumberStyle(factor=factor * 10.0**-exponent, decimals=digits, unit=power + (unit if unit != "%" else " %"))


def _spread(value: float, interval: Interval) -> float:
    """Half of the interval, or the distance to its one finite end."""
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        return (interval.high - interval.low) / 2.0
    ends = [end for end in (interval.low, interval.high) if math.isfinite(end)]
    return abs(value - ends[0]) if ends else abs(value)


def _until_zero_is_zero(decimals: int, values: list[float]) -> int:
    """Add decimals until no end of the interval that is not zero rounds to zero (three more at most)."""
    for extra in range(3):
        if all(round(x, decimals + extra) != 0.0 for x in values[1:] if x != 0.0):
            return decimals + extra
    return decimals + 3
