import importlib.metadata
import pickle

import calibkit
import numpy as np
import pytest

import fastcal as fc


def blobs(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = np.column_stack([rng.standard_normal((n, 2)) + 1.2 * np.eye(3, 2)[y], np.ones(n)])
    return x, y


TRAINING = [blobs(64, seed) for seed in range(8)]
VALIDATION = [blobs(200, 100), blobs(1, 101), blobs(57, 102)]


@pytest.fixture(scope="module")
def trained():
    model = calibkit.SoftmaxRegression(3, 3, sharpness=3.0)
    trainer = calibkit.Trainer(model, metrics=["adaptive_ece", "smooth_ece", "torchmetrics_ece"])
    trainer.fit(TRAINING, VALIDATION, epochs=20)
    return trainer


@pytest.fixture(scope="module")
def rows(trained):
    x, y = blobs(400, 7)
    return y, trained.model.logits(x)


def test_it_is_installed():
    assert importlib.metadata.version("calibkit") == "1.0.0"
    assert any(one.startswith("fastcal") for one in importlib.metadata.requires("calibkit"))


def test_training_stops_and_knows_its_best_epoch(trained):
    assert trained.best.report["nll"] == min(epoch.report["nll"] for epoch in trained.history)
    assert trained.best.report["accuracy"] > 0.6
    assert trained.best.metrics.keys() == {"adaptive_ece", "smooth_ece", "torchmetrics_ece"}
    assert all(0 <= value <= 1 for value in trained.best.metrics.values())
    assert "ece" in pickle.loads(pickle.dumps(trained.best)).report


def test_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match="unknown metrics"):
        calibkit.Trainer(calibkit.SoftmaxRegression(3, 3), metrics=["nope"])


def test_workers_change_no_bit(trained):
    alone = calibkit.evaluate(trained.model, VALIDATION, n_bins=10)
    shared = calibkit.evaluate_in_threads(trained.model, VALIDATION, n_workers=3, n_bins=10)
    assert shared.to_json() == alone.to_json()


def test_the_sharpened_model_is_cooled(rows):
    labels, logits = rows
    name, calibrator = calibkit.best_calibrator(logits, labels)
    assert name in ("temperature", "capped")
    assert 2 < calibrator.temperature_ < 5
    before, after = (fc.nll(labels, p) for p in (fc.softmax(logits), calibrator.predict_proba(logits)))
    assert after < before


def test_a_capped_temperature_never_sharpens(rows):
    labels, logits = rows
    assert fc.TemperatureScaling().fit(logits / 10, labels).temperature_ < 1
    assert calibkit.CappedTemperature().fit(logits / 10, labels).temperature_ == 1
    assert calibkit.CappedTemperature().fit(logits, labels).temperature_ > 2


def test_focal_error(rows):
    labels, logits = rows
    probs = fc.softmax(logits)
    assert calibkit.focal_calibration_error(labels, probs, 0.0, 15) == pytest.approx(fc.ece(labels, probs), rel=1e-12)
    certain = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    wrong = np.array([1, 0, 1])
    assert fc.ece(wrong, certain) == pytest.approx(1 / 3)
    assert calibkit.focal_calibration_error(wrong, certain, 1.0, 15) == 0


def test_classwise_errors(rows):
    labels, logits = rows
    probs = fc.softmax(logits)
    found = calibkit.classwise_errors(labels, probs, 15)
    assert found.mean() == pytest.approx(fc.classwise_ece(labels, probs), rel=1e-12)


def test_the_sweep_finds_the_fitted_temperature(rows):
    labels, logits = rows
    temperatures = np.geomspace(0.5, 8, 60)
    found = calibkit.nll_by_temperature(labels, logits, temperatures)
    best = fc.TemperatureScaling().fit(logits, labels).temperature_
    assert abs(np.log(temperatures[found.argmin()] / best)) <= np.log(16) / 59
    for t in (0, 30, 59):
        expected = fc.nll(labels, fc.softmax(logits, temperature=temperatures[t]))
        assert found[t] == pytest.approx(expected, rel=1e-12)
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = calibkit.nll_by_temperature(labels[order], logits[order], temperatures)
    assert shuffled.tolist() == found.tolist()
