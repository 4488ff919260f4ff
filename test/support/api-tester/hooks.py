"""What the OpenAPI document cannot say of a request that is right, so that the tester does not hold it for one."""

import itertools
import re

import schemathesis

# The readers' own languages: some of their sentences in place of any text.
SENTENCES = {
    "filter": ["reported.battery<20", "exists(desired.a) and version>1", 'reported["a b"].c in ("x", 1)'],
    "fields": ["version,reported.battery", "deviceId,inSync,delta", "desired.a"],
    "path": ["reported.temp", "/desired/power", "reported.a\\.b"],
}
# Only what an answer told is one.
TOKENS = ("cursor", "nextToken")
FORBIDDEN = {"__proto__", "constructor", "prototype"}
MAX_LEVELS = 6
MAX_INTEGER = 2**53 - 1


keys = itertools.count()


@schemathesis.hook
def map_case(context, case):
    headers = case.headers or {}
    # One that was sent before has the answer of then, whatever else is sent with it.
    if re.fullmatch("[!-~]{1,128}", headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] = f"key-{next(keys)}"
    if not case.meta or not case.meta.generation.mode.is_positive:
        return case
    query = case.query or {}
    for name in TOKENS:
        query.pop(name, None)
    for name, sentences in SENTENCES.items():
        if name in query:
            query[name] = sentences[len(str(query[name])) % len(sentences)]
    # One moment, not two.
    if "version" in query:
        query.pop("at", None)
    # Not later than the end, which is now.
    if case.path == "/fleet/convergence" and "from" in query:
        query["from"] = "2026-05-01T00:00:00Z"
        query.pop("to", None)
    return case


@schemathesis.hook
def filter_case(context, case):
    if not case.meta or not case.meta.generation.mode.is_positive:
        return True
    return is_fine(case.body, 0, False) if isinstance(case.body, (dict, list)) else True


def is_fine(value, level, in_array):
    """The strict reading of docs/guarantees.md: what JSON Schema of OpenAPI 3.0 has no words for."""
    if isinstance(value, str):
        # A lone surrogate cannot be sent in UTF-8, and a token is bounded in bytes.
        return "\0" not in value and value.isascii()
    if isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return abs(value) <= MAX_INTEGER
    if value is None:
        return not in_array
    if level >= MAX_LEVELS:
        return False
    if isinstance(value, list):
        return all(is_fine(each, level + 1, True) for each in value)
    return all(
        name not in FORBIDDEN and is_fine(name, level, False) and is_fine(each, level + 1, in_array)
        for name, each in value.items()
    )
