"""The registry: what makes a folder an app, and what its config.py offers."""

import pytest

from saccade import apps
from saccade.apps.core.errors import UserError


def test_a_folder_with_a_config_is_an_app(tmp_path):
    for name in ("tagging", "chess"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.py").touch()
    (tmp_path / "core").mkdir()
    (tmp_path / "core/errors.py").touch()
    (tmp_path / "config.py").touch()
    assert apps.find_apps(tmp_path) == ("chess", "tagging")


def test_the_apps_of_this_package_are_found():
    assert {"captioning", "char_lm", "word_lm"} <= set(apps.REGISTRY)
    assert "core" not in apps.REGISTRY and "cli" not in apps.REGISTRY


@pytest.mark.parametrize("name", apps.REGISTRY)
def test_a_config_says_what_the_app_does(name):
    config = apps.load_config_module(name)
    assert config.SUMMARY and "\n" not in config.SUMMARY
    kinds = config.kinds(config.Config())
    assert kinds and all(kind.help or kind.hidden for kind in kinds.values())
    assert config.CLAIM and {"tiny", "default"} <= config.PRESETS.keys()


@pytest.mark.parametrize("find", [apps.load, apps.load_config_module])
def test_an_unknown_name_is_refused(find):
    with pytest.raises(UserError, match=r"captioning.*'char_ml'.*mean 'char_lm'\?"):
        find("char_ml")
