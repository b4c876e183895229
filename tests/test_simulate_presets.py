"""Presets survive YAML, and what is wrong with one is said in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from starnet.errors import StarnetError
from starnet.simulate import PRESETS, load_preset, to_yaml


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_there_and_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    mine = replace(PRESETS[name], name="mine", faintest=25.5)
    path.write_text(to_yaml(mine))
    assert load_preset(str(path)) == mine


def test_all_surveys_are_there() -> None:
    assert set(PRESETS) == {"candels-deep", "candels-wide", "xdf", "nircam", "rubin", "euclid-vis", "euclid-nisp"}
    for preset in PRESETS.values():
        assert len({band.name for band in preset.bands}) == len(preset.bands)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depht": 3}, "depht is no key"),
        ({"pixel_scale": "small"}, "pixel_scale has to be a float"),
        ({"pixel_scale": 0}, "above 0"),
        ({"bands": []}, "needs bands"),
        ({"bands": {"name": "F1"}}, "has to be a list"),
        ({"bands": [{"name": "F1"}]}, "missing"),
        ({"bands": ["F1"]}, "no mapping"),
    ],
)
def test_a_wrong_file_is_an_error(change: dict[str, object], message: str, tmp_path: Path) -> None:
    tree = yaml.safe_load(to_yaml(PRESETS["candels-deep"]))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**tree, **change}))
    with pytest.raises(StarnetError, match=message) as error:
        load_preset(str(path))
    assert "mine.yaml" in str(error.value)


def test_names_that_there_are_not(tmp_path: Path) -> None:
    for name, message in {
        "sdss": "no preset sdss: choose from candels-deep",
        str(tmp_path / "no.yaml"): "cannot be read",
    }.items():
        with pytest.raises(StarnetError, match=message):
            load_preset(name)
    with pytest.raises(StarnetError, match="no band K"):
        PRESETS["xdf"].select(("F160W", "K"))
