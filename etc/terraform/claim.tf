# What devices have until they have an identity: policies/FleetClaim.json, and a certificate.
#
# The certificate is one you made, or AWS signs your request. AWS making the key as well is left out on purpose: the key
# would lie in Terraform's state. With neither given, `create-claim` makes the claim once the environment stands.

locals {
  claims = var.claim_certificate_pem == null && var.claim_csr_pem == null ? 0 : 1
}

resource "aws_iot_policy" "claim" {
  name   = local.names.claim_policy
  policy = local.documents["claim-policy"]
}

resource "aws_iot_certificate" "claim" {
  count = local.claims

  active          = true
  certificate_pem = var.claim_certificate_pem
  csr             = var.claim_csr_pem
}

resource "aws_iot_policy_attachment" "claim" {
  count = local.claims

  policy = aws_iot_policy.claim.name
  target = aws_iot_certificate.claim[0].arn
}
