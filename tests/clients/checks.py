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

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

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


def client(endpoint, service):
    """A client that sends each call once, whatever is in it: what the server says is what is checked."""
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )


def refused(code, call, *arguments, **named):
    """The answer of a call that must fail with this code."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        equal(error.response["Error"]["Code"], code)
        return error.response
    raise AssertionError(f"expected {code}, found success")


def received(sqs, url):
    """All messages of a queue, in order; they are deleted."""
    messages = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        )
        if not answer.get("Messages"):
            return messages
        messages += answer["Messages"]
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


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
