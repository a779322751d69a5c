"""Bandits over HTTP (XC-40, AD-17, AD-18)."""

from bandit_scene import KEY, begun, generator, run_period


def test_a_bandit_from_its_first_decision_to_its_results(stored_service):
    """XC-40: created, decided, rewarded, updated, read."""
    service = stored_service
    made = begun(service, fixed_share=0.2)
    assert (made["status"], made["period"], made["explanation"]) == ("running", 1, [])
    rates = {"control": 0.1, "blue": 0.3, "green": 0.1}
    rng = generator()
    for number in range(1, 5):
        _, updated = run_period(service, rates, number, 600, rng=rng)
        assert updated["updated"], updated
    found = service.get(f"/api/v1/bandits/{KEY}").json()
    assert max(found["allocation"], key=found["allocation"].get) == "blue"
    results = service.get(f"/api/v1/bandits/{KEY}/results").json()
    assert (results["n"], results["decisions"]) == (2400, 2400)
    assert results["best_arm"]["arm"] == "blue"
    blue = results["contrasts"][0]
    for reading in ("adaptive", "over_time", "fixed"):
        assert blue[reading]["interval"]["low"] < 0.2 < blue[reading]["interval"]["high"]
