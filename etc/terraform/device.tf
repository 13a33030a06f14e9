# What a provisioned device may do: policies/FleetDevice.json.

resource "aws_iot_policy" "device" {
  name   = local.names.device_policy
  policy = local.documents["device-policy"]
}
