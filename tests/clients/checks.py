"""What the check_*.py scripts share: registering checks, the command line, a line per check, the sum, the exit code.

Imported by them alone. A check that fails hides no other, and fails the command; so does a script without checks.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import traceback

CHECKS = []


def add(name, test):
    CHECKS.append((name, test))


def check(named):
    """Registers a function as a check: `@check` under its own name, `@check("a sentence")` under that."""
    if callable(named):
        add(named.__name__.replace("_", " "), named)
        return named

    def register(test):
        add(named, test)
        return test

    return register


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def aws_cli(endpoint):
    """The AWS CLI that was installed beside this Python: its arguments in, the JSON of its answer out."""
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "credentials",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": "", "AWS_DEFAULT_OUTPUT": "json",
    }
    program = pathlib.Path(sys.executable).parent / "aws"

    def call(*arguments):
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"aws {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    return call


def command_line(document, **more):
    """The command line; `more` are further options by name, each with its default."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--only", default="", metavar="TEXT", help="perform only checks whose name contains this")
    for name, default in more.items():
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_args()


def line_of(error, test):
    """Where in the script the check failed."""
    file = test.__code__.co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: " if lines else ""


def perform_all(given, perform=lambda test: test()):
    """Has every check performed; ends the program, with 1 if one failed or there was none."""
    passed = failed = 0
    for name, test in CHECKS:
        if given.only not in name:
            continue
        try:
            perform(test)
            passed += 1
            print(f"ok    {name}", flush=True)
        except Exception as error:  # whatever it ends in, the others have their turn
            failed += 1
            print(f"FAIL  {name}: {line_of(error, test)}{type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)
