"""Judges the broker with paho-mqtt and mosquitto's clients, over MQTT 3.1.1 and MQTT 5.

The cases are in mqtt/, one file a subject.
"""

import importlib

from lab import Core, judge

SUBJECTS = (
    "messages",
    "sessions",
    "version_5",
    "denials",
    "events",
    "data_plane",
    "mosquitto",
    "own_programs",
)

for subject in SUBJECTS:
    importlib.import_module(f"mqtt.{subject}")

judge(Core())
