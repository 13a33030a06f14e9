data "aws_iot_endpoint" "data" {
  endpoint_type = "iot:Data-ATS"
}

output "template_name" {
  description = "Provisioning template, for `fleet-provision --template`."
  value       = aws_iot_provisioning_template.fleet.name
}

output "endpoint" {
  description = "Where devices connect, for `fleet-provision --endpoint`."
  value       = data.aws_iot_endpoint.data.endpoint_address
}

output "claim_policy_name" {
  description = "Policy of claim certificates."
  value       = aws_iot_policy.claim.name
}

output "claim_certificate_arn" {
  description = "The claim certificate, if one was made here."
  value       = one(aws_iot_certificate.claim[*].arn)
}

output "claim_certificate_pem" {
  description = "The claim certificate in PEM, if AWS made one of claim_csr_pem."
  value       = var.claim_csr_pem == null ? null : one(aws_iot_certificate.claim[*].certificate_pem)
  # The provider counts it among what is secret; it is what the device shows to everybody.
  sensitive = true
}

output "provision_command" {
  description = "What a device runs, with the claim beside it; LICENSE is its own."
  value       = "fleet-provision iot-LICENSE --template ${aws_iot_provisioning_template.fleet.name} --endpoint ${data.aws_iot_endpoint.data.endpoint_address} --parameter License=LICENSE"
}
