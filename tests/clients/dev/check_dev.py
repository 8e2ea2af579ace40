"""The whole of `taskferry dev` with clients that we did not write: boto3 and the AWS CLI put objects and events, and see
the tasks and their exit codes.

usage: check_dev.py --endpoint-url URL

Run by `cargo xtask clients` against the rules in tests/clients/taskferry.yaml, with TASKFERRY and TASKFERRY_STATE set.
Prints a line per check and a sum at the end; exits 1 if a check failed.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import boto3
from botocore.config import Config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all  # noqa: E402

# The AWS CLI that is installed beside this Python.
AWS = os.path.join(os.path.dirname(sys.executable), "aws")


class World:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        for name in ("s3", "events", "ecs"):
            client = boto3.client(
                name, endpoint_url=endpoint, region_name="eu-central-1", aws_access_key_id="any",
                aws_secret_access_key="credentials", config=Config(retries={"total_max_attempts": 1}),
            )
            setattr(self, name, client)

    def aws(self, *arguments):
        """What the AWS CLI answers."""
        environment = {
            **os.environ, "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": "",
        }
        done = subprocess.run([AWS, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def taskferry(self, *arguments):
        """What the program answers."""
        done = subprocess.run([os.environ["TASKFERRY"], *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ended(self, what):
        """The one run that `what` picks, once it has ended."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            runs = json.loads(self.taskferry("runs", "list", "--json", "--limit", "1000"))
            # A run whose task has told nothing of itself yet has no logs.
            found = [run for run in runs if run["endedAt"] and what(run)]
            if found:
                equal(len(found), 1)
                return found[0]
            time.sleep(0.02)
        raise AssertionError("no such run has ended within a minute")

    def put_event(self, **detail):
        entry = {"Source": "shop", "DetailType": "Order", "Detail": json.dumps(detail)}
        answer = self.events.put_events(Entries=[entry])
        equal(answer["FailedEntryCount"], 0)
        return answer["Entries"][0]["EventId"]

    def task(self, run):
        arn = run["attempts"][0]["taskArn"]
        answer = self.ecs.describe_tasks(cluster="clients", tasks=[arn], include=["TAGS"])
        equal(answer["failures"], [])
        return answer["tasks"][0]


@check
def an_object_put_by_boto3_becomes_a_task(world):
    key = f"in/{uuid.uuid4()} ü+한국%20.txt"
    world.s3.put_object(Bucket="inbox", Key=key, Body=b"x")
    run = world.ended(lambda run: run["rule"] == "object" and key in world.taskferry("runs", "logs", run["id"]))
    equal(run["status"], "succeeded")
    equal(world.taskferry("runs", "logs", run["id"]), f"hello {key}")
    equal({it["name"]: it["exitCode"] for it in run["attempts"][0]["containers"]}, {"main": 0, "sidecar": 4})


@check
def an_object_copied_by_the_aws_cli_becomes_a_task(world):
    key = f"in/{uuid.uuid4()}.txt"
    world.aws("s3", "cp", __file__, f"s3://inbox/{key}")
    run = world.ended(lambda run: run["rule"] == "object" and key in world.taskferry("runs", "logs", run["id"]))
    equal((run["status"], run["event"]["source"], run["event"]["detailType"]), ("succeeded", "aws.s3", "Object Created"))


@check
def an_object_that_no_rule_asks_for_becomes_none(world):
    before = world.taskferry("runs", "list", "--json", "--limit", "1000").count('"rule"')
    world.s3.put_object(Bucket="inbox", Key="out/a.txt", Body=b"x")
    world.s3.put_object(Bucket="inbox", Key="in/a.csv", Body=b"x")
    # An event behind them has been through: so have they.
    order = str(uuid.uuid4())
    world.put_event(id=order, amount=101, code=0)
    world.ended(lambda run: run["dedupeKey"] == order)
    equal(world.taskferry("runs", "list", "--json", "--limit", "1000").count('"rule"'), before + 1)


@check
def an_event_put_by_boto3_becomes_a_task_with_its_exit_code(world):
    order = str(uuid.uuid4())
    event_id = world.put_event(id=order, amount=101, code=7)
    run = world.ended(lambda run: run["event"]["id"] == event_id)
    equal((run["status"], run["dedupeKey"]), ("failed", order))
    equal(run["attempts"][0]["failureClass"], "exitCode")
    task = world.task(run)
    equal((task["lastStatus"], task["stopCode"]), ("STOPPED", "EssentialContainerExited"))
    equal({it["name"]: it["exitCode"] for it in task["containers"]}, {"main": 7, "sidecar": 4})
    assert task["startedBy"] == f"clients/{run['id']}/1", task["startedBy"]


@check
def an_event_put_by_the_aws_cli_becomes_a_task(world):
    order = str(uuid.uuid4())
    entry = {"Source": "shop", "DetailType": "Order", "Detail": json.dumps({"id": order, "amount": 500, "code": 0})}
    equal(world.aws("events", "put-events", "--entries", json.dumps([entry]))["FailedEntryCount"], 0)
    run = world.ended(lambda run: run["dedupeKey"] == order)
    equal(run["status"], "succeeded")
    described = world.aws("ecs", "describe-tasks", "--cluster", "clients", "--tasks", run["attempts"][0]["taskArn"])
    equal(described["tasks"][0]["lastStatus"], "STOPPED")


@check
def the_same_order_twice_is_one_run(world):
    order = str(uuid.uuid4())
    world.put_event(id=order, amount=101, code=0)
    first = world.ended(lambda run: run["dedupeKey"] == order)
    world.put_event(id=order, amount=999, code=0)
    behind = str(uuid.uuid4())
    world.put_event(id=behind, amount=101, code=0)
    world.ended(lambda run: run["dedupeKey"] == behind)
    equal(world.ended(lambda run: run["dedupeKey"] == order)["id"], first["id"])


@check
def what_the_rules_name_is_there(world):
    assert any(arn.endswith("cluster/clients") for arn in world.ecs.list_clusters()["clusterArns"])
    definition = world.ecs.describe_task_definition(taskDefinition="shell")["taskDefinition"]
    equal((definition["family"], definition["revision"]), ("shell", 1))
    world.s3.head_bucket(Bucket="inbox")


def main():
    given = command_line(__doc__)
    world = World(given.endpoint_url)
    perform_all(given, lambda test: test(world))


if __name__ == "__main__":
    main()
