"""Ids of messages and turns are never used twice, whatever process takes them."""

import subprocess
import sys
from uuid import UUID

from conversations.messages import new_id

FORK = """
import os, django
django.setup()
from conversations.messages import new_id
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, new_id().encode())
    os._exit(0)
os.wait()
print(new_id(), os.read(reader, 99).decode())
"""


def test_ids_are_uuids_that_differ():
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(UUID(each).version, str(UUID(each)) == each) for each in ids} == {(4, True)}


def test_a_process_that_was_forked_takes_others_than_its_parent():
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    mine, childs = run.stdout.split()
    assert mine != childs
