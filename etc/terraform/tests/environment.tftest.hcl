# The environment with a mocked provider: what hangs together, what is left out, and what is refused.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws" }
  }

  override_data {
    target = data.aws_region.current
    values = { region = "eu-central-1" }
  }

  override_data {
    target = data.aws_iot_endpoint.data
    values = { endpoint_address = "example-ats.iot.eu-central-1.amazonaws.com" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }

  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:fleet-hook" }
  }

  mock_resource "aws_iot_certificate" {
    defaults = { arn = "arn:aws:iot:eu-central-1:123456789012:cert/mocked" }
  }
}

variables {
  # Any file will do.
  hook_package = "tests/environment.tftest.hcl"
}

run "all_documents_reach_their_resources" {
  assert {
    condition = alltrue([
      aws_iot_policy.device.policy == local.documents["device-policy"],
      aws_iot_policy.claim.policy == local.documents["claim-policy"],
      aws_iot_provisioning_template.fleet.template_body == local.documents["template"],
      aws_iam_role.provisioning.assume_role_policy == local.documents["provisioning-role-trust"],
      aws_iam_role.hook.assume_role_policy == local.documents["hook-role-trust"],
      aws_iam_role_policy.hook.policy == local.documents["hook-role-policy"],
    ])
    error_message = "A resource has another document than its own."
  }

  assert {
    condition = alltrue([
      for name, document in local.documents :
      document == jsonencode(jsondecode(file("../../tests/golden/fleet/${name}.json")))
    ])
    error_message = "By default the environment is the golden one."
  }

  assert {
    condition     = jsondecode(aws_iot_provisioning_template.fleet.template_body).Resources.policy.Properties.PolicyName == aws_iot_policy.device.name
    error_message = "The template names the device policy."
  }
}

run "things_are_found_by_their_license" {
  assert {
    condition     = aws_iot_thing_type.device.properties[0].searchable_attributes == toset(["license"])
    error_message = "One searchable attribute, which the template sets."
  }
}

run "the_provisioning_role_has_one_managed_policy" {
  assert {
    condition = (
      aws_iam_role_policy_attachments_exclusive.provisioning.policy_arns == toset(["arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"])
      && length(aws_iam_role_policies_exclusive.provisioning.policy_names) == 0
    )
    error_message = "Exactly AWSIoTThingsRegistration, and no policy in line."
  }
}

run "aws_iot_alone_may_call_the_hook_and_for_this_template" {
  assert {
    condition = (
      aws_lambda_permission.hook.principal == "iot.amazonaws.com"
      && aws_lambda_permission.hook.source_account == "123456789012"
      && aws_lambda_permission.hook.source_arn == "arn:aws:iot:eu-central-1:123456789012:provisioningtemplate/fleet"
    )
    error_message = "The permission is limited by account and template."
  }

  assert {
    condition = (
      aws_iot_provisioning_template.fleet.pre_provisioning_hook[0].payload_version == "2020-04-01"
      && aws_iot_provisioning_template.fleet.pre_provisioning_hook[0].target_arn == aws_lambda_function.hook.arn
    )
    error_message = "The template asks the hook."
  }
}

run "by_default_there_is_no_claim_and_no_logging" {
  assert {
    condition     = length(aws_iot_certificate.claim) == 0 && length(aws_iot_logging_options.fleet) == 0
    error_message = "Neither was asked for."
  }

  assert {
    condition     = output.provision_command == "fleet-provision iot-LICENSE --template fleet --endpoint example-ats.iot.eu-central-1.amazonaws.com --parameter License=LICENSE"
    error_message = "The command is ready to be run."
  }
}

run "a_claim_of_a_certificate" {
  variables {
    claim_certificate_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
  }

  assert {
    condition     = aws_iot_certificate.claim[0].active && aws_iot_policy_attachment.claim[0].policy == "fleet-claim"
    error_message = "The claim is active and has its policy."
  }
}

run "a_claim_of_a_signing_request" {
  variables {
    claim_csr_pem = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
  }

  assert {
    condition     = startswith(aws_iot_certificate.claim[0].csr, "-----BEGIN") && output.claim_certificate_arn != null
    error_message = "AWS signs the request."
  }
}

run "a_table_makes_the_hook_look_there" {
  variables {
    allow_table     = "devices"
    free_parameters = ["Firmware", "Site"]
    claim_limit     = 500
  }

  assert {
    condition = aws_lambda_function.hook.environment[0].variables == tomap({
      ALLOW_TABLE     = "devices"
      ALLOW_KEY       = "License"
      FREE_PARAMETERS = "Firmware,Site"
      CLAIM_LIMIT     = "500"
    })
    error_message = "The function is told of its table."
  }

  assert {
    condition     = aws_iam_role_policy.hook.policy == jsonencode(jsondecode(file("../../tests/golden/fleet-table/hook-role-policy.json")))
    error_message = "And may read and write it."
  }
}

run "logging_and_events_are_settings_of_the_region" {
  variables {
    log_level = "WARN"
    events    = null
  }

  assert {
    condition     = aws_iot_logging_options.fleet[0].default_log_level == "WARN" && length(aws_iot_event_configurations.fleet) == 0
    error_message = "What is null is left alone."
  }
}

run "a_key_must_not_get_into_the_state" {
  command = plan

  variables {
    claim_certificate_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"
  }

  expect_failures = [var.claim_certificate_pem]
}

run "what_aws_would_refuse_is_refused_before" {
  command = plan

  variables {
    name                  = "fleet of mine"
    searchable_attributes = ["a", "b", "c", "d"]
    hook_architecture     = "sparc"
    hook_log_days         = 31
    log_level             = "LOUD"
    allow_table           = "x"
    allow_key             = "a b"
    free_parameters       = ["a,b"]
    claim_limit           = 0.5
    claim_certificate_pem = "fleet.claim.pem"
  }

  expect_failures = [
    var.name, var.searchable_attributes, var.hook_architecture, var.hook_log_days, var.log_level, var.allow_table,
    var.allow_key, var.free_parameters, var.claim_limit, var.claim_certificate_pem,
  ]
}

run "the_name_of_a_file_is_no_signing_request" {
  command = plan

  variables {
    claim_csr_pem = "fleet.claim.csr"
  }

  expect_failures = [var.claim_csr_pem]
}

run "a_certificate_and_a_signing_request_are_one_too_many" {
  command = plan

  variables {
    claim_certificate_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    claim_csr_pem         = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
  }

  expect_failures = [var.claim_csr_pem]
}

run "a_hook_that_was_not_built" {
  command = plan

  variables {
    hook_package = "no-such.zip"
  }

  expect_failures = [var.hook_package]
}
