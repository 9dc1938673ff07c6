"""Worlds, as Gymnasium environments. Importing this package registers them.

`RobotDog-v0` is the course's own: a robot dog catches a frisbee. `Probe1-v0` … `Probe6-v0` are worlds so small that
their answer is known, for finding out which part of a learner is broken. `JumpGrid-v0`, `CornerGrid-v0` and
`Gambler-v0` are Sutton & Barto's, with a table (`env.unwrapped.P`); so is `TinyLanguage-v0`, whose states are texts.
"""

import gymnasium as gym

from rlcore.envs.probes import PROBES

gym.register(id="RobotDog-v0", entry_point="rlcore.envs.robot_dog:RobotDogEnv", max_episode_steps=60,
             vector_entry_point="rlcore.envs.robot_dog_field:RobotDogVectorEnv")
for probe in PROBES.values():
    gym.register(id=probe.id, entry_point="rlcore.envs.probes:ProbeEnv", kwargs={"probe": probe.id},
                 max_episode_steps=probe.step_limit)
for name, limit in (("JumpGrid", 100), ("CornerGrid", 1000), ("Gambler", None)):
    gym.register(id=f"{name}-v0", entry_point=f"rlcore.envs.grid_worlds:{name}Env", max_episode_steps=limit)
gym.register(id="TinyLanguage-v0", entry_point="rlcore.envs.tiny_language:TinyLanguageEnv")
