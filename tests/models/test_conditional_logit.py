"""Weights of a mixture against scipy's minimiser, numeric gradients and a numeric Hessian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from edgewise.models.conditional_logit import Observations, fit_mixture

N, K, M, G = 60, 3, 7, 2
RIDGE, GATE_RIDGE = 1.0, 10.0
START = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


@pytest.fixture(scope="module")
def observed() -> Observations:
    """Targets that the first two features make likelier; the target of a row stands first."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, K, M)).astype(np.float32)
    features[:, 0, 0] += 0.8
    features[:, 1, 0] += 0.4
    hidden = rng.random((N, M)) < 0.2
    hidden[:, 0] = False
    gate = np.stack([np.ones(N), rng.uniform(-1, 1, N)], 1).astype(np.float32)
    return Observations(*(torch.from_numpy(a) for a in (features, hidden, gate)))


def objective(weights: np.ndarray, observed: Observations) -> float:
    """The same by loops over rows, with what the ridge adds."""
    table, total = weights.reshape(K, G), 0.0
    rows = (observed.features.numpy(), observed.hidden.numpy(), observed.gate.numpy())
    for features, hidden, gate in zip(*rows, strict=True):
        scores = (table @ gate.astype(np.float64)) @ features.astype(np.float64)
        total -= scores[0] - np.log(np.exp(scores[~hidden]).sum())
    held = np.square(table - START) * np.array([RIDGE, GATE_RIDGE])
    return total + held.sum() / 2


def hessian(at: np.ndarray, observed: Observations, step: float = 1e-3) -> np.ndarray:
    """Second differences of the objective."""
    found, steps = np.empty((K * G, K * G)), np.eye(K * G) * step
    for i in range(K * G):
        for j in range(K * G):
            corners = [
                sign * other * objective(at + sign * steps[i] + other * steps[j], observed)
                for sign in (1, -1)
                for other in (1, -1)
            ]
            found[i, j] = sum(corners) / (4 * step**2)
    return found


def test_the_weights_are_those_that_scipy_finds(observed):
    found = fit_mixture([observed], START, RIDGE, GATE_RIDGE)
    other = minimize(objective, START.flatten(), (observed,), tol=1e-9)
    np.testing.assert_allclose(found.weights.flatten(), other.x, atol=2e-3)
    held = np.square(found.weights - START) * np.array([RIDGE, GATE_RIDGE])
    assert found.loss == pytest.approx((other.fun - held.sum() / 2) / N, abs=1e-4)
    assert found.num_observations == N


def test_no_step_from_the_optimum_lowers_the_loss(observed):
    best = fit_mixture([observed], START, RIDGE, GATE_RIDGE).weights.flatten()
    slopes = [
        (objective(best + step, observed) - objective(best - step, observed)) / 2e-4
        for step in np.eye(K * G) * 1e-4
    ]
    np.testing.assert_allclose(slopes, 0, atol=0.02)


def test_errors_are_those_of_the_curvature(observed):
    found = fit_mixture([observed], START, RIDGE, GATE_RIDGE)
    wanted = np.sqrt(np.linalg.inv(hessian(found.weights.flatten(), observed)).diagonal())
    np.testing.assert_allclose(found.errors.flatten(), wanted, rtol=0.01)


def test_observations_may_come_in_parts(observed):
    rows = (slice(0, 25), slice(25, N))
    parts = [
        Observations(observed.features[row], observed.hidden[row], observed.gate[row])
        for row in rows
    ]
    whole = fit_mixture([observed], START, RIDGE, GATE_RIDGE)
    np.testing.assert_allclose(
        fit_mixture(parts, START, RIDGE, GATE_RIDGE).weights, whole.weights, atol=1e-4
    )


def test_hidden_items_do_not_count(observed):
    changed = observed.features.clone()
    changed.permute(0, 2, 1)[observed.hidden] = 100.0
    other = Observations(changed, observed.hidden, observed.gate)
    whole = fit_mixture([observed], START, RIDGE, GATE_RIDGE)
    np.testing.assert_allclose(
        fit_mixture([other], START, RIDGE, GATE_RIDGE).weights, whole.weights, atol=1e-6
    )


def test_without_observations_weights_stay_where_they_start():
    found = fit_mixture([], START, RIDGE, GATE_RIDGE)
    assert found.weights.tolist() == START.tolist() and found.num_observations == 0
