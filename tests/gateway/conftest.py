"""Two real model servers for each test."""

import pytest
from gateway_scene import two_models


@pytest.fixture
def scene(tmp_path):
    with two_models(tmp_path) as made:
        yield made
