# AWS IoT's own log, if asked for. There is one such setting in a region of an account.

locals {
  logging = var.log_level == null ? 0 : 1
}

resource "aws_iam_role" "logging" {
  count = local.logging

  name               = "${var.name}-logging"
  description        = "AWS IoT's log in CloudWatch"
  assume_role_policy = local.documents["provisioning-role-trust"]
}

resource "aws_iam_role_policy" "logging" {
  count = local.logging

  name = "${var.name}-logging"
  role = aws_iam_role.logging[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents",
        "logs:PutMetricFilter", "logs:PutRetentionPolicy",
      ]
      Resource = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:AWSIotLogsV2:*"
    }]
  })
}

resource "aws_iot_logging_options" "fleet" {
  count = local.logging

  default_log_level = var.log_level
  role_arn          = aws_iam_role.logging[0].arn

  depends_on = [aws_iam_role_policy.logging]
}
