"""Judges the control plane with boto3: the life of CAs, certificates, things and policies.

Every answer, errors included, is also held against botocore's model of the service (strict.py).
The cases are in control/, one file a resource family.
"""

import importlib

from lab import Core, judge

for family in ("endpoints", "cas", "certificates", "things", "groups", "policies", "protocol", "roles"):
    importlib.import_module(f"control.{family}")

judge(Core())
