"""Parts of `trained`, see `runs.Trained`, by their names."""

import pytest


@pytest.fixture
def app(trained):
    return trained.app


@pytest.fixture
def expected(trained):
    return trained.expected


@pytest.fixture
def splits(trained):
    return trained.splits


@pytest.fixture
def good(trained):
    return trained.good
