"""Calls of ours behind the reference functions of tests and intervals of means, ratios and adjusted means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairtrial.stats.arms import one_way_anova, post_stratified_difference
from fairtrial.stats.clusters import cluster_means_test, cluster_robust_difference, intraclass_correlation
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.effect_size import standardized_mean_difference
from fairtrial.stats.lift import lift_of_means, lift_std_error
from fairtrial.stats.means import noninferiority, paired_t_test, student_test, tost_equivalence, welch_test, z_test_means
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval, quantile_difference, quantile_test
from fairtrial.stats.ranks import hodges_lehmann_shift, kolmogorov_smirnov_test, kruskal_wallis_test, mann_whitney_test
from fairtrial.stats.rates import Events, RateComparison, poisson_rate_difference, poisson_rate_ratio_test
from fairtrial.stats.ratio import ratio_test, ratio_value
from fairtrial.stats.regression import ancova_test, lin_test
from fairtrial.stats.result import Estimate, Interval
from fairtrial.stats.robust import log_t_test, winsorized_t_test, yuen_test
from fairtrial.stats.sequential.msprt import always_valid_p_values, msprt, msprt_batch

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _alpha(inputs: Inputs, key: str = "confidence_level") -> float:
    return 1.0 - inputs.get(key, 0.95)


def _summaries(inputs: Inputs) -> tuple[Moments, Moments]:
    control, treatment = (
        Moments.from_summary(n=inputs[f"n_{arm}"], mean=inputs[f"mean_{arm}"], sd=inputs[f"sd_{arm}"]) for arm in ("control", "treatment")
    )
    return control, treatment


def _raw(inputs: Inputs) -> tuple[Moments, Moments]:
    return Moments.from_values(inputs["control"]), Moments.from_values(inputs["treatment"])


def _two_sided(estimate: Estimate) -> Outputs:
    return {
        "difference": estimate.effect,
        "mean_difference": estimate.effect,
        "se": estimate.std_error,
        "t": estimate.statistic,
        "z": estimate.statistic,
        "df": estimate.df,
        "p_two_sided": estimate.p_value,
        "lower": estimate.interval.low,
        "upper": estimate.interval.high,
    }


def _t_test(test: Callable[..., Estimate], control: Moments, treatment: Moments, alpha: float) -> Outputs:
    greater = test(control, treatment, alpha=alpha, alternative="greater")
    less = test(control, treatment, alpha=alpha, alternative="less")
    return _two_sided(test(control, treatment, alpha=alpha)) | {
        "p_greater": greater.p_value,
        "p_less": less.p_value,
        "lower_one_sided": greater.interval.low,
        "lower_bound_one_sided": greater.interval.low,
        "upper_one_sided": less.interval.high,
        "upper_bound_one_sided": less.interval.high,
    }


def _welch_raw(inputs: Inputs) -> Outputs:
    control, treatment = _raw(inputs)
    outputs = _t_test(welch_test, control, treatment, _alpha(inputs))
    if min(control.mean, treatment.mean) <= 0:
        return outputs
    lift = lift_of_means(control, treatment, alpha=_alpha(inputs), method="log", quantile="t")
    return outputs | {"relative_lift": lift.lift, "relative_lower_log": lift.interval.low, "relative_upper_log": lift.interval.high}


def _lift(control: Moments, treatment: Moments, method: str, quantile: str, alpha: float) -> Outputs:
    lift = lift_of_means(control, treatment, alpha=alpha, method=method, quantile="normal" if quantile == "normal" else "t")
    interval = lift.interval
    return {
        "relative_lift": lift.lift,
        "estimate": lift.lift,
        "se": lift.std_error,
        "se_log_ratio": lift.std_error,
        "df": lift.df,
        "lower": -np.inf if interval is None else interval.low,
        "upper": np.inf if interval is None else interval.high,
        "p_two_sided": lift.p_value,
    }


def _lift_means(method: str) -> Callable[[Inputs], Outputs]:
    return lambda inputs: _lift(*_summaries(inputs), method, inputs.get("quantile", "normal"), _alpha(inputs))


def _from_sums(inputs: Inputs) -> Outputs:
    arms = []
    for arm in ("control", "treatment"):
        n, total, squares = inputs[f"n_{arm}"], inputs[f"sum_{arm}"], inputs[f"sum_squares_{arm}"]
        arms.append(Moments(n=n, mean=total / n, m2=squares - total * total / n))
    if inputs["difference_kind"] == "relative":
        return _lift(*arms, "delta", "t", _alpha(inputs))
    outputs = _two_sided(welch_test(*arms, alpha=_alpha(inputs)))
    return outputs | {"estimate": outputs["difference"]}


def _noninferiority(inputs: Inputs) -> Outputs:
    test = noninferiority(*_summaries(inputs), margin=-inputs["margin"], alpha=inputs["alpha"])
    return {
        "t": test.statistic,
        "p_value": test.p_value,
        "lower_bound": test.interval.low,
        "non_inferior": test.interval.low > inputs["margin"],
    }


def _tost(inputs: Inputs) -> Outputs:
    test = tost_equivalence(*_summaries(inputs), low=inputs["low"], high=inputs["high"], alpha=inputs.get("alpha", 0.05))
    return {
        "p_lower": test.p_low,
        "p_upper": test.p_high,
        "p_value": test.p_value,
        "ci90_lower": test.estimate.interval.low,
        "ci90_upper": test.estimate.interval.high,
    }


def _smd(inputs: Inputs) -> Outputs:
    sizes = standardized_mean_difference(*_summaries(inputs))
    return {
        "cohen_d_pooled": sizes.cohens_d,
        "hedges_g_exact": sizes.hedges_g,
        "hedges_g_approx": sizes.hedges_g_approx,
        "smd_average_variance": sizes.smd,
        "glass_delta_control_sd": sizes.glass_delta,
    }


def _paired(inputs: Inputs) -> Outputs:
    return _two_sided(paired_t_test(inputs["before"], inputs["after"], alpha=_alpha(inputs)))


def _ratio_moments(arm: Inputs) -> CoMoments:
    """Sums about zero are exact enough for these vectors, whose means and spreads are of one size."""
    n, num, den = arm["n"], arm["sum_numerator"], arm["sum_denominator"]
    both = arm["sum_products"] - num * den / n
    cross = [[arm["sum_squares_numerator"] - num * num / n, both], [both, arm["sum_squares_denominator"] - den * den / n]]
    return CoMoments(n=n, mean=np.array([num / n, den / n]), cross=np.array(cross))


def _ratio(inputs: Inputs) -> Outputs:
    control, treatment = (_ratio_moments(inputs["units"][arm]) for arm in ("control", "treatment"))
    alpha = _alpha(inputs)
    estimate = ratio_test(control, treatment, alpha=alpha)
    relative_se, _ = lift_std_error(linear_contrast(expand([control], "ratio"), expand([treatment], "ratio")))
    return _two_sided(estimate) | {
        "ratio_control": estimate.control,
        "ratio_treatment": estimate.treatment,
        "se_control": ratio_value(control).std_error,
        "se_treatment": ratio_value(treatment).std_error,
        "relative_lift": estimate.lift,
        "relative_se": relative_se.item(),
        "relative_lower": estimate.lift_interval.low,
        "relative_upper": estimate.lift_interval.high,
    }


def _ratio_log(inputs: Inputs) -> Outputs:
    control, treatment = (_ratio_moments(inputs["units"][arm]) for arm in ("control", "treatment"))
    estimate = ratio_test(control, treatment, alpha=_alpha(inputs), lift_method="log")
    return {"relative_lift": estimate.lift, "lower": estimate.lift_interval.low, "upper": estimate.lift_interval.high}


def _ratio_cuped(inputs: Inputs) -> Outputs:
    names = [inputs[k] for k in ("numerator", "denominator", "numerator_covariate", "denominator_covariate")]
    control, treatment = (CoMoments.from_values(np.column_stack([inputs[arm][name] for name in names])) for arm in ("control", "treatment"))
    two_sided, greater, less = (
        cuped_test(control, treatment, theta_method="pooled_overall", alternative=side, alpha=_alpha(inputs))
        for side in ("two-sided", "greater", "less")
    )
    return _two_sided(two_sided) | {
        "theta": two_sided.theta,
        "control": two_sided.control,
        "treatment": two_sided.treatment,
        "p_less": less.p_value,
        "p_greater": greater.p_value,
        "upper_one_sided": less.interval.high,
        "lower_one_sided": greater.interval.low,
    }


THETA = {"pooled_within_arm": "pooled_within"}


def _cuped(control: CoMoments, treatment: CoMoments, inputs: Inputs) -> Outputs:
    method = inputs["theta_method"]
    quantile = "normal" if inputs.get("quantile") == "normal" else "t"
    estimate = cuped_test(control, treatment, theta_method=THETA.get(method, method), quantile=quantile, alpha=_alpha(inputs))
    return _two_sided(estimate) | {
        "theta": estimate.theta,
        "mean_control": estimate.control,
        "mean_treatment": estimate.treatment,
        "variance_reduction": estimate.variance_reduction,
    }


def _by_arm(inputs: Inputs, *columns: str) -> tuple[CoMoments, CoMoments]:
    values, treated = np.column_stack([inputs[c] for c in columns]), np.asarray(inputs["treated"]) == 1
    return CoMoments.from_values(values[~treated]), CoMoments.from_values(values[treated])


def _cuped_raw(inputs: Inputs) -> Outputs:
    return _cuped(*_by_arm(inputs, "outcome", "covariate"), inputs)


def _cuped_summary(inputs: Inputs) -> Outputs:
    arms = []
    for name in ("control", "treatment"):
        arm = inputs[name]
        cross = np.array([[arm["var_y"], arm["cov_xy"]], [arm["cov_xy"], arm["var_x"]]]) * (arm["n"] - 1)
        arms.append(CoMoments(n=arm["n"], mean=np.array([arm["mean_y"], arm["mean_x"]]), cross=cross))
    return _cuped(*arms, inputs)


def _msprt_look(inputs: Inputs) -> Outputs:
    look = msprt(
        inputs["estimate"], inputs["variance_of_estimate"], tau2=inputs["mixing_variance"], alpha=inputs["alpha"], null=inputs["null"]
    )
    return {
        "log_likelihood_ratio": look.log_likelihood_ratio,
        "p_value": look.p_value,
        "ci_lower": look.interval.low,
        "ci_upper": look.interval.high,
    }


def _msprt_half_width(inputs: Inputs) -> Outputs:
    return {"half_width": msprt(0.0, inputs["variance_of_estimate"], tau2=inputs["mixing_variance"], alpha=inputs["alpha"]).interval.high}


def _msprt_path(estimate: np.ndarray, variance: np.ndarray, inputs: Inputs) -> Outputs:
    logs = msprt_batch(estimate, variance, tau2=inputs["mixing_variance"], null=inputs.get("null", 0.0)).log_likelihood_ratio
    p_values = always_valid_p_values(logs)
    rejected = np.flatnonzero(p_values <= 0.05)
    return {
        "log_likelihood_ratio": logs,
        "always_valid_p": p_values,
        "final_p": p_values[-1],
        "first_rejection_at_alpha_05": int(rejected[0]) + 1 if rejected.size else None,
    }


def _msprt_normal_path(inputs: Inputs) -> Outputs:
    n = np.arange(1, len(inputs["control"]) + 1)
    estimate = (np.cumsum(inputs["treatment"]) - np.cumsum(inputs["control"])) / n
    return _msprt_path(estimate, 2 * inputs["known_variance"] / n, inputs)


def _msprt_proportions_path(inputs: Inputs) -> Outputs:
    looks = inputs["looks"]
    n = np.array([[look["n_control"], look["n_treatment"]] for look in looks], dtype=float)
    rate = np.array([[look["successes_control"], look["successes_treatment"]] for look in looks]) / n
    return _msprt_path(rate[:, 1] - rate[:, 0], (rate * (1 - rate) / n).sum(axis=1), inputs)


def _log_t(inputs: Inputs) -> Outputs:
    estimate = log_t_test(inputs["control"], inputs["treatment"], alpha=_alpha(inputs))
    return _two_sided(estimate) | {
        "geometric_mean_ratio": 1 + estimate.lift,
        "ratio_lower": 1 + estimate.lift_interval.low,
        "ratio_upper": 1 + estimate.lift_interval.high,
    }


def _log1p_t(inputs: Inputs) -> Outputs:
    estimate = log_t_test(inputs["control"], inputs["treatment"], transform="log1p", alpha=_alpha(inputs))
    return _two_sided(estimate) | {"difference_log1p": estimate.effect}


def _winsorized(inputs: Inputs) -> Outputs:
    test = winsorized_t_test(
        inputs["control"], inputs["treatment"], lower=inputs["lower_quantile"], upper=inputs["upper_quantile"], alpha=_alpha(inputs)
    )
    return _two_sided(test.estimate) | {"cut_low": test.cut_low, "cut_high": test.cut_high}


def _yuen(inputs: Inputs) -> Outputs:
    estimate = yuen_test(inputs["control"], inputs["treatment"], trim=inputs["trim_each_tail"], alpha=_alpha(inputs))
    return _two_sided(estimate) | {"difference_trimmed_means": estimate.effect}


def _mann_whitney(inputs: Inputs) -> Outputs:
    arms = inputs["control"], inputs["treatment"]
    test = mann_whitney_test(*arms)
    return {
        "U_treatment": test.u,
        "prob_superiority": test.superiority,
        "rank_biserial": test.rank_biserial,
        "p_two_sided_continuity": test.p_value,
        "p_two_sided_no_continuity": mann_whitney_test(*arms, continuity=False).p_value,
        "p_greater_continuity": mann_whitney_test(*arms, alternative="greater").p_value,
        "p_less_continuity": mann_whitney_test(*arms, alternative="less").p_value,
    }


def _mann_whitney_exact(inputs: Inputs) -> Outputs:
    arms = inputs["control"], inputs["treatment"]
    tests = {side: mann_whitney_test(*arms, alternative=side, method="exact") for side in ("two-sided", "greater", "less")}
    return {"U_treatment": tests["two-sided"].u} | {f"p_{side.replace('-', '_')}": test.p_value for side, test in tests.items()}


def _kolmogorov_smirnov(inputs: Inputs) -> Outputs:
    test = kolmogorov_smirnov_test(inputs["control"], inputs["treatment"])
    return {"D": test.distance, "p_asymptotic_limit": test.p_value}


def _kruskal_wallis(inputs: Inputs) -> Outputs:
    test = kruskal_wallis_test(inputs["groups"])
    return {"H": test.statistic, "df": test.df, "p_value": test.p_value}


def _anova(inputs: Inputs) -> Outputs:
    test = one_way_anova([Moments.from_values(group) for group in inputs["groups"]])
    return {"F": test.statistic, "p_value": test.p_value}


def _quantiles(inputs: Inputs) -> Outputs:
    result = quantile_difference(inputs["control"], inputs["treatment"], inputs["probabilities"])
    return {"control": result.control, "treatment": result.treatment, "difference": result.effect}


def _order_statistics(inputs: Inputs) -> Outputs:
    result = order_statistic_interval(inputs["sample"], inputs["probability"], alpha=_alpha(inputs))
    return {
        "rank_lower": result.rank_low,
        "rank_upper": result.rank_high,
        "lower": result.interval.low,
        "upper": result.interval.high,
        "exact_coverage": result.coverage,
    }


def _quantile_test(inputs: Inputs) -> Outputs:
    arms = (
        QuantileSummary(
            n=inputs[f"n_{arm}"],
            value=inputs[f"quantile_{arm}"],
            interval=Interval(low=inputs[f"lower_{arm}"], high=inputs[f"upper_{arm}"]),
            alpha=_alpha(inputs, "confidence_level_of_inputs"),
        )
        for arm in ("control", "treatment")
    )
    return _two_sided(quantile_test(*arms, alpha=_alpha(inputs)))


def _rates(test: Callable[..., RateComparison], inputs: Inputs) -> Outputs:
    arms = (Events(count=inputs[f"events_{arm}"], exposure=inputs[f"exposure_{arm}"]) for arm in ("control", "treatment"))
    result = test(*arms, alpha=_alpha(inputs))
    return {
        "rate_difference": result.estimate,
        "rate_ratio": result.estimate,
        "z": result.statistic,
        "p_two_sided": result.p_value,
        "lower": result.interval.low,
        "upper": result.interval.high,
    }


def _post_stratified(inputs: Inputs) -> Outputs:
    strata = [_summaries(stratum) for stratum in inputs["strata"]]
    sizes = np.array([control.n + treatment.n for control, treatment in strata])
    return _two_sided(post_stratified_difference(strata, alpha=_alpha(inputs))) | {"weights": sizes / sizes.sum()}


def _regression(test: Callable[..., Estimate], inputs: Inputs) -> Outputs:
    covariates = np.column_stack([inputs[name] for name in sorted(inputs) if name.startswith("covariate")])
    kinds = ("classical", "hc0", "hc1", "hc2", "hc3")
    fits = {kind: test(inputs["outcome"], inputs["treated"], covariates, std_errors=kind, alpha=_alpha(inputs)) for kind in kinds}
    outputs: Outputs = {"effect": fits["classical"].effect, "df": fits["classical"].df}
    for kind, fit in fits.items():
        outputs |= {f"se_{kind}": fit.std_error, f"t_{kind}": fit.statistic, f"p_{kind}": fit.p_value}
        outputs |= {f"lower_{kind}": fit.interval.low, f"upper_{kind}": fit.interval.high}
    return outputs


def _cluster_robust(inputs: Inputs) -> Outputs:
    columns = inputs["outcome"], inputs["treated"], inputs["cluster"]
    fits = {kind: cluster_robust_difference(*columns, correction=kind, alpha=_alpha(inputs)) for kind in ("CR0", "CR1", "CR2")}
    outputs: Outputs = {"effect": fits["CR1"].effect, "df": fits["CR1"].df, "df_cr2_satterthwaite": fits["CR2"].df}
    for kind, fit in fits.items():
        name = kind.lower()
        outputs |= {f"se_{name}": fit.std_error, f"t_{name}": fit.statistic, f"p_{name}": fit.p_value}
        outputs |= {f"lower_{name}": fit.interval.low, f"upper_{name}": fit.interval.high}
    return outputs


def _intraclass(inputs: Inputs) -> Outputs:
    result = intraclass_correlation(inputs["outcome"], inputs["cluster"])
    return {"ms_between": result.ms_between, "ms_within": result.ms_within, "n0": result.n0, "icc": result.icc}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "ancova_treatment_effect": lambda inputs: _regression(ancova_test, inputs),
    "lin_interacted_regression_adjustment": lambda inputs: _regression(lin_test, inputs),
    "cluster_robust_difference": _cluster_robust,
    "cluster_means_welch_t_test": lambda inputs: _two_sided(
        cluster_means_test(inputs["outcome"], inputs["treated"], inputs["cluster"], alpha=_alpha(inputs))
    ),
    "intraclass_correlation_anova": _intraclass,
    "post_stratified_difference": _post_stratified,
    "poisson_rate_difference_wald": lambda inputs: _rates(poisson_rate_difference, inputs),
    "poisson_rate_ratio_exact_test": lambda inputs: _rates(poisson_rate_ratio_test, inputs),
    "one_way_anova": _anova,
    "kruskal_wallis": _kruskal_wallis,
    "kolmogorov_smirnov_two_sample": _kolmogorov_smirnov,
    "mann_whitney_u_test": _mann_whitney,
    "mann_whitney_u_exact": _mann_whitney_exact,
    "mann_whitney_u_exact_permutation_with_ties": _mann_whitney_exact,
    "hodges_lehmann_shift": lambda inputs: {"shift": hodges_lehmann_shift(inputs["control"], inputs["treatment"])},
    "quantile_difference": _quantiles,
    "quantile_order_statistic_ci": _order_statistics,
    "quantile_difference_from_order_statistic_interval": _quantile_test,
    "log_transformed_t_test": _log_t,
    "log1p_transformed_t_test": _log1p_t,
    "winsorized_t_test": _winsorized,
    "yuen_trimmed_mean_t_test": _yuen,
    "welch_t_test_summary": lambda inputs: _t_test(welch_test, *_summaries(inputs), _alpha(inputs)),
    "welch_t_test_raw": _welch_raw,
    "student_t_test_summary": lambda inputs: _t_test(student_test, *_summaries(inputs), _alpha(inputs)),
    "two_mean_z_test_summary": lambda inputs: _t_test(z_test_means, *_summaries(inputs), _alpha(inputs)),
    "t_test_from_sums": _from_sums,
    "paired_t_test": _paired,
    "noninferiority_test_welch": _noninferiority,
    "tost_equivalence_welch": _tost,
    "standardized_mean_difference": _smd,
    "relative_lift_means_delta_ci": _lift_means("delta"),
    "relative_lift_means_log_ci": _lift_means("log"),
    "relative_lift_means_fieller_ci": _lift_means("fieller"),
    "ratio_metric_delta_method": _ratio,
    "ratio_metric_relative_lift_log_ci": _ratio_log,
    "ratio_metric_cuped_delta_method": _ratio_cuped,
    "cuped_adjusted_difference": _cuped_raw,
    "cuped_from_summary_statistics": _cuped_summary,
    "msprt_normal_single_look": _msprt_look,
    "msprt_confidence_interval_half_width": _msprt_half_width,
    "msprt_two_sample_normal_path": _msprt_normal_path,
    "msprt_two_proportions_path": _msprt_proportions_path,
}
