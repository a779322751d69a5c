"""Bayesian A/B inference: conjugate posteriors compared by quadrature, what they say of a decision, and their priors."""
