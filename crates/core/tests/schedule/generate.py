"""Writes corpus.jsonl: when schedules fire over 20 years in zones whose clocks change, told by code that is not ours.

The times of the calendar come from croniter, the clocks from Python's zoneinfo. What EventBridge Scheduler adds is here in
two lines: a time that the clocks skip does not come, and one that they repeat comes once.

    pip install croniter==7.0.0 tzdata==2025.2
    PYTHONTZPATH= python generate.py > corpus.jsonl
"""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter

BEGIN, END = datetime(2005, 1, 1), datetime(2025, 1, 1)
ZONES = [
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "Asia/Seoul",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
]
# In AWS's form and in croniter's.
EXPRESSIONS = [
    ("cron(0 0 * * ? *)", "0 0 * * *"),
    ("cron(30 1 * * ? *)", "30 1 * * *"),
    ("cron(15 2 * * ? *)", "15 2 * * *"),
    ("cron(0 3 * * ? *)", "0 3 * * *"),
    ("cron(0/20 0-3 * * ? *)", "*/20 0-3 * * *"),
    ("cron(45 1,2 ? * SUN *)", "45 1,2 * * sun"),
    ("cron(0 2 ? 3,4,9-11 1#2 *)", "0 2 * 3,4,9-11 0#2"),
    ("cron(30 2 ? * 1L *)", "30 2 * * L0"),
    ("cron(45 23 L * ? *)", "45 23 L * *"),
    ("cron(5 0-3 ? 1/2 MON-FRI *)", "5 0-3 * 1,3,5,7,9,11 mon-fri"),
]
SPARSE = 8000


def civil_times(expression):
    times = croniter(expression, BEGIN - timedelta(minutes=1))
    while (time := times.get_next(datetime)) < END:
        yield time


def instant(civil, zone):
    """The first instant at which the clocks show this, in seconds; None if they never do."""
    there = civil.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)
    if there.astimezone(zone).replace(tzinfo=None) != civil:
        return None
    return int(there.timestamp())


def is_near_change(second, zone):
    at = datetime.fromtimestamp(second, timezone.utc)
    offsets = {(at + timedelta(hours=h)).astimezone(zone).utcoffset() for h in (-26, 0, 26)}
    return len(offsets) > 1


def main():
    for aws, cron in EXPRESSIONS:
        civil = list(civil_times(cron))
        for name in ZONES:
            zone = ZoneInfo(name)
            found = [second for second in (instant(time, zone) for time in civil) if second is not None]
            text = "".join(f"{second}\n" for second in found)
            line = {
                "expression": aws,
                "timezone": name,
                "count": len(found),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
            # Enough to see what went wrong.
            if len(found) < SPARSE:
                line["nearChanges"] = [s // 60 for s in found if is_near_change(s, zone)]
            print(json.dumps(line))


main()
