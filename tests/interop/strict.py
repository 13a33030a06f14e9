"""Judges every answer of a boto3 client by botocore's own model of the service."""

import json

import regex

# Any operation may answer with these, although no model lists them: AWS General Reference,
# "Common errors".
COMMON_ERRORS = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InternalFailure",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ServiceUnavailable",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}


def attach(client, report):
    """From now on calls `report(sentence)` for everything wrong with an answer to this client."""

    def judge(http_response, model, **_):
        for finding in findings(model, http_response):
            report(f"{model.name}: {finding}")

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"after-call.{service}", judge)


def findings(operation, response):
    """What is wrong with this HTTP answer to this operation: a list of sentences."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    found = []
    if "x-amzn-requestid" not in headers:
        found.append("no x-amzn-RequestId header")
    try:
        body = json.loads(response.content) if response.content.strip() else {}
    except ValueError:
        return [*found, f"the body is not JSON: {response.content[:80]!r}"]
    if response.content.strip() and "json" not in headers.get("content-type", ""):
        found.append(f"JSON in a body of type {headers.get('content-type')!r}")
    if not isinstance(body, dict):
        return [*found, "the body is not a JSON object"]
    if response.status_code < 300:
        return found + wrong_with_success(operation, response.status_code, body)
    return found + wrong_with_error(operation, response.status_code, headers, body)


def wrong_with_success(operation, status, body):
    found = []
    expected = operation.http.get("responseCode", 200)
    if status != expected:
        found.append(f"status {status}, the model says {expected}")
    output = operation.output_shape
    if output is None:
        return found + [f"unexpected member {name}" for name in body]
    return found + list(wrong_with_value(body, output, "answer"))


def wrong_with_error(operation, status, headers, body):
    found = []
    header = headers.get("x-amzn-errortype", "")
    if not header:
        found.append("an error without x-amzn-errortype header")
    # AWS sometimes writes `Code:http://…`, and older protocols `namespace#Code`.
    code = header.split(":")[0].split("#")[-1]
    if not (body.get("message") or body.get("Message")):
        found.append(f"{code} without a message")
    shapes = {shape.name: shape for shape in operation.error_shapes}
    if code in shapes:
        expected = shapes[code].metadata.get("error", {}).get("httpStatusCode", status)
        if status != expected:
            found.append(f"{code} with status {status}, the model says {expected}")
        # Some services repeat the code in the body; no model names those two members.
        told = {name: value for name, value in body.items() if name not in ("__type", "code")}
        found.extend(wrong_with_value(told, shapes[code], code))
    elif code not in COMMON_ERRORS:
        found.append(f"{code} is not an error of this operation")
    return found


def wrong_with_value(value, shape, path):
    """Yields what is wrong with one JSON value as a value of this shape."""
    if value is None:  # AWS writes null for an absent member
        return
    check = CHECKS.get(shape.type_name)
    if check is None:
        yield f"{path}: a shape of type {shape.type_name}, which this judge does not know"
    else:
        yield from check(value, shape, path)


def wrong_with_structure(value, shape, path):
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not an object"
        return
    members = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    for name, item in value.items():
        if name in members:
            yield from wrong_with_value(item, members[name], f"{path}.{name}")
        else:
            yield f"{path}: {name} is no member of {shape.name}"
    for name in shape.required_members:
        wire_name = shape.members[name].serialization.get("name", name)
        if wire_name in members and value.get(wire_name) is None:
            yield f"{path}: the required member {wire_name} is missing"


def wrong_with_list(value, shape, path):
    if not isinstance(value, list):
        yield f"{path}: {value!r} is not a list"
        return
    yield from wrong_with_bounds(len(value), shape, f"{path}: its length")
    for index, item in enumerate(value):
        yield from wrong_with_value(item, shape.member, f"{path}[{index}]")


def wrong_with_map(value, shape, path):
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not a map"
        return
    for key, item in value.items():
        yield from wrong_with_value(key, shape.key, f"{path}, key {key!r}")
        yield from wrong_with_value(item, shape.value, f"{path}[{key!r}]")


def wrong_with_string(value, shape, path):
    if not isinstance(value, str):
        yield f"{path}: {value!r} is not a string"
        return
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path}: {value!r} is none of {', '.join(shape.enum)}"
    yield from wrong_with_bounds(len(value), shape, f"{path}: its length")
    pattern = shape.metadata.get("pattern")
    if pattern and not regex.fullmatch(pattern, value):
        yield f"{path}: {value[:80]!r} does not match {pattern}"


def wrong_with_integer(value, shape, path):
    if isinstance(value, bool) or not isinstance(value, int):
        yield f"{path}: {value!r} is not an integer"
    else:
        yield from wrong_with_bounds(value, shape, path)


def wrong_with_number(value, shape, path):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield f"{path}: {value!r} is not a number"


def wrong_with_boolean(value, shape, path):
    if not isinstance(value, bool):
        yield f"{path}: {value!r} is not true or false"


def wrong_with_timestamp(value, shape, path):
    """rest-json: seconds since 1970 as a number. One in milliseconds would be beyond 4e9."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 4e9:
        yield f"{path}: {value!r} is not a time in seconds since 1970"


def wrong_with_bounds(number, shape, what):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and number < low:
        yield f"{what} {number} is below {low}"
    if high is not None and number > high:
        yield f"{what} {number} is above {high}"


CHECKS = {
    "structure": wrong_with_structure,
    "list": wrong_with_list,
    "map": wrong_with_map,
    "string": wrong_with_string,
    "blob": wrong_with_string,
    "integer": wrong_with_integer,
    "long": wrong_with_integer,
    "float": wrong_with_number,
    "double": wrong_with_number,
    "boolean": wrong_with_boolean,
    "timestamp": wrong_with_timestamp,
}
