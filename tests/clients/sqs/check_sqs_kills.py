"""Holds SQS to what it has answered, over `kill -9`: clients send, receive and delete while `taskferry dev` is killed.

usage: check_sqs_kills.py --endpoint-url URL

Starts servers of its own, by the program that TASKFERRY names, on one state directory; the endpoint is not asked. A life ends
when so many messages were accepted in it, whatever else is under way. Exits 1 if something was lost, came again after it was
deleted, or came out of order.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all  # noqa: E402

LIVES = 6
ACCEPTED_IN_EACH = 60
GROUPS = ["a", "b", "c"]
BATCH = 5


class Dev:
    """A server on a state directory, on a port of its own."""

    def __init__(self, directory):
        rules = pathlib.Path(directory, "taskferry.yaml")
        rules.write_text("name: kills\nrules: []\n")
        self.process = subprocess.Popen(
            [os.environ["TASKFERRY"], "dev", "--port", "0", "--file", rules, "--state", pathlib.Path(directory, "state")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        ready = self.process.stdout.readline().split()
        self.endpoint = next(word for word in ready if word.startswith("http://"))

    def client(self):
        return boto3.client(
            "sqs", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
        )

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


class Ledger:
    """What was answered, over all lives."""

    def __init__(self):
        self.lock = threading.Lock()
        self.accepted = set()
        self.received = []
        self.deleted = set()
        self.faults = []
        self.enough = threading.Event()
        self.limit = 0

    def accept(self, names):
        with self.lock:
            self.accepted.update(names)
            if len(self.accepted) >= self.limit:
                self.enough.set()

    def receive(self, name):
        with self.lock:
            if name in self.deleted:
                self.faults.append(f"{name} came again after its deletion was answered")
            self.received.append(name)

    def delete(self, name):
        with self.lock:
            self.deleted.add(name)


class Sender(threading.Thread):
    """Sends numbered messages, one after the other, and those of which it heard nothing again."""

    def __init__(self, ledger, group):
        super().__init__()
        self.ledger, self.group, self.next = ledger, group, 0

    def life(self, dev):
        self.sqs = dev.client()
        self.url = f"{dev.endpoint}/000000000000/{'order.fifo' if self.group else 'plain'}"
        super().__init__()
        self.start()

    def run(self):
        try:
            while True:
                names = [f"{self.group or 'plain'}-{self.next + at}" for at in range(BATCH)]
                entries = [{"Id": name, "MessageBody": name} for name in names]
                for entry in entries if self.group else []:
                    entry |= {"MessageGroupId": self.group, "MessageDeduplicationId": entry["Id"]}
                answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
                equal([entry["Id"] for entry in answer["Successful"]], names)
                self.next += BATCH
                self.ledger.accept(names)
        except (BotoCoreError, ClientError):
            return  # It is gone.


class Receiver(threading.Thread):
    """Receives and deletes, until nothing comes for so long or nobody is there."""

    def __init__(self, ledger, dev, queue, patience=20):
        super().__init__()
        self.ledger, self.patience = ledger, patience
        self.sqs, self.url = dev.client(), f"{dev.endpoint}/000000000000/{queue}"
        self.start()

    def run(self):
        try:
            while True:
                answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=3, WaitTimeSeconds=self.patience)
                if not answer.get("Messages"):
                    return
                for message in answer["Messages"]:
                    self.ledger.receive(message["Body"])
                    self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                    self.ledger.delete(message["Body"])
        except (BotoCoreError, ClientError):
            return  # It is gone.


def create(dev):
    sqs = dev.client()
    # Long enough for any client to delete what it was given, so that nothing comes again but by a kill.
    visible = {"VisibilityTimeout": "5"}
    sqs.create_queue(QueueName="plain", Attributes=visible)
    sqs.create_queue(QueueName="order.fifo", Attributes={"FifoQueue": "true", **visible})


@check
def nothing_that_was_accepted_is_lost_or_loses_its_place_when_the_server_is_killed():
    ledger = Ledger()
    senders = [Sender(ledger, group) for group in [*GROUPS, None]]
    with tempfile.TemporaryDirectory() as directory:
        for life in range(LIVES):
            dev = Dev(directory)
            if life == 0:
                create(dev)
            ledger.limit = len(ledger.accepted) + ACCEPTED_IN_EACH
            ledger.enough.clear()
            for sender in senders:
                sender.life(dev)
            receivers = [Receiver(ledger, dev, queue) for queue in ["order.fifo", "plain"]]
            equal(ledger.enough.wait(60), True)
            dev.end(signal.SIGKILL)
            for thread in [*senders, *receivers]:
                thread.join(60)
                equal(thread.is_alive(), False)
        dev = Dev(directory)
        # What a killed client had in hand comes when its visibility timeout is over.
        for receiver in [Receiver(ledger, dev, queue, patience=10) for queue in ["order.fifo", "plain"]]:
            receiver.join(120)
            equal(receiver.is_alive(), False)
        dev.end(signal.SIGINT)
    equal(ledger.faults, [])
    equal(ledger.accepted - set(ledger.received), set())
    for group in GROUPS:
        numbers = [int(name.split("-")[1]) for name in ledger.received if name.startswith(group + "-")]
        # One that came again did so before the next came: its deletion was not heard of.
        steps = {after - before for before, after in zip(numbers, numbers[1:])}
        equal(steps - {0, 1}, set())
        equal(numbers[0], 0)


def main():
    given = command_line(__doc__)
    perform_all(given)


main()
