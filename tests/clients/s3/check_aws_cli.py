"""Holds an S3 endpoint against what the AWS CLI expects of S3.

usage: check_aws_cli.py --endpoint-url URL [--aws PROGRAM]

Prints a line per check and a sum at the end; exits 1 if a check failed. It works in a bucket of its own and in a
temporary directory.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from checks import check, command_line, equal, perform_all  # noqa: E402



class World:
    """A bucket and a directory of a check's own, and the CLI."""

    def __init__(self, endpoint, program, directory):
        self.program = program
        self.dir = pathlib.Path(directory)
        self.bucket = "cli-" + uuid.uuid4().hex[:20]
        self.environment = {
            **os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "credentials",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": "",
        }
        self.aws("s3", "mb", self.uri())

    def uri(self, key=""):
        return f"s3://{self.bucket}/{key}"

    def aws(self, *arguments, fails=False, stdin=None):
        done = subprocess.run([self.program, *map(str, arguments)], env=self.environment, input=stdin, capture_output=True)
        assert (done.returncode != 0) == fails, f"exit {done.returncode}: {done.stderr.decode()}{done.stdout.decode()}"
        return (done.stderr if fails else done.stdout).decode()

    def api(self, operation, *arguments):
        text = self.aws("s3api", operation, "--bucket", self.bucket, "--output", "json", *arguments)
        return json.loads(text) if text else {}

    def keys(self):
        return sorted(o["Key"] for o in self.api("list-objects-v2").get("Contents", []))

    def file(self, name, data):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # S3 tells no fractions of a second: a file from before the upload is one that `sync` need not send again.
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return path


@check
def cp_up_and_down(w):
    data = os.urandom(100_000)
    w.aws("s3", "cp", w.file("a b+c 한.bin", data), w.uri("in/"))
    equal(w.keys(), ["in/a b+c 한.bin"])
    w.aws("s3", "cp", w.uri("in/a b+c 한.bin"), w.dir / "back")
    equal((w.dir / "back").read_bytes() == data, True)


@check
def cp_of_a_large_file_in_parts(w):
    data = os.urandom(20 * 1024 * 1024 + 5)
    w.aws("s3", "cp", w.file("large", data), w.uri("large"))
    assert w.api("head-object", "--key", "large")["ETag"].endswith('-3"')
    w.aws("s3", "cp", w.uri("large"), w.uri("larger"))
    w.aws("s3", "cp", w.uri("larger"), w.dir / "back")
    equal((w.dir / "back").read_bytes() == data, True)


@check
def cp_through_pipes(w):
    w.aws("s3", "cp", "-", w.uri("piped"), stdin=b"through a pipe")
    equal(w.aws("s3", "cp", w.uri("piped"), "-"), "through a pipe")


@check
def cp_with_type_and_metadata(w):
    w.aws("s3", "cp", w.file("x.json", b"{}"), w.uri(), "--metadata", "who=me", "--cache-control", "no-store")
    head = w.api("head-object", "--key", "x.json")
    equal((head["ContentType"], head["Metadata"], head["CacheControl"]), ("application/json", {"who": "me"}, "no-store"))


@check
def cp_of_what_is_not_there(w):
    assert "404" in w.aws("s3", "cp", w.uri("none"), w.dir / "x", fails=True)


@check
def ls_shows_keys_and_prefixes(w):
    for name in ["top.txt", "sub/one", "sub/two"]:
        w.api("put-object", "--key", name)
    found = w.aws("s3", "ls", w.uri())
    assert "PRE sub/" in found and "top.txt" in found and "one" not in found, found
    found = w.aws("s3", "ls", w.uri(), "--recursive", "--summarize")
    assert "sub/two" in found and "Total Objects: 3" in found, found
    assert w.bucket in w.aws("s3", "ls")


@check
def sync_up_down_and_with_delete(w):
    names = ["one", "deep/er/two", "three é"]
    for name in names:
        w.file("tree/" + name, name.encode())
    tree = w.dir / "tree"
    w.aws("s3", "sync", tree, w.uri("t"))
    equal(w.keys(), sorted("t/" + name for name in names))
    equal(w.aws("s3", "sync", tree, w.uri("t")), "")
    (tree / "one").unlink()
    assert "delete" in w.aws("s3", "sync", tree, w.uri("t"), "--delete")
    equal(w.keys(), ["t/deep/er/two", "t/three é"])
    w.aws("s3", "sync", w.uri("t"), w.dir / "back")
    equal((w.dir / "back/three é").read_text(), "three é")


@check
def mv_and_rm(w):
    w.aws("s3", "mv", w.file("m", b"x"), w.uri("moved"))
    w.aws("s3", "mv", w.uri("moved"), w.uri("again"))
    equal(w.keys(), ["again"])
    w.aws("s3", "rm", w.uri(), "--recursive")
    equal(w.keys(), [])


@check
def presign_gives_a_url_that_works(w):
    w.aws("s3", "cp", "-", w.uri("p q"), stdin=b"presigned")
    url = w.aws("s3", "presign", w.uri("p q"), "--expires-in", "60").strip()
    equal(urllib.request.urlopen(url).read(), b"presigned")


@check
def api_puts_with_conditions_and_checksums(w):
    body = w.file("b", b"123456789")
    put = w.api("put-object", "--key", "k", "--body", body, "--checksum-algorithm", "SHA256", "--if-none-match", "*")
    equal(put["ChecksumSHA256"], "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=")
    assert "PreconditionFailed" in w.aws(
        "s3api", "put-object", "--bucket", w.bucket, "--key", "k", "--body", body, "--if-none-match", "*", fails=True)
    equal(w.api("get-object", "--key", "k", "--range", "bytes=2-4", w.dir / "r")["ContentLength"], 3)
    equal((w.dir / "r").read_bytes(), b"345")


@check
def rb_removes_the_bucket(w):
    w.aws("s3", "cp", "-", w.uri("x"), stdin=b"")
    assert "BucketNotEmpty" in w.aws("s3", "rb", w.uri(), fails=True)
    w.aws("s3", "rb", w.uri(), "--force")
    assert "NoSuchBucket" in w.aws("s3", "ls", w.uri(), fails=True)
    w.aws("s3", "mb", w.uri())


def main():
    given = command_line(__doc__, aws=os.path.join(os.path.dirname(sys.executable), "aws"))

    def perform(test):
        with tempfile.TemporaryDirectory() as directory:
            world = World(given.endpoint_url, given.aws, directory)
            test(world)
            world.aws("s3", "rb", world.uri(), "--force")

    perform_all(given, perform)


if __name__ == "__main__":
    main()
