# The provisioning template: etc/templates/fleet.json.

resource "aws_iot_provisioning_template" "fleet" {
  name                  = local.names.template
  description           = "Provisions the devices of the fleet ${var.name}"
  provisioning_role_arn = aws_iam_role.provisioning.arn
  enabled               = var.enabled
  template_body         = local.documents["template"]

  pre_provisioning_hook {
    payload_version = "2020-04-01"
    target_arn      = aws_lambda_function.hook.arn
  }

  # The body names them, and AWS asks the hook from the first device on.
  depends_on = [
    aws_iam_role_policy_attachment.registration,
    aws_iot_policy.device,
    aws_iot_thing_group.fleet,
    aws_iot_thing_type.device,
    aws_lambda_permission.hook,
  ]
}
