"""Facts about this service for the tool that sends requests by docs/openapi.json. Every check of its is on.

Loaded by it, not by pytest.
"""

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

NDJSON: Final = "application/x-ndjson"

answered: Final[Counter[str]] = Counter()
"""Requests by what they were meant to be, `positive` or `negative`, and the status they got: "negative 400"."""

# The errors that a request can have although every field alone is as the document says. The document tells these rules
# in words, for no schema can say them: each is between fields, or between a field and something that is no field.
SAID_IN_WORDS: Final = (
    # a body and its header
    "Differs from the header Idempotency-Key.",
    "This field is required.",  # reference_id, in neither of the two
    # fields of one body
    "Only with amount_mode up_to.",
    "Only with expires_in_seconds: without, it never expires.",
    "Cannot be combined with expires_at.",
    "Must be at most amount.",
    "Must be at most max_balance.",
    "All uses together must be at most",
    "Must have expected_version, min_balance or max_balance.",
    "Must change something.",
    "There is one of these already.",
    "This field or asset_type_id is required.",
    "This wallet takes no part.",
    "Is copied from the key that is replaced.",
    "A key is bound to a user or to wallets, not to both.",
    "A key that is bound can read and spend",
    "At least one is required.",  # scopes, unless it replaces a key
    "Must be 1 to 255 characters without control characters.",  # a key's name, in the same way
    "Only an atomic batch as a whole can be dry.",
    # parameters of one query
    "cannot be combined with",
    "is not taken by this list",
    "CSV is not paged.",
    "must be later than from",
    "must not be after to",
    # a value and what the service knows: its time, its cursors, its words
    "is in the future",
    "is none that this service has given",
    "is a built-in name.",
    "There is no such time.",
    "The clock may be",
    # a number and how it is spelled: to JSON Schema 5.0 is an integer, and here no float touches money
    "got `float`.",
    # a text and what it stands for
    f"Must be at most {2**63 - 1}.",
    f"Must be at least -{2**63 - 1}.",
    "Must be in the years 2 to 9998.",
    # what metadata is when it is written down
    "Must be at most 4096 bytes",
    "May be nested 4 deep.",
    "Integers must fit 64 bits.",
    "NUL is not allowed in text.",
)


@schemathesis.serializer(NDJSON)
def one_line(_: object, value: Any) -> bytes:
    """The document describes one item of an import: it goes on a line of its own."""
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.deserializer(NDJSON)
def the_line(_: object, response: Response) -> Any:
    """The answer to one item; the line that counts the items may be after it, or be alone."""
    line, *count = response.content.decode().splitlines()
    if len(count) > 1 or any("lines" not in json.loads(each) for each in count):
        raise ValueError(f"one item was answered with {response.content!r}")
    return json.loads(line)


@schemathesis.hook
def filter_case(_: HookContext, case: Case) -> bool:
    """Leaves out the end of the key that all this comes with."""
    return (case.path_parameters or {}).get("key_id") != os.environ["KEY_ID"]


@schemathesis.hook
def map_case(_: HookContext, case: Case) -> Case:
    """Lets right requests get further than to the rules in words: a reference is new, and given once."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        bodies = case.body.get("items", [case.body]) if isinstance(case.body, dict) else []
        for body in bodies:
            if isinstance(body, dict) and isinstance(body.get("reference_id"), str):
                body["reference_id"] = f"{body['reference_id'][:200]}{uuid4()}"
                (case.headers or {}).pop("Idempotency-Key", None)
    return case


@schemathesis.hook
def filter_failure(_: HookContext, failure: Any, case: Case, response: Response) -> bool:
    """Whether it is one: what the document tells in words is none, nor is a list that says no to one of its items."""
    if isinstance(failure, RejectedPositiveData) and response.status_code == 400:
        return not all(_is_said_in_words(each["message"]) for each in response.json()["errors"])
    if isinstance(failure, AcceptedNegativeData):
        if case.operation.path in ("/import", "/batches"):
            return not _items_refused(response)
        # Learnt from "This field is required.", and not that the header is another place for it.
        return _description(case) != "Missing required property: reference_id" or "Idempotency-Key" not in case.headers
    return True


@schemathesis.hook
def after_call(_: HookContext, case: Case, response: Response) -> None:
    """Counts what was sent and how it was answered."""
    mode = case.meta.generation.mode.value if case.meta is not None else "none"
    answered[f"{mode} {response.status_code}"] += 1


def _description(case: Case) -> str:
    """The changes by which the tool made the request wrong."""
    return str(getattr(case.meta and case.meta.phase.data, "description", ""))


@atexit.register
def write_answered() -> None:
    """Leaves the counts in the folder that the tool was started in."""
    Path("answered.json").write_text(json.dumps(answered))


def _is_said_in_words(message: str) -> bool:
    return any(known in message for known in SAID_IN_WORDS)


def _items_refused(response: Response) -> bool:
    """Whether a list that is answered item by item says no to one."""
    answer = [json.loads(line) for line in response.content.decode().splitlines()]
    items = answer[0].get("items", answer) if answer else []
    return any(each["status"] == 400 for each in items)
