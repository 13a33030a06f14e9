# Every JSON document of the environment, and the names in them.
#
# Policies and template are the files that the programs use; their placeholders are filled in here. What AWS fills in,
# such as ${iot:Connection.Thing.ThingName}, stays: that is why this is replace() and not templatefile().

locals {
  names = {
    template      = var.name
    device_policy = "${var.name}-device"
    claim_policy  = "${var.name}-claim"
    thing_type    = "${var.name}-device"
    thing_group   = var.name
    role          = "${var.name}-provisioning"
    hook          = "${var.name}-hook"
  }

  arns = {
    template = "arn:${var.partition}:iot:${var.region}:${var.account}:provisioningtemplate/${local.names.template}"
    hook_log = "arn:${var.partition}:logs:${var.region}:${var.account}:log-group:/aws/lambda/${local.names.hook}"
    table    = var.allow_table == null ? null : "arn:${var.partition}:dynamodb:${var.region}:${var.account}:table/${var.allow_table}"
  }

  files = "${path.module}/../../.."

  device_policy = jsondecode(replace(replace(file("${local.files}/policies/FleetDevice.json"),
    "$${TemplateName}", local.names.template),
  "arn:aws:", "arn:${var.partition}:"))

  claim_policy = jsondecode(replace(replace(file("${local.files}/policies/FleetClaim.json"),
    "$${TemplateName}", local.names.template),
  "arn:aws:", "arn:${var.partition}:"))

  template = jsondecode(replace(replace(replace(file("${local.files}/etc/templates/fleet.json"),
    "$${PolicyName}", local.names.device_policy),
    "$${ThingTypeName}", local.names.thing_type),
  "$${ThingGroupName}", local.names.thing_group))

  trust = {
    for service in ["iot", "lambda"] : service => {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = "sts:AssumeRole"
      }]
    }
  }

  # The function's log group is made beside it, so that it needs no permission to make any.
  hook_role_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${local.arns.hook_log}:*"
      }],
      var.allow_table == null ? [] : [{
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        Resource = local.arns.table
      }],
    )
  }

  # AWS IoT alone may call the function, and only for this template of this account.
  hook_permission = {
    FunctionName  = local.names.hook
    Action        = "lambda:InvokeFunction"
    Principal     = "iot.amazonaws.com"
    SourceAccount = var.account
    SourceArn     = local.arns.template
  }

  event_types = [
    "THING", "THING_GROUP", "THING_TYPE", "THING_GROUP_MEMBERSHIP", "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION", "JOB", "JOB_EXECUTION", "POLICY", "CERTIFICATE", "CA_CERTIFICATE",
  ]

  event_configurations = {
    for type in local.event_types : type => { Enabled = contains(var.events, type) }
  }
}
