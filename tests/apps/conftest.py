"""For the tests of every app: its name, a trained run of it, and the run's export."""

import pytest

from saccade import apps

from .runs import moved_export, tiny_run


@pytest.fixture(scope="session", params=sorted(apps.REGISTRY))
def name(request):
    return request.param


@pytest.fixture(scope="session")
def run(name, tmp_path_factory):
    return tiny_run(name, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def export(name, tmp_path_factory):
    return moved_export(name, tmp_path_factory.getbasetemp())
