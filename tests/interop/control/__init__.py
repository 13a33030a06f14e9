"""Cases of the control plane, one file a resource family, and what they share."""

NOWHERE = "0" * 64  # an id no certificate has

# AWS IoT pages its lists in two ways: page size, marker, and where the answer has the next marker.
MARKERS = ("pageSize", "marker", "nextMarker")
TOKENS = ("maxResults", "nextToken", "nextToken")


def pages(call, paging, items, size, **arguments):
    """Reads a list to its end; hands on the pages."""
    page_size, marker, next_marker = paging
    found, position = [], {}
    while True:
        answer = call(**{page_size: size}, **position, **arguments)
        found.append(answer[items])
        if not answer.get(next_marker):
            return found
        position = {marker: answer[next_marker]}
        assert len(found) < 100, "the markers never end"
