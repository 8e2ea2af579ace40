#!/usr/bin/env python3
"""Checks an ECS endpoint against the contract of ECS, through boto3.

Parameter validation is off in the client, so that the endpoint has to refuse what is wrong. Prints one line a check and
`N passed, M failed`; exits with 1 if any failed. Makes clusters and families of its own, and contacts nothing but the
endpoint.
"""

import json
import pathlib
import sys
import time
import urllib.error
import urllib.request
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import add, check, command_line, equal, perform_all  # noqa: E402

RUN = uuid.uuid4().hex[:8]
CLUSTER, OTHER = f"check-{RUN}", f"check-other-{RUN}"
INVALID = ("InvalidParameterException",)
REFUSED = ("InvalidParameterException", "ClientException")
SERIALIZATION = ("SerializationException",)
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}


def family(name):
    return f"{name}-{RUN}"


def container(name="app", **members):
    return {"name": name, "image": "busybox", "memory": 64, "command": ["true"], **members}


def fargate(**members):
    return {
        "family": family("fargate"),
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{"name": "app", "image": "busybox", "command": ["true"]}],
        **members,
    }


def run(**members):
    return ecs.run_task(**{"cluster": CLUSTER, "taskDefinition": family("quick"), **members})


def run_fargate(**members):
    return run(
        **{"taskDefinition": family("fargate"), "launchType": "FARGATE", "networkConfiguration": NETWORK, **members}
    )


def arns(answer):
    assert answer["failures"] == [], answer["failures"]
    return [task["taskArn"] for task in answer["tasks"]]


def describe(arn, **members):
    return ecs.describe_tasks(cluster=CLUSTER, tasks=[arn], **members)["tasks"][0]


def until(arn, status, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        task = describe(arn)
        if task["lastStatus"] in (status, "STOPPED"):
            assert task["lastStatus"] == status, task
            return task
        time.sleep(0.02)
    raise AssertionError(f"{arn} is {task['lastStatus']}")


def refused(names, call, message=None, **members):
    try:
        answer = call(**members)
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
        assert code in names, f"{code}: {text}, not one of {names}"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert text and (message is None or message in text), text
        return error.response
    raise AssertionError(f"was taken: {json.dumps(answer, default=str)[:300]}")


def prepare():
    for name in (CLUSTER, OTHER):
        ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(family=family("quick"), containerDefinitions=[container()])
    sleeping = [container(command=["sleep", "600"])]
    ecs.register_task_definition(family=family("sleeping"), containerDefinitions=sleeping)
    ecs.register_task_definition(**fargate())


# Clusters


@check("CreateCluster answers the cluster, and again when it is there")
def _():
    name = f"made-{RUN}"
    tags = [{"key": "team", "value": "a"}]
    first = ecs.create_cluster(clusterName=name, tags=tags)["cluster"]
    equal((first["clusterName"], first["status"], first["tags"]), (name, "ACTIVE", tags))
    assert first["clusterArn"].endswith(f":cluster/{name}")
    equal(ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"], first["clusterArn"])


@check("CreateCluster refuses a name with other characters or of 256")
def _():
    refused(REFUSED, ecs.create_cluster, clusterName="a b")
    refused(REFUSED, ecs.create_cluster, clusterName="a" * 256)


@check("CreateCluster refuses a default strategy with an unknown provider")
def _():
    refused(
        REFUSED,
        ecs.create_cluster,
        clusterName=f"x-{RUN}",
        defaultCapacityProviderStrategy=[{"capacityProvider": "no"}],
    )


@check("DescribeClusters answers by name and ARN, with failures for what is missing")
def _():
    arn = ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]["clusterArn"]
    answer = ecs.describe_clusters(clusters=[arn, "missing"])
    equal([cluster["clusterName"] for cluster in answer["clusters"]], [CLUSTER])
    equal([failure["reason"] for failure in answer["failures"]], ["MISSING"])
    assert answer["failures"][0]["arn"].endswith(":cluster/missing")


@check("ListClusters pages through all clusters")
def _():
    found = [arn for page in ecs.get_paginator("list_clusters").paginate(maxResults=1) for arn in page["clusterArns"]]
    equal(len(found), len(set(found)))
    assert {CLUSTER, OTHER} <= {arn.rsplit("/")[-1] for arn in found}


@check("DeleteCluster makes a cluster inactive")
def _():
    name = f"gone-{RUN}"
    ecs.create_cluster(clusterName=name)
    equal(ecs.delete_cluster(cluster=name)["cluster"]["status"], "INACTIVE")
    refused(("ClusterNotFoundException",), run, cluster=name)


# Task definitions


@check("RegisterTaskDefinition counts revisions and fills in what ECS fills in")
def _():
    name = family("counted")
    for revision in (1, 2):
        made = ecs.register_task_definition(family=name, containerDefinitions=[container()])["taskDefinition"]
        equal((made["family"], made["revision"], made["status"]), (name, revision, "ACTIVE"))
        assert made["taskDefinitionArn"].endswith(f":task-definition/{name}:{revision}")
    equal(made["containerDefinitions"][0]["essential"], True)
    assert "EC2" in made["compatibilities"] and "FARGATE" not in made["compatibilities"]
    assert made["registeredAt"].year >= 2024


@check("RegisterTaskDefinition turns vCPU and GB into numbers, and sees that Fargate can run it")
def _():
    made = ecs.register_task_definition(**fargate(family=family("units"), cpu=".25 vCPU", memory="0.5 GB"))
    made = made["taskDefinition"]
    equal((made["cpu"], made["memory"]), ("256", "512"))
    assert "FARGATE" in made["compatibilities"]


@check("DescribeTaskDefinition answers by family, revision and ARN, tags on request")
def _():
    name, tags = family("described"), [{"key": "team", "value": "a"}]
    arn = ecs.register_task_definition(family=name, containerDefinitions=[container()], tags=tags)["taskDefinition"][
        "taskDefinitionArn"
    ]
    for reference in (name, f"{name}:1", arn):
        equal(ecs.describe_task_definition(taskDefinition=reference)["taskDefinition"]["taskDefinitionArn"], arn)
    equal(ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])["tags"], tags)


@check("DescribeTaskDefinition refuses what is not there")
def _():
    for reference in (family("nothing"), family("quick") + ":99"):
        refused(
            ("ClientException",),
            ecs.describe_task_definition,
            "Unable to describe task definition.",
            taskDefinition=reference,
        )
    refused(REFUSED, ecs.describe_task_definition, taskDefinition="quick:x")


@check("DeregisterTaskDefinition makes a revision inactive, which stays describable and cannot be run")
def _():
    name = family("deregistered")
    for _ in range(2):
        ecs.register_task_definition(family=name, containerDefinitions=[container()])
    equal(ecs.deregister_task_definition(taskDefinition=f"{name}:2")["taskDefinition"]["status"], "INACTIVE")
    equal(ecs.describe_task_definition(taskDefinition=f"{name}:2")["taskDefinition"]["status"], "INACTIVE")
    equal(ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["revision"], 1)
    refused(REFUSED, run, "inactive", taskDefinition=f"{name}:2")
    arns(run(taskDefinition=name))
    equal(
        ecs.register_task_definition(family=name, containerDefinitions=[container()])["taskDefinition"]["revision"], 3
    )


@check("DeregisterTaskDefinition needs a revision that is there")
def _():
    refused(REFUSED, ecs.deregister_task_definition, taskDefinition=family("quick"))
    refused(REFUSED, ecs.deregister_task_definition, taskDefinition=family("quick") + ":99")


@check("ListTaskDefinitions filters, sorts and pages")
def _():
    name = family("listed")
    for _ in range(3):
        ecs.register_task_definition(family=name, containerDefinitions=[container()])
    ecs.deregister_task_definition(taskDefinition=f"{name}:2")

    def revisions(**members):
        pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=name, maxResults=1, **members)
        return [int(arn.rsplit(":")[-1]) for page in pages for arn in page["taskDefinitionArns"]]

    equal(revisions(), [1, 3])
    equal(revisions(sort="DESC"), [3, 1])
    equal(revisions(status="INACTIVE"), [2])


@check("ListTaskDefinitionFamilies filters by prefix and status")
def _():
    equal(ecs.list_task_definition_families(familyPrefix=family("listed"))["families"], [family("listed")])
    equal(ecs.list_task_definition_families(familyPrefix=family("listed"), status="INACTIVE")["families"], [])


DEPENDS = {"dependsOn": [{"containerName": "init", "condition": "SUCCESS"}]}
WRONG_DEFINITIONS = {
    "no family": {"family": None},
    "an empty family": {"family": ""},
    "a family with other characters": {"family": "a b"},
    "a family of 256 characters": {"family": "a" * 256},
    "no containers": {"containerDefinitions": []},
    "eleven containers": {"containerDefinitions": [container(f"c{n}") for n in range(11)]},
    "a container without a name": {"containerDefinitions": [container(None)]},
    "a container name with other characters": {"containerDefinitions": [container("a b")]},
    "a container without an image": {"containerDefinitions": [container(image=None)]},
    "two containers of a name": {"containerDefinitions": [container(), container()]},
    "no essential container": {"containerDefinitions": [container(essential=False)]},
    "a container without memory": {"containerDefinitions": [container(memory=None)]},
    "less memory than is reserved": {"containerDefinitions": [container(memoryReservation=128)]},
    "more memory than the task's": {"memory": "32", "cpu": "128"},
    "more cpu than the task's": {"memory": "512", "cpu": "128", "containerDefinitions": [container(cpu=256)]},
    "a negative cpu": {"containerDefinitions": [container(cpu=-1)]},
    "a dependency on an unknown container": {"containerDefinitions": [container(**DEPENDS)]},
    "SUCCESS of an essential container": {"containerDefinitions": [container(**DEPENDS), container("init")]},
    "HEALTHY without a health check": {
        "containerDefinitions": [container(dependsOn=[{"containerName": "b", "condition": "HEALTHY"}]), container("b")]
    },
    "containers that wait for each other": {
        "containerDefinitions": [
            container(dependsOn=[{"containerName": "b", "condition": "START"}]),
            container("b", dependsOn=[{"containerName": "app", "condition": "START"}]),
        ]
    },
    "a container that waits for itself": {
        "containerDefinitions": [container(dependsOn=[{"containerName": "app", "condition": "START"}])]
    },
    "an unknown condition": {
        "containerDefinitions": [container(dependsOn=[{"containerName": "b", "condition": "SOON"}]), container("b")]
    },
    "an unknown network mode": {"networkMode": "telepathy"},
    "an unknown compatibility": {"requiresCompatibilities": ["MOON"]},
    "a cpu that is no number": {"cpu": "large", "memory": "512"},
    "an unknown volume": {
        "containerDefinitions": [container(mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}])]
    },
    "two volumes of a name": {"volumes": [{"name": "v"}, {"name": "v"}]},
    "too little ephemeral storage": {"ephemeralStorage": {"sizeInGiB": 20}},
    "too much ephemeral storage": {"ephemeralStorage": {"sizeInGiB": 201}},
    "51 tags": {"tags": [{"key": f"k{n}", "value": ""} for n in range(51)]},
    "a reserved tag": {"tags": [{"key": "aws:x", "value": ""}]},
    "64 KiB and more": {"containerDefinitions": [container(environment=[{"name": "A", "value": "x" * 65536}])]},
}
WRONG_FARGATE = {
    "no cpu": {"cpu": None},
    "no memory": {"memory": None},
    "a pair that is not offered": {"memory": "4096"},
    "another network mode": {"networkMode": "bridge"},
    "no network mode": {"networkMode": None},
    "a privileged container": {"containerDefinitions": [container(privileged=True)]},
    "a stop timeout of 121": {"containerDefinitions": [container(stopTimeout=121)]},
}


def add_wrong_definitions():
    for name, members in WRONG_DEFINITIONS.items():
        base = {"family": family("wrong"), "containerDefinitions": [container()]}
        add_refusal(
            f"RegisterTaskDefinition refuses {name}",
            ("ClientException", "InvalidParameterException"),
            ecs.register_task_definition,
            {**base, **members},
        )
    for name, members in WRONG_FARGATE.items():
        add_refusal(
            f"RegisterTaskDefinition for Fargate refuses {name}",
            ("ClientException",),
            ecs.register_task_definition,
            fargate(family=family("wrong"), **members),
        )


def add_refusal(name, names, call, members, message=None):
    members = {key: value for key, value in members.items() if value is not None}
    add(name, lambda: refused(names, call, message, **members))


# RunTask


@check("RunTask answers a task in ECS's shape")
def _():
    (task,) = run_fargate(startedBy="run/a-1_b", tags=[{"key": "team", "value": "a"}], referenceId="r")["tasks"]
    cluster, task_id = task["taskArn"].rsplit("/", 2)[-2:]
    equal((cluster, len(task_id)), (CLUSTER, 32))
    equal((task["lastStatus"], task["desiredStatus"], task["version"]), ("PROVISIONING", "RUNNING", 1))
    equal(
        (task["group"], task["startedBy"], task["launchType"]), (f"family:{family('fargate')}", "run/a-1_b", "FARGATE")
    )
    equal(
        (task["cpu"], task["memory"], task["platformVersion"], task["platformFamily"]), ("256", "512", "1.4.0", "Linux")
    )
    equal(task["tags"], [{"key": "team", "value": "a"}])
    assert task["clusterArn"].endswith(f":cluster/{CLUSTER}") and task["createdAt"].year >= 2024
    equal(task["attachments"][0]["type"], "ElasticNetworkInterface")
    (app,) = task["containers"]
    equal(
        (app["name"], app["image"], app["lastStatus"], app["taskArn"]), ("app", "busybox", "PENDING", task["taskArn"])
    )
    assert "exitCode" not in app and app["containerArn"].rsplit("/", 2)[-2] == task_id


@check("RunTask answers as many tasks as asked for")
def _():
    equal(len(set(arns(run(count=10)))), 10)


@check("RunTask takes family, revision and ARN of definition and cluster")
def _():
    arn = ecs.describe_task_definition(taskDefinition=family("quick"))["taskDefinition"]["taskDefinitionArn"]
    cluster = ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]["clusterArn"]
    for reference in (family("quick"), family("quick") + ":1", arn):
        equal(run(taskDefinition=reference, cluster=cluster)["tasks"][0]["taskDefinitionArn"], arn)


@check("RunTask echoes group, overrides, exec and platform version")
def _():
    overrides = {
        "cpu": "512",
        "memory": "1024",
        "ephemeralStorage": {"sizeInGiB": 21},
        "containerOverrides": [
            {"name": "app", "command": ["echo"], "environment": [{"name": "A", "value": 'é\n"$(x)'}]}
        ],
    }
    (task,) = run_fargate(group="g", overrides=overrides, enableExecuteCommand=True, platformVersion="LATEST")["tasks"]
    equal({key: task["overrides"][key] for key in overrides}, overrides)
    equal((task["group"], task["cpu"], task["memory"]), ("g", "512", "1024"))
    equal((task["enableExecuteCommand"], task["platformVersion"]), (True, "1.4.0"))
    equal(task["ephemeralStorage"]["sizeInGiB"], 21)


@check("RunTask places by capacity provider strategy")
def _():
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 0},
        {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ]
    tasks = run(
        taskDefinition=family("fargate"), networkConfiguration=NETWORK, capacityProviderStrategy=strategy, count=3
    )["tasks"]
    equal([task["capacityProviderName"] for task in tasks], ["FARGATE", "FARGATE_SPOT", "FARGATE_SPOT"])
    equal({task["launchType"] for task in tasks}, {"FARGATE"})


@check("RunTask takes the default strategy of its cluster")
def _():
    name = f"spot-{RUN}"
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    ecs.create_cluster(clusterName=name, capacityProviders=["FARGATE_SPOT"], defaultCapacityProviderStrategy=strategy)
    (task,) = ecs.run_task(cluster=name, taskDefinition=family("fargate"), networkConfiguration=NETWORK)["tasks"]
    equal(task["capacityProviderName"], "FARGATE_SPOT")


@check("RunTask propagates tags of the definition, and adds ECS's own")
def _():
    name = family("tagged")
    tags = [{"key": "a", "value": "definition"}, {"key": "b", "value": "definition"}]
    ecs.register_task_definition(family=name, containerDefinitions=[container(command=["sleep", "600"])], tags=tags)
    (task,) = run(
        taskDefinition=name,
        propagateTags="TASK_DEFINITION",
        enableECSManagedTags=True,
        tags=[{"key": "a", "value": "run"}],
    )["tasks"]
    expected = {"a": "run", "b": "definition", "aws:ecs:clusterName": CLUSTER}
    for tags in (task["tags"], describe(task["taskArn"], include=["TAGS"])["tags"]):
        equal({tag["key"]: tag["value"] for tag in tags}, expected)
    equal(describe(task["taskArn"]).get("tags", []), [])
    equal(run(taskDefinition=name)["tasks"][0].get("tags", []), [])


@check("a client token used again gives the same tasks, also after they stopped")
def _():
    token = uuid.uuid4().hex
    first = arns(run(clientToken=token, count=2))
    equal(arns(run(clientToken=token, count=2)), first)
    for arn in first:
        until(arn, "STOPPED")
    again = run(clientToken=token, count=2)
    equal(arns(again), first)
    equal({task["lastStatus"] for task in again["tasks"]}, {"STOPPED"})


@check("a client token with other parameters is a conflict that names the tasks")
def _():
    token = uuid.uuid4().hex
    first = arns(run(clientToken=token))
    for members in (
        {"count": 2},
        {"startedBy": "x"},
        {"overrides": {"containerOverrides": [{"name": "app", "command": ["x"]}]}},
        {"taskDefinition": family("sleeping")},
    ):
        response = refused(("ConflictException",), run, clientToken=token, **members)
        equal(response["resourceIds"], first)
    equal(arns(run(clientToken=token)), first)


@check("a client token is another's in another cluster")
def _():
    token = uuid.uuid4().hex
    assert arns(run(clientToken=token)) != arns(run(clientToken=token, cluster=OTHER))


@check("client tokens are case sensitive, and take all of ASCII 33 to 126")
def _():
    assert arns(run(clientToken=f"a{RUN}")) != arns(run(clientToken=f"A{RUN}"))
    for token in ("".join(map(chr, range(33, 97))), "".join(map(chr, range(63, 127)))):
        assert arns(run(clientToken=token)) == arns(run(clientToken=token))


@check("a request that was refused leaves its client token free")
def _():
    token = uuid.uuid4().hex
    refused(REFUSED, run, clientToken=token, taskDefinition=family("nothing"))
    arns(run(clientToken=token))


@check("overrides of 8,192 characters are taken, and of 8,193 refused")
def _():
    def overrides(length):
        empty = json.dumps(
            {"containerOverrides": [{"name": "app", "environment": [{"name": "A", "value": ""}]}]},
            separators=(",", ":"),
        )
        return {
            "containerOverrides": [
                {"name": "app", "environment": [{"name": "A", "value": "x" * (length - len(empty))}]}
            ]
        }

    arns(run(overrides=overrides(8192)))
    refused(INVALID, run, "Container Overrides length must be at most 8192", overrides=overrides(8193))


def add_run_task_refusals():
    def wrong(name, names, message=None, call=run, **members):
        add(f"RunTask refuses {name}", lambda: refused(names, call, message, **members))

    over = lambda **members: {"containerOverrides": [{"name": "app", **members}]}
    wrong("an unknown cluster", ("ClusterNotFoundException",), "Cluster not found.", cluster="missing")
    wrong("an unknown task definition", REFUSED, "TaskDefinition not found.", taskDefinition=family("nothing"))
    wrong("an unknown revision", REFUSED, "TaskDefinition not found.", taskDefinition=family("quick") + ":99")
    wrong("an empty task definition", REFUSED, taskDefinition="")
    wrong("no task definition", REFUSED, call=lambda **members: ecs.run_task(cluster=CLUSTER))
    for count in (0, -1, 11):
        wrong(f"a count of {count}", INVALID, count=count)
    wrong("a client token of 65", INVALID, clientToken="a" * 65)
    wrong("a client token with a blank", INVALID, clientToken="a b")
    wrong("a client token with an accent", INVALID, clientToken="é")
    wrong("startedBy of 129", INVALID, startedBy="a" * 129)
    for started_by in ("a b", "a:b", "a.b", "é", "a@b"):
        wrong(f"startedBy {started_by!r}", INVALID, startedBy=started_by)
    wrong(
        "an override for an unknown container",
        INVALID,
        "nothing",
        overrides={"containerOverrides": [{"name": "nothing"}]},
    )
    wrong("an override without a name", INVALID, overrides={"containerOverrides": [{"command": ["x"]}]})
    wrong("overrides that are too long by name alone", INVALID, "8192", overrides=over(command=["x" * 9000]))
    wrong("a group of a service", INVALID, group="service:x")
    strategy = [{"capacityProvider": "FARGATE", "weight": 1}]
    wrong("launch type beside strategy", INVALID, call=run_fargate, capacityProviderStrategy=strategy)
    wrong("the launch type MANAGED_INSTANCES", INVALID, launchType="MANAGED_INSTANCES")
    wrong("an unknown launch type", INVALID, launchType="MOON")
    wrong("an unknown capacity provider", INVALID, capacityProviderStrategy=[{"capacityProvider": "nothing"}])
    wrong("21 capacity providers", INVALID, capacityProviderStrategy=[{"capacityProvider": f"p{n}"} for n in range(21)])
    wrong("a weight of 1001", INVALID, capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1001}])
    wrong(
        "two bases",
        INVALID,
        capacityProviderStrategy=[{"capacityProvider": p, "weight": 1, "base": 1} for p in ("FARGATE", "FARGATE_SPOT")],
    )
    wrong(
        "weights of nothing but 0",
        INVALID,
        capacityProviderStrategy=[{"capacityProvider": p, "weight": 0} for p in ("FARGATE", "FARGATE_SPOT")],
    )
    wrong(
        "awsvpc without a network configuration",
        INVALID,
        "Network Configuration must be provided",
        taskDefinition=family("fargate"),
        launchType="FARGATE",
    )
    wrong("an empty network configuration", INVALID, call=run_fargate, networkConfiguration={})
    wrong("a network configuration for bridge", INVALID, networkConfiguration=NETWORK)
    vpc = lambda **members: {"awsvpcConfiguration": {"subnets": ["s"], **members}}
    wrong("no subnets", INVALID, call=run_fargate, networkConfiguration=vpc(subnets=[]))
    wrong("missing subnets", INVALID, call=run_fargate, networkConfiguration={"awsvpcConfiguration": {}})
    wrong("17 subnets", INVALID, call=run_fargate, networkConfiguration=vpc(subnets=[f"s{n}" for n in range(17)]))
    wrong(
        "6 security groups",
        INVALID,
        call=run_fargate,
        networkConfiguration=vpc(securityGroups=[f"s{n}" for n in range(6)]),
    )
    wrong("an unknown assignPublicIp", INVALID, call=run_fargate, networkConfiguration=vpc(assignPublicIp="MAYBE"))
    wrong(
        "Fargate for a definition it cannot run",
        (*REFUSED, "PlatformTaskDefinitionIncompatibilityException"),
        launchType="FARGATE",
    )
    wrong(
        "an unknown platform version",
        ("PlatformUnknownException", "InvalidParameterException"),
        call=run_fargate,
        platformVersion="9.9.9",
    )
    wrong("a platform version on EC2", INVALID, launchType="EC2", platformVersion="LATEST")
    wrong("a size that Fargate lacks", INVALID, call=run_fargate, overrides={"cpu": "256", "memory": "8192"})
    wrong("a cpu override that does not go with the memory", INVALID, call=run_fargate, overrides={"cpu": "4096"})
    for size in (20, 201):
        wrong(
            f"{size} GiB of ephemeral storage",
            INVALID,
            call=run_fargate,
            overrides={"ephemeralStorage": {"sizeInGiB": size}},
        )
    wrong("11 placement constraints", INVALID, placementConstraints=[{"type": "distinctInstance"}] * 11)
    wrong("6 placement strategies", INVALID, placementStrategy=[{"type": "random"}] * 6)
    wrong("a placement strategy on Fargate", INVALID, call=run_fargate, placementStrategy=[{"type": "random"}])
    wrong("an unknown placement strategy", INVALID, placementStrategy=[{"type": "astrology"}])
    tag = lambda key, value="": [{"key": key, "value": value}]
    wrong("51 tags", INVALID, tags=[{"key": f"k{n}", "value": ""} for n in range(51)])
    wrong("a tag without a key", INVALID, tags=[{"value": "x"}])
    wrong("an empty tag key", INVALID, tags=tag(""))
    wrong("a tag key of 129", INVALID, tags=tag("k" * 129))
    wrong("a tag value of 257", INVALID, tags=tag("k", "v" * 257))
    for key in ("aws:x", "AWS:x"):
        wrong(f"the tag key {key}", INVALID, tags=tag(key))
    wrong("two tags of a key", INVALID, tags=tag("a") + tag("a"))
    wrong("a tag with other characters", INVALID, tags=tag("a*b"))
    wrong("propagateTags SERVICE", INVALID, propagateTags="SERVICE")
    wrong("an unknown propagateTags", INVALID, propagateTags="ALL")
    wrong(
        "a volume that the definition lacks",
        INVALID,
        volumeConfigurations=[{"name": "v", "managedEBSVolume": {"roleArn": "r"}}],
    )
    wrong("a count that is a string", SERIALIZATION, count="1")
    wrong("a count that is a fraction", SERIALIZATION, count=1.5)
    wrong("a value that is a number", SERIALIZATION, overrides=over(environment=[{"name": "A", "value": 1}]))
    wrong("a cluster that is a list", SERIALIZATION, cluster=["a"])
    wrong("a flag that is a string", SERIALIZATION, enableECSManagedTags="true")


def post(operation, body):
    """Posts what the client itself would not send, and answers the name of the exception."""
    target = f"AmazonEC2ContainerServiceV20141113.{operation}"
    headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.1"}
    request = urllib.request.Request(ecs.meta.endpoint_url, body.encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            raise AssertionError(f"was taken: {answer.read(300)}")
    except urllib.error.HTTPError as error:
        equal(error.code, 400)
        return json.load(error)["__type"].rsplit("#")[-1]


@check("requests of another JSON type than the model's are refused as not understood")
def _():
    over = lambda member, value: {"containerOverrides": [{"name": "app", member: value}]}
    for operation, members in (
        ("RunTask", {"overrides": over("command", "echo hello")}),
        ("RunTask", {"overrides": over("environment", {"A": "1"})}),
        ("RunTask", {"overrides": []}),
        ("RunTask", {"overrides": "x"}),
        ("RunTask", {"tags": {"a": "b"}}),
        ("RunTask", {"count": None, "capacityProviderStrategy": {}}),
        ("DescribeTasks", {"tasks": "0"}),
        ("ListTasks", {"maxResults": "1"}),
        ("StopTask", {"task": 1}),
        ("RegisterTaskDefinition", {"family": 1}),
        ("RegisterTaskDefinition", {"containerDefinitions": {}}),
        ("CreateCluster", {"clusterName": True}),
        ("TagResource", {"resourceArn": {}}),
    ):
        members = {"cluster": CLUSTER, "taskDefinition": family("quick"), **members}
        equal((members, post(operation, json.dumps(members))), (members, "SerializationException"))
    for body in ("{", "[]", "1", "", "null", "{} {}"):
        expected = "InvalidParameterException" if body == "" else "SerializationException"
        equal((body, post("RunTask", body)), (body, expected))


# Tasks


@check("a task runs, and its exit code is seen")
def _():
    overrides = {"containerOverrides": [{"name": "app", "command": ["/bin/sh", "-c", "exit 9"]}]}
    (arn,) = arns(run(overrides=overrides))
    task = until(arn, "STOPPED")
    equal((task["stopCode"], task["containers"][0]["exitCode"]), ("EssentialContainerExited", 9))
    equal((task["desiredStatus"], task["containers"][0]["lastStatus"]), ("STOPPED", "STOPPED"))
    assert task["createdAt"] <= task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"]
    assert task["stoppedReason"] and task["version"] > 3 and task["pullStartedAt"] and task["executionStoppedAt"]


@check("a task without a program tells why it did not start")
def _():
    overrides = {"containerOverrides": [{"name": "app", "command": ["/no/such/program"]}]}
    task = until(arns(run(overrides=overrides))[0], "STOPPED")
    equal(task["stopCode"], "TaskFailedToStart")
    assert task["stoppedReason"].startswith("CannotStartContainerError"), task["stoppedReason"]


@check("DescribeTasks answers by id and ARN, with failures for what is missing")
def _():
    (arn,) = arns(run())
    missing = arn[:-32] + "0" * 32
    answer = ecs.describe_tasks(cluster=CLUSTER, tasks=[arn, "1" * 32, missing])
    equal([task["taskArn"] for task in answer["tasks"]], [arn])
    equal([failure["reason"] for failure in answer["failures"]], ["MISSING", "MISSING"])
    equal([failure["arn"] for failure in answer["failures"]], [arn[:-32] + "1" * 32, missing])
    equal(ecs.describe_tasks(cluster=OTHER, tasks=[arn[-32:]])["failures"][0]["reason"], "MISSING")


def add_describe_and_list_refusals():
    unknown = ("ClusterNotFoundException",)
    for name, names, call, members in (
        ("DescribeTasks refuses 101 tasks", INVALID, "describe_tasks", {"tasks": ["0" * 32] * 101}),
        ("DescribeTasks refuses no tasks", INVALID, "describe_tasks", {"tasks": []}),
        ("DescribeTasks refuses missing tasks", INVALID, "describe_tasks", {}),
        (
            "DescribeTasks refuses an unknown field",
            INVALID,
            "describe_tasks",
            {"tasks": ["0" * 32], "include": ["ALL"]},
        ),
        (
            "DescribeTasks refuses an unknown cluster",
            unknown,
            "describe_tasks",
            {"cluster": "missing", "tasks": ["0" * 32]},
        ),
        (
            "DescribeTasks refuses a task of another cluster",
            INVALID,
            "describe_tasks",
            {"tasks": [f"arn:aws:ecs:us-east-1:000000000000:task/other/{'0' * 32}"]},
        ),
        ("ListTasks refuses an unknown cluster", unknown, "list_tasks", {"cluster": "missing"}),
        ("ListTasks refuses startedBy with family", INVALID, "list_tasks", {"startedBy": "a", "family": "b"}),
        ("ListTasks refuses startedBy with launchType", INVALID, "list_tasks", {"startedBy": "a", "launchType": "EC2"}),
        ("ListTasks refuses 0 results", INVALID, "list_tasks", {"maxResults": 0}),
        ("ListTasks refuses 101 results", INVALID, "list_tasks", {"maxResults": 101}),
        ("ListTasks refuses a foreign token", INVALID, "list_tasks", {"nextToken": "x"}),
        ("ListTasks refuses an unknown desired status", INVALID, "list_tasks", {"desiredStatus": "DONE"}),
        ("ListTasks refuses an unknown launch type", INVALID, "list_tasks", {"launchType": "MOON"}),
        (
            "ListTasks refuses an unknown service",
            ("ServiceNotFoundException",),
            "list_tasks",
            {"serviceName": "nothing"},
        ),
        ("StopTask refuses an unknown task", INVALID, "stop_task", {"task": "0" * 32}),
        ("StopTask refuses an unknown cluster", unknown, "stop_task", {"cluster": "missing", "task": "0" * 32}),
        ("StopTask refuses no task", INVALID, "stop_task", {}),
        ("StopTask refuses a reason of 256", INVALID, "stop_task", {"task": "0" * 32, "reason": "x" * 256}),
    ):
        add_refusal(name, names, getattr(ecs, call), {"cluster": CLUSTER, **members})


def listed(**members):
    pages = ecs.get_paginator("list_tasks").paginate(cluster=CLUSTER, **members)
    return [arn for page in pages for arn in page["taskArns"]]


@check("ListTasks filters by family, startedBy, launch type and desired status, and pages")
def _():
    started_by = f"list-{RUN}"
    running = arns(run(taskDefinition=family("sleeping"), startedBy=started_by, count=3))
    (stopped,) = arns(run(startedBy=started_by))
    until(stopped, "STOPPED")
    equal(sorted(listed(startedBy=started_by)), sorted(running))
    equal(sorted(listed(startedBy=started_by, PaginationConfig={"PageSize": 2})), sorted(running))
    equal(listed(startedBy=started_by, desiredStatus="STOPPED"), [stopped])
    assert set(running) <= set(listed(family=family("sleeping"), launchType="EC2"))
    assert not set(running) & set(listed(family=family("quick"))) | set(running) & set(listed(launchType="FARGATE"))
    assert stopped not in listed() and stopped in listed(desiredStatus="STOPPED")
    equal(listed(desiredStatus="PENDING"), [])
    equal(listed(startedBy="nobody"), [])
    for arn in running:
        ecs.stop_task(cluster=CLUSTER, task=arn)


@check("StopTask stops, tells the reason, takes the tags, and is the same twice")
def _():
    (arn,) = arns(run(taskDefinition=family("sleeping"), tags=[{"key": "a", "value": "b"}]))
    until(arn, "RUNNING")
    answer = ecs.stop_task(cluster=CLUSTER, task=arn, reason="r" * 255)["task"]
    equal(
        (answer["desiredStatus"], answer["stopCode"], answer["stoppedReason"]), ("STOPPED", "UserInitiated", "r" * 255)
    )
    task = until(arn, "STOPPED")
    equal(
        (task["stopCode"], task["stoppedReason"], task["containers"][0]["exitCode"]), ("UserInitiated", "r" * 255, 143)
    )
    equal(describe(arn, include=["TAGS"]).get("tags", []), [])
    again = ecs.stop_task(cluster=CLUSTER, task=arn[-32:], reason="again")["task"]
    equal((again["stoppedReason"], again["version"]), ("r" * 255, task["version"]))


@check("boto3's waiters see tasks run and stop")
def _():
    (arn,) = arns(run(taskDefinition=family("sleeping")))
    config = {"Delay": 1, "MaxAttempts": 30}
    ecs.get_waiter("tasks_running").wait(cluster=CLUSTER, tasks=[arn], WaiterConfig=config)
    ecs.stop_task(cluster=CLUSTER, task=arn)
    ecs.get_waiter("tasks_stopped").wait(cluster=CLUSTER, tasks=[arn], WaiterConfig=config)


# Tags


def tags_of(arn):
    return {tag["key"]: tag.get("value") for tag in ecs.list_tags_for_resource(resourceArn=arn)["tags"]}


@check("tasks, task definitions and clusters are tagged and untagged")
def _():
    (task,) = arns(run(taskDefinition=family("sleeping")))
    cluster = ecs.describe_clusters(clusters=[OTHER])["clusters"][0]["clusterArn"]
    definition = ecs.describe_task_definition(taskDefinition=family("quick"))["taskDefinition"]["taskDefinitionArn"]
    for arn in (task, cluster, definition):
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": ""}])
        ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "2"}])
        equal(tags_of(arn), {"a": "2", "b": ""})
        ecs.untag_resource(resourceArn=arn, tagKeys=["a", "nothing"])
        equal(tags_of(arn), {"b": ""})
        refused(INVALID, ecs.tag_resource, resourceArn=arn, tags=[{"key": "aws:x", "value": ""}])
        many = [{"key": f"k{n}", "value": ""} for n in range(50)]
        refused(("LimitExceededException", *INVALID), ecs.tag_resource, resourceArn=arn, tags=many)
        equal(tags_of(arn), {"b": ""})
    ecs.stop_task(cluster=CLUSTER, task=task)
    refused(INVALID, ecs.tag_resource, resourceArn=task, tags=[{"key": "a", "value": "1"}])


@check("what is not there cannot be tagged")
def _():
    names = ("ResourceNotFoundException", "ClusterNotFoundException", *REFUSED)
    for resource in (
        f"task/{CLUSTER}/{'0' * 32}",
        "cluster/missing",
        f"task-definition/{family('quick')}:99",
        "service/a/b",
    ):
        arn = f"arn:aws:ecs:us-east-1:000000000000:{resource}"
        refused(names, ecs.tag_resource, resourceArn=arn, tags=[{"key": "a", "value": "1"}])
        refused(names, ecs.untag_resource, resourceArn=arn, tagKeys=["a"])
        refused(names, ecs.list_tags_for_resource, resourceArn=arn)
    refused(INVALID, ecs.list_tags_for_resource, resourceArn="nonsense")
    refused(INVALID, ecs.tag_resource, tags=[])


@check("an operation that is not there is refused")
def _():
    refused(("UnknownOperationException",), ecs.list_container_instances, cluster=CLUSTER)


def main():
    global ecs
    given = command_line(__doc__)
    # Each call once: a retry would hide a fault.
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    ecs = boto3.client(
        "ecs",
        endpoint_url=given.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )
    add_wrong_definitions()
    add_run_task_refusals()
    add_describe_and_list_refusals()
    prepare()
    try:
        perform_all(given)
    finally:
        for task in ecs.list_tasks(cluster=CLUSTER)["taskArns"]:
            ecs.stop_task(cluster=CLUSTER, task=task)


if __name__ == "__main__":
    main()
