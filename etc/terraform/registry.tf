# What the template puts a thing into. AWS deletes a thing type only five minutes after it was deprecated; `teardown`
# waits for that, and the provider does too.

resource "aws_iot_thing_group" "fleet" {
  name = local.names.thing_group

  properties {
    description = "Devices of the fleet ${var.name}"
  }
}

resource "aws_iot_thing_type" "device" {
  name = local.names.thing_type

  properties {
    description           = "A device of the fleet ${var.name}"
    searchable_attributes = var.searchable_attributes
  }
}
