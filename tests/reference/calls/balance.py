"""Calls of ours behind the reference functions of covariate balance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.stats.balance import balance_of_levels, balance_of_shares, balance_of_values, hotelling_balance
from fairtrial.stats.moments import CoMoments

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _continuous(inputs: Inputs) -> Outputs:
    balance = balance_of_values(inputs["control"], inputs["treatment"])
    return {"smd": balance.smd, "variance_ratio": balance.variance_ratio, "ks_distance": balance.ks_distance}


def _binary(inputs: Inputs) -> Outputs:
    balance = balance_of_shares(inputs["count_control"], inputs["n_control"], inputs["count_treatment"], inputs["n_treatment"])
    return {"smd": balance.smd, "cohen_h": balance.cohen_h}


def _categorical(inputs: Inputs) -> Outputs:
    balance = balance_of_levels(inputs["counts_control"], inputs["counts_treatment"])
    return {"smd": balance.smd, "chi_square": balance.chi_square, "df": balance.df, "p_value": balance.p_value}


def _hotelling(inputs: Inputs) -> Outputs:
    test = hotelling_balance(CoMoments.from_values(inputs["control"]), CoMoments.from_values(inputs["treatment"]))
    return {"T2": test.t_squared, "F": test.f_statistic, "df1": test.df_numerator, "df2": test.df_denominator, "p_value": test.p_value}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "balance_smd_continuous": _continuous,
    "balance_smd_binary": _binary,
    "balance_smd_categorical": _categorical,
    "balance_hotelling_omnibus": _hotelling,
}
