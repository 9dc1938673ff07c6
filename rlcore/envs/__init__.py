"""Worlds, as Gymnasium environments. Importing this package registers them.

`RobotDog-v0` is the course's own: a robot dog catches a frisbee. `Probe1-v0` … `Probe6-v0` are worlds so small that
their answer is known, for finding out which part of a learner is broken.
"""

import gymnasium as gym

from rlcore.envs.probes import PROBES

gym.register(id="RobotDog-v0", entry_point="rlcore.envs.robot_dog:RobotDogEnv", max_episode_steps=60,
             vector_entry_point="rlcore.envs.robot_dog_field:RobotDogVectorEnv")
for probe in PROBES.values():
    gym.register(id=probe.id, entry_point="rlcore.envs.probes:ProbeEnv", kwargs={"probe": probe.id},
                 max_episode_steps=probe.step_limit)
