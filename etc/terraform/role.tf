# The role by which AWS IoT registers things: one managed policy, and nothing that anybody adds by hand.

locals {
  registration = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSIoTThingsRegistration"
}

resource "aws_iam_role" "provisioning" {
  name               = local.names.role
  description        = "Registers the things of the fleet ${var.name}"
  assume_role_policy = local.documents["provisioning-role-trust"]
}

resource "aws_iam_role_policy_attachment" "registration" {
  role       = aws_iam_role.provisioning.name
  policy_arn = local.registration
}

resource "aws_iam_role_policy_attachments_exclusive" "provisioning" {
  role_name   = aws_iam_role.provisioning.name
  policy_arns = [aws_iam_role_policy_attachment.registration.policy_arn]
}

resource "aws_iam_role_policies_exclusive" "provisioning" {
  role_name    = aws_iam_role.provisioning.name
  policy_names = []
}
