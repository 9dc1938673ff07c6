"""The house: imports point up the list, in no circle, and `import rlcore` is light."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rlcore

ROOT = Path(rlcore.__file__).parent
HOUSE = [  # imports only ever point up
    "validate", "checkpoint", "trajectory", "replay", "returns", "losses", "prefix_tree", "policies", "values",
    "networks", "update", "envs", "tasks", "lm", "rollout", "worlds", "probing", "recorder", "learner", "agents",
    "plotting", "animation",
]  # fmt: skip
MODULES = {
    ".".join(["rlcore", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def floor(module):
    """The part of the house that a module stands in: rlcore.lm.sft -> lm."""
    return module.split(".")[1] if "." in module else ""


def imports(module, everywhere=True):
    """The modules of rlcore that a module imports; `everywhere`: also inside functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in MODULES else node.module for name in names)
    return {name for name in found if name.split(".")[0] == "rlcore"}


def test_every_module_has_a_place():
    assert {floor(module) for module in MODULES} - {""} <= set(HOUSE)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_up_the_house(module):
    assert imports(module) <= MODULES.keys()
    if module == "rlcore":
        assert not imports(module)
        return
    for other in imports(module):
        assert floor(other) in HOUSE[: HOUSE.index(floor(module)) + 1], f"{module} imports {other}, which stands below"
        if floor(other) == floor(module) == "agents":
            assert other == "rlcore.agents", f"{module} imports {other}: agents do not import each other"
        assert other != "rlcore.lm" or floor(module) != "lm", f"{module} imports its own package"


def test_no_circle():
    graph = {module: imports(module) for module in MODULES}
    graph |= {module: found - {module} for module, found in graph.items()}

    def reach(module, path):
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        for other in graph[module]:
            reach(other, [*path, module])

    for module in graph:
        reach(module, [])


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_import_rlcore_is_light():
    started = time.perf_counter()
    loaded = run("import sys, rlcore; print(*sys.modules)").split()
    seconds = time.perf_counter() - started
    assert not {"transformers", "datasets", "torch", "gymnasium", "matplotlib"} & set(loaded)
    assert seconds < 2, f"a new Python and `import rlcore` took {seconds:.1f} s"


def test_the_mathematics_needs_no_transformers():
    modules = "returns, losses, policies, update, rollout, envs, checkpoint, recorder"
    loaded = set(run(f"import sys; from rlcore import {modules}; print(*sys.modules)").split())
    assert "torch" in loaded
    assert not {"transformers", "datasets", "matplotlib"} & loaded


def test_nothing_evaluates_or_unpickles():
    forbidden = {"eval", "exec", "compile", "pickle.load", "pickle.loads"}
    for module, path in MODULES.items():
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            assert name not in forbidden, f"{module} calls {name}"
            safe = any(option.arg == "weights_only" and ast.unparse(option.value) == "True" for option in call.keywords)
            assert name != "torch.load" or safe, f"{module} calls torch.load without weights_only=True"
