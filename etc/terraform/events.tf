# Which events AWS IoT publishes. There is one such setting in a region of an account.

resource "aws_iot_event_configurations" "fleet" {
  count = var.events == null ? 0 : 1

  event_configurations = module.documents.event_configurations
}
