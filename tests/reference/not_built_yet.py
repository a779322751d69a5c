"""Reference functions that have no call of ours yet; what is built leaves this list (`test_vectors` insists)."""

from __future__ import annotations

NOT_BUILT_YET = {
    # b_tests: Two-sample tests, intervals, effect sizes, ratio metrics, regression adjustment, clustering, resampling
    # c_multiple: Multiple testing: adjusted p-values and many-to-one comparisons
    # d_sequential: Sequential testing: always-valid inference, confidence sequences, group-sequential designs
    # f_srm_balance: Sample-ratio mismatch, sequential SRM, covariate balance
    # h_bandits: Bandits and off-policy evaluation
    # i_interaction: Experiment overlap, two-way interactions, novelty slopes
    # j_hashing: Deterministic assignment: hashing, bucketing, published SDK vectors
}
