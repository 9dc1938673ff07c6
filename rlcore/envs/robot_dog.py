"""The robot dog: a frisbee glides along an arc, and a dog that is slower than it has to be there when it lands.

One physics, two fronts. `throw`, `move` and `judge` are pure functions on arrays whose last axis is the state; one dog
(`RobotDogEnv`) and a field of B dogs at once (`robot_dog_field.RobotDogVectorEnv`) call the same three.

The state, `[..., 6]`: dog's place (m) and velocity (m/s), then the disc's place (m), height (m), velocity along the
field and upwards (m/s). A step lasts 0.08 s; a flight, 20 to 33 steps.
"""

import gymnasium as gym
import numpy as np

from rlcore.envs.robot_dog_art import draw

DT = 0.08  # s per step
FIELD = 12.0  # m from the middle of the field, where places are 0, to either fence
TOP_SPEED, ACCELERATION = 5.0, 12.0  # of the dog: m/s and m/s²; the disc never glides slower than 5.5 m/s
REACH, JUMP = 0.8, 1.5  # m: how far to the side, and how high, the dog can catch
GRAVITY, DRAG, LIFT = 9.81, 0.02, 0.09  # m/s², 1/m, 1/m
CATCH, TIME, EFFORT = 1.0, 0.005, 0.01  # reward for the catch; cost of each step; extra cost of each step run
LEFT, STAND, RIGHT = 0, 1, 2  # the actions

HIGH = np.array([FIELD, TOP_SPEED, 60.0, 60.0, 60.0, 60.0])
LOW = HIGH * [-1, -1, -1, 0, -1, -1]


def throw(random: np.random.Generator, size: tuple[int, ...] = ()) -> np.ndarray:
    """A dog somewhere in the field and a disc that just left the thrower's hand, `[*size, 6]`."""
    place = random.uniform(-7.0, 5.0, size)  # m
    speed = random.uniform(10.0, 12.5, size)  # m/s
    angle = np.deg2rad(random.uniform(10.0, 25.0, size))
    return np.stack([place, np.zeros(size), np.full(size, -11.0), np.full(size, 1.2),
                     speed * np.cos(angle), speed * np.sin(angle)], -1)


def move(state: np.ndarray, action: np.ndarray, gust: np.ndarray | float = 0.0) -> np.ndarray:
    """One step of the world: states `[..., 6]`, actions `[...]` -> next states `[..., 6]`.

    The dog changes its speed by at most `ACCELERATION`. The disc feels gravity, drag against its motion and lift at a
    right angle to it, both growing with the square of its speed; `gust` (m/s) is added to its speed along the field.
    """
    dog, dog_speed, disc, height, along, up = np.moveaxis(state, -1, 0)
    wanted = TOP_SPEED * (np.asarray(action) - STAND)
    dog_speed = dog_speed + np.clip(wanted - dog_speed, -ACCELERATION * DT, ACCELERATION * DT)
    speed = np.hypot(along, up)
    along, up = (along + DT * speed * (-DRAG * along - LIFT * up) + gust,
                 up + DT * (speed * (-DRAG * up + LIFT * along) - GRAVITY))
    moved = np.stack([dog + DT * dog_speed, dog_speed, disc + DT * along, height + DT * up, along, up], -1)
    return np.clip(moved, LOW, HIGH)


def judge(state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the step that led to `state` was worth: reward, caught, and whether the disc lies on the ground, `[...]`."""
    caught = (np.abs(state[..., 0] - state[..., 2]) <= REACH) & (state[..., 3] <= JUMP)
    reward = CATCH * caught - TIME - EFFORT * (np.asarray(action) != STAND)
    return reward, caught, (state[..., 3] <= 0.0) & ~caught


def check_wind(wind: float) -> float:
    """Require a wind that a disc can fly in."""
    if not 0.0 <= wind <= 5.0:
        raise ValueError(f"wind must lie in [0, 5] (m/s by which gusts change the disc in a second), but is {wind}")
    return float(wind) * DT**0.5


def check_action(action: np.ndarray | int, space: gym.Space) -> np.ndarray:
    """Require actions that the dog has."""
    if not space.contains(action if isinstance(space, gym.spaces.Discrete) else np.asarray(action)):
        raise ValueError(f"action must be 0 (run left), 1 (stand) or 2 (run right) for each dog, but is {action!r}")
    return np.asarray(action)


class RobotDogEnv(gym.Env):
    """One dog, one throw. `info["caught"]` says whether the dog has the disc.

    Args:
        render_mode: None, or "rgb_array" for pictures.
        wind: how much gusts change the disc's speed along the field within a second, standard deviation in m/s, 0 to 5.

    Raises:
        ValueError: a wind outside [0, 5], an unknown render mode or action.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 12.5}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, render_mode: str | None = None, wind: float = 0.0):
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', but is {render_mode!r}")
        self.render_mode, self.gusts = render_mode, check_wind(wind)
        self.observation_space = gym.spaces.Box(LOW.astype(np.float32), HIGH.astype(np.float32))
        self.action_space = gym.spaces.Discrete(3)
        self.state = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """A new throw: the first state `[6]`, and info."""
        super().reset(seed=seed)
        self.state, self.caught = throw(self.np_random), False
        self.trail, self.return_ = [self.state], 0.0
        return self.state.astype(np.float32), {"caught": False}

    def step(self, action: int):
        """One step: state `[6]`, reward, terminated, truncated (never by itself: the step limit is a wrapper), info."""
        action = check_action(action, self.action_space)
        gust = self.np_random.normal(0.0, self.gusts) if self.gusts else 0.0
        self.state = move(self.state, action, gust)
        reward, caught, landed = judge(self.state, action)
        self.caught, self.return_ = bool(caught), self.return_ + float(reward)
        self.trail.append(self.state)
        return self.state.astype(np.float32), float(reward), bool(caught | landed), False, {"caught": self.caught}

    def render(self) -> np.ndarray | None:
        """The field as a picture, `[260, 720, 3]` uint8."""
        if self.render_mode is None:
            return None
        return draw(np.array(self.trail), self.caught, self.return_, FIELD)
