"""Experiments of models over HTTP: predictions, labels, reports and the rollout."""
