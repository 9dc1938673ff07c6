"""The robot dog: the physics, its two fronts step for step, and what makes the task what it is."""

import time
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import rlcore.envs  # noqa: F401  registers it
from rlcore.envs import robot_dog as dog
from rlcore.envs.robot_dog_field import RobotDogVectorEnv


def flights(count=500, steps=60):
    states = [dog.throw(np.random.default_rng(0), (count,))]
    for _ in range(steps):
        states.append(dog.move(states[-1], np.full(count, dog.STAND)))
    return np.stack(states, 1)  # [count, steps + 1, 6]


@pytest.mark.parametrize("wind", [0.0, 2.0])
def test_gymnasium_has_nothing_to_say(wind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("RobotDog-v0", render_mode="rgb_array", wind=wind).unwrapped)


def test_one_step_by_hand():
    state = np.array([0.0, 0.0, 1.0, 2.0, 10.0, 0.0])
    after = dog.move(state, dog.RIGHT)
    assert after[1] == pytest.approx(12 * 0.08)  # not yet at top speed
    assert after[0] == pytest.approx(12 * 0.08 * 0.08)
    assert after[4] == pytest.approx(10 - 0.08 * 0.02 * 100)  # drag: DRAG · speed² against the motion
    assert after[5] == pytest.approx(0.08 * (0.09 * 100 - 9.81))  # lift: LIFT · speed² upwards, against gravity
    assert after[2] == pytest.approx(1 + 0.08 * after[4])
    assert dog.move(np.array([0.0, -4.9, *state[2:]]), dog.LEFT)[1] == -5.0  # top speed


def test_rewards_by_hand():
    near, far, low = (np.array([0.0, 0.0, x, h, 9.0, -1.0]) for x, h in ((0.8, 1.5), (0.81, 1.0), (3.0, 0.0)))
    assert [float(x) for x in dog.judge(near, dog.STAND)] == pytest.approx([1 - 0.005, 1, 0])
    assert [float(x) for x in dog.judge(far, dog.RIGHT)] == pytest.approx([-0.005 - 0.01, 0, 0])
    assert [float(x) for x in dog.judge(low, dog.LEFT)] == pytest.approx([-0.015, 0, 1])


def test_every_flight_comes_down_within_the_limit_and_outruns_the_dog():
    states = flights()
    flying = np.cumprod(states[..., 3] > 0, 1).astype(bool)
    lengths = flying.sum(1)
    assert lengths.min() >= 20 and lengths.max() <= 34
    assert states[..., 4][flying].min() > dog.TOP_SPEED  # chasing from behind is hopeless: it has to anticipate
    assert np.abs(states[..., 2][flying]).max() < dog.FIELD  # and it stays in the field


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_dog_and_a_field_of_dogs_agree_step_for_step(mode):
    field = RobotDogVectorEnv(num_envs=6, autoreset_mode=mode)
    states, _ = field.reset(seed=1)
    singles = [gym.make("RobotDog-v0") for _ in range(6)]
    for single, state in zip(singles, field.state, strict=True):
        single.reset()
        single.unwrapped.state = state.copy()
    alive, rng = np.ones(6, bool), np.random.default_rng(2)
    while alive.any():
        actions = rng.integers(0, 3, 6)
        states, rewards, terminated, truncated, info = field.step(actions)
        ends = terminated | truncated
        if mode is AutoresetMode.SAME_STEP and ends.any():
            states = np.where(ends[:, None], info["final_obs"], states)
        for i in np.flatnonzero(alive):
            state, reward, end, cut, single_info = singles[i].step(actions[i])
            assert np.array_equal(state, states[i]) and reward == rewards[i]
            assert (end, cut, single_info["caught"]) == (terminated[i], truncated[i], info["caught"][i])
        alive &= ~ends


def test_a_field_of_one_starts_as_one_dog_does():
    assert np.array_equal(RobotDogVectorEnv(1).reset(seed=5)[0][0], gym.make("RobotDog-v0").reset(seed=5)[0])


def test_the_step_limit_truncates_in_both():
    one = gym.make("RobotDog-v0", max_episode_steps=7)
    field = gym.make_vec("RobotDog-v0", num_envs=3, max_episode_steps=7)
    one.reset(seed=0), field.reset(seed=0)
    for t in range(7):
        *_, terminated, truncated, _ = one.step(dog.STAND)
        *_, ends, cuts, _ = field.step(np.full(3, dog.STAND))
        assert (terminated, truncated) == (False, t == 6)
        assert not ends.any() and (cuts == (t == 6)).all()
    _, rewards, ends, cuts, _ = field.step(np.full(3, dog.RIGHT))  # NEXT_STEP: this one only resets
    assert not rewards.any() and not ends.any() and not cuts.any() and not field.state[:, 1].any()


def test_seeds_and_wind():
    def play(seed, wind):
        env = gym.make("RobotDog-v0", wind=wind)
        env.reset(seed=seed)
        return np.array([env.step(dog.STAND)[0] for _ in range(15)])

    assert np.array_equal(play(0, 2.0), play(0, 2.0))
    assert not np.array_equal(play(0, 0.0), play(1, 0.0))
    calm, windy = play(0, 0.0), play(0, 2.0)
    assert np.array_equal(calm[:, :2], windy[:, :2]) and not np.allclose(calm[:, 4], windy[:, 4])


def test_frames_are_pictures_and_forty_take_less_than_a_second_and_a_half():
    env = gym.make("RobotDog-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frames, start = [env.render()], time.process_time()
    while len(frames) < 40:
        _, _, terminated, truncated, _ = env.step(dog.RIGHT)
        frames.append(env.render())
        if terminated or truncated:
            env.reset()
    assert time.process_time() - start < 1.5
    assert frames[0].shape == (260, 720, 3) and frames[0].dtype == np.uint8
    assert len({frame.tobytes() for frame in frames}) == 40  # something moves in every one


def test_bad_options_are_named():
    for problem, call in {
        r"wind must lie in \[0, 5\].*-1": lambda: gym.make("RobotDog-v0", wind=-1),
        "render_mode must be .*human": lambda: dog.RobotDogEnv(render_mode="human"),
        "num_envs and max_episode_steps must be at least 1.*0 and 60": lambda: RobotDogVectorEnv(0),
        "autoreset_mode must be": lambda: RobotDogVectorEnv(2, autoreset_mode="Disabled"),
        "render_mode must be None for a field": lambda: RobotDogVectorEnv(2, render_mode="rgb_array"),
    }.items():
        with pytest.raises(ValueError, match=problem):
            call()
    env, field = dog.RobotDogEnv(), RobotDogVectorEnv(2)
    env.reset(), field.reset()
    for act in (lambda: env.step(3), lambda: field.step(np.array([0, 5])), lambda: field.step(np.array([0]))):
        with pytest.raises(ValueError, match=r"action must be 0 .run left., 1 .stand. or 2"):
            act()
