"""`taskferry schema` with a JSON Schema validator that we did not write: good rules files pass it, broken ones do not.

usage: check_schema.py --endpoint-url URL

Run by `cargo xtask clients` with TASKFERRY set; the endpoint is not used. Prints a line per check and a sum at the end; exits 1
if a check failed.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

import yaml
from jsonschema import Draft202012Validator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import add, command_line, perform_all  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "crates/core/tests/rules"

# What is wrong with these is in templates, in names of events and in what rules do to one another, of which a schema knows
# nothing.
BEYOND_A_SCHEMA = {"endless.yaml", "patterns.yaml", "slips.yaml", "templates.yaml"}


class Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as Taskferry reads it: PyYAML's own takes `on` for a truth value, and a date for a date."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"given twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


for tag, pattern, first in [
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
]:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)


def faults(validator, text):
    """What the validator says against a rules file, or PyYAML before it."""
    try:
        rules = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(rules)]


def spoiled(rules):
    """The rules file with one thing wrong, in one place after another."""
    places = {
        "the file": lambda rules: rules,
        "a rule": lambda rules: rules["rules"][0],
        "its source": lambda rules: rules["rules"][0]["on"],
        "its target": lambda rules: rules["rules"][0]["target"],
        "its overrides": lambda rules: rules["rules"][0]["target"]["overrides"],
        "a container's override": lambda rules: rules["rules"][0]["target"]["overrides"]["containerOverrides"][0],
        "a task definition": lambda rules: next(iter(rules["taskDefinitions"].values())),
        "a container": lambda rules: next(iter(rules["taskDefinitions"].values()))["containerDefinitions"][0],
    }
    for place, find in places.items():
        broken = copy.deepcopy(rules)
        find(broken)["nosuchkey"] = "x"
        yield f"an unknown key in {place}", broken
    for key in ("name", "rules"):
        broken = copy.deepcopy(rules)
        del broken[key]
        yield f"no {key}", broken
    broken = copy.deepcopy(rules)
    broken["rules"][0]["on"] = {"schedule": "rate(1 day)", "s3": {"bucket": "uploads"}}
    yield "two sources in one rule", broken
    broken = copy.deepcopy(rules)
    broken["rules"][0]["target"]["launchType"] = "FARGAT"
    yield "a launch type that is none", broken
    broken = copy.deepcopy(rules)
    next(iter(broken["taskDefinitions"].values()))["cpu"] = 256
    yield "a number for text", broken


def hold(name, holds, found):
    """Adds a check that has been made already."""

    def test():
        assert holds, found

    add(name, test)


def main():
    given = command_line(__doc__)
    printed = subprocess.run([os.environ["TASKFERRY"], "schema"], capture_output=True, text=True, check=True)
    schema = json.loads(printed.stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    examples = sorted(ROOT.glob("examples/*/taskferry.yaml"))
    good = [*examples, *sorted(FIXTURES.glob("*.yaml")), ROOT / "tests/clients/taskferry.yaml"]
    broken = sorted(FIXTURES.glob("broken/*.yaml"))
    hold("the schema is one, and there are files to hold against it", examples and broken, "none found")
    for path in good:
        found = faults(validator, path.read_text())
        hold(f"{path.relative_to(ROOT)} passes", not found, found)
    for path in broken:
        found = faults(validator, path.read_text())
        expected = path.name not in BEYOND_A_SCHEMA
        verb = "is refused" if expected else "is beyond a schema"
        hold(f"{path.relative_to(ROOT)} {verb}", bool(found) == expected, found)
    for path in examples:
        for what, rules in spoiled(yaml.load(path.read_text(), Loader)):
            found = list(validator.iter_errors(rules))
            hold(f"{path.parent.name} with {what} is refused", found, "it passes")
    perform_all(given)


if __name__ == "__main__":
    main()
