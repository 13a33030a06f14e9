# The pre-provisioning hook, which says whether a device is let in: crates/lambda.

resource "aws_iam_role" "hook" {
  name               = local.names.hook
  description        = "Pre-provisioning hook of the fleet ${var.name}"
  assume_role_policy = local.documents["hook-role-trust"]
}

resource "aws_iam_role_policy" "hook" {
  name   = local.names.hook
  role   = aws_iam_role.hook.name
  policy = local.documents["hook-role-policy"]
}

resource "aws_iam_role_policies_exclusive" "hook" {
  role_name    = aws_iam_role.hook.name
  policy_names = [aws_iam_role_policy.hook.name]
}

resource "aws_cloudwatch_log_group" "hook" {
  name              = "/aws/lambda/${local.names.hook}"
  retention_in_days = var.hook_log_days
}

resource "aws_lambda_function" "hook" {
  function_name    = local.names.hook
  description      = "Lets devices into the fleet ${var.name}, or not"
  role             = aws_iam_role.hook.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.hook_architecture]
  filename         = var.hook_package
  source_code_hash = filebase64sha256(var.hook_package)
  memory_size      = 128
  # AWS IoT waits five seconds for it.
  timeout = 5

  dynamic "environment" {
    for_each = var.allow_table == null ? [] : [var.allow_table]

    content {
      variables = merge(
        { ALLOW_TABLE = environment.value, ALLOW_KEY = var.allow_key },
        length(var.free_parameters) == 0 ? {} : { FREE_PARAMETERS = join(",", var.free_parameters) },
        var.claim_limit == null ? {} : { CLAIM_LIMIT = tostring(var.claim_limit) },
      )
    }
  }

  depends_on = [aws_iam_role_policy.hook, aws_cloudwatch_log_group.hook]
}

# The template's ARN follows from its name, so that the permission is there before the template is.
resource "aws_lambda_permission" "hook" {
  statement_id   = "provisioning-template"
  function_name  = aws_lambda_function.hook.function_name
  action         = module.documents.hook_permission.Action
  principal      = module.documents.hook_permission.Principal
  source_account = module.documents.hook_permission.SourceAccount
  source_arn     = module.documents.hook_permission.SourceArn
}
