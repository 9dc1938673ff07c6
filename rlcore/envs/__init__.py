"""Worlds, as Gymnasium environments. Importing this package registers them.

`RobotDog-v0` is the course's own: a robot dog catches a frisbee. `Probe1-v0` … `Probe6-v0` are worlds so small that
their answer is known, for finding out which part of a learner is broken. `JumpGrid-v0`, `CornerGrid-v0` and
`Gambler-v0` are Sutton & Barto's, with a table (`env.unwrapped.P`); so is `TinyLanguage-v0`, whose states are texts.
`Bandit-v0` is over after one pull of an arm. `RandomWalk-v0`, `RandomWalk19-v0` and
`OneState-v0` are for learning values from experience.
`WindyGrid-v0`, `WindyKing-v0`, `ShortCorridor-v0` and `MaximisationBias-v0` are for learning to choose.
`Text-v0` is text itself: a language model answers a prompt, one token at a time.
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
gym.register(id="Bandit-v0", entry_point="rlcore.envs.bandit_testbed:BanditEnv")
gym.register(id="TinyLanguage-v0", entry_point="rlcore.envs.tiny_language:TinyLanguageEnv")
for name, options in (("RandomWalk", {}), ("RandomWalk19", {"num_states": 19, "left": -1.0})):
    gym.register(id=f"{name}-v0", entry_point="rlcore.envs.random_walks:RandomWalkEnv", kwargs=options,
                 vector_entry_point="rlcore.envs.random_walks:random_walks")
gym.register(id="OneState-v0", entry_point="rlcore.envs.random_walks:OneStateEnv",
             vector_entry_point="rlcore.envs.random_walks:one_states")
for name, options, limit in (("WindyGrid", {}, None), ("WindyKing", {"king": True}, None), ("ShortCorridor", {}, 1000),
                             ("MaximisationBias", {}, None)):
    entry = name.replace("King", "Grid")
    gym.register(id=f"{name}-v0", entry_point=f"rlcore.envs.classic_grids:{entry}Env", kwargs=options,
                 max_episode_steps=limit)
gym.register(id="Text-v0", entry_point="rlcore.envs.text:TextEnv")
