"""Cases: The toolkit's own programs beside paho."""

from lab import Station, unique
from mqtt.client import Client, device, over_both_versions


@over_both_versions
def paho_and_the_programs_hear_each_other(core, version):
    station = Station()
    station.run("create-root", unique("root"))
    root = next(station.path.glob("*.ca.pem")).name.removesuffix(".ca.pem")
    station.run("register", root)
    name = unique("sensor")
    station.run("provision", name, root, "--connect")
    with Client(core, device(core), version) as client:
        client.subscribe(name, 1)
        station.run("pub", name, "hello")
        assert client.take(1)[0].payload == b"hello"
        listener = station.start("sub", name, "--count", "1", "--timeout", "20")
        station.wait_for_line(listener, "listening")
        client.publish(unique("news"), b"to all")
        answer, _ = listener.communicate(timeout=20)
        assert answer.endswith("\tto all\n"), answer
