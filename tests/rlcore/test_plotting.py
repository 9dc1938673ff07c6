"""Pictures that speak: alt text, sizes, and labels that say what a band is."""

import io

import gymnasium as gym
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import rlcore.envs  # noqa: F401  registers the robot dog
from rlcore.plotting import LARGEST, Picture, animate, band, house_style, show
from rlcore.policies import ScriptedPolicy, UniformPolicy

matplotlib.use("Agg")


@pytest.fixture
def shown(monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", seen.append)
    return seen


def test_show_displays_a_small_png_with_its_alt_text_and_closes_the_figure(shown):
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    show(fig, alt='A line from "1" to 2')
    assert not plt.fignum_exists(fig.number)
    assert repr(shown[0]) == 'A line from "1" to 2'
    assert shown[0]._repr_html_().startswith('<img alt="A line from &quot;1&quot; to 2" src="data:image/png;base64,')
    assert Image.open(io.BytesIO(shown[0].data)).format == "PNG"


def test_a_crowded_figure_is_made_to_fit_and_an_impossible_one_is_refused(shown):
    rng = np.random.default_rng(0)
    fig, ax = plt.subplots()
    ax.imshow(rng.random((100, 200)))
    show(fig, alt="noise")
    assert len(shown[0].data) <= LARGEST
    fig, ax = plt.subplots(figsize=(14, 10))
    ax.imshow(rng.random((900, 1200)), aspect="auto")
    with pytest.raises(ValueError, match="must stay under 60000 bytes"):
        show(fig, alt="too much noise")


def test_a_picture_needs_words():
    with pytest.raises(ValueError, match="alt must say"):
        Picture(b"", "png", " ")


def test_the_house_style():
    with matplotlib.rc_context():
        house_style()
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"][0] == "#3f90da"  # petroff10's first
        assert matplotlib.rcParams["font.size"] >= 11


def test_a_band_says_what_it_is():
    fig, ax = plt.subplots()
    runs = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 9.0]])
    for kind, words, middle, low in (("median", "median, middle half of 3 seeds", [1, 2], [0.5, 1.5]),
                                     ("range", "median, lowest to highest of 3 seeds", [1, 2], [0, 1]),
                                     ("mean", "mean ± standard error of 3 seeds", [1, 4], [1 - 3**-0.5, None])):
        band(ax, [0, 1], runs, "dog", kind=kind)
        assert ax.lines[-1].get_label() == f"dog ({words})"
        assert ax.lines[-1].get_ydata() == pytest.approx(middle)
        assert ax.collections[-1].get_paths()[0].vertices[:, 1].min() == pytest.approx(low[0])
    plt.close(fig)
    for runs in (np.zeros((1, 2)), np.zeros((3, 3)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"runs must be \[seeds, 2\]"):
            band(ax, [0, 1], runs, "dog")


def test_an_animation_says_what_happened():
    env = gym.make("RobotDog-v0", render_mode="rgb_array")
    stand = ScriptedPolicy(lambda s: s[..., 0].long() * 0 + 1, 3)
    film = animate(env, stand, seed=0, alt="A dog that waits")
    picture = Image.open(io.BytesIO(film.data))
    assert len(film.data) <= LARGEST and picture.format == "GIF" and picture.size == (720, 260)
    steps = picture.n_frames - 1  # one frame before the first step
    assert film.alt.startswith(f"A dog that waits: {steps} steps, return ")
    assert "the frisbee" in film.alt and animate(env, stand, seed=0, alt="A dog that waits").data == film.data


def test_animating_another_world_and_one_that_draws_nothing():
    film = animate(gym.make("FrozenLake-v1", render_mode="rgb_array"), UniformPolicy(4), seed=0, width=128)
    assert Image.open(io.BytesIO(film.data)).size == (128, 128) and "frisbee" not in film.alt
    with pytest.raises(ValueError, match="render_mode must be 'rgb_array', but is None"):
        animate(gym.make("RobotDog-v0"), UniformPolicy(3), seed=0)
