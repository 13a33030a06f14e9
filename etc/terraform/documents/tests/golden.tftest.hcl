# The documents for the inputs of tests/golden/fleet/README.md, and what is refused.

variables {
  name    = "fleet"
  region  = "eu-central-1"
  account = "123456789012"
}

run "documents_are_the_golden_ones" {
  command = plan

  assert {
    condition = toset(keys(output.documents)) == toset([
      for file in fileset("../../../tests/golden/fleet", "*.json") : trimsuffix(file, ".json")
    ])
    error_message = "There is a document without a golden file, or a golden file without a document."
  }

  assert {
    condition = alltrue([
      for name, document in output.documents :
      document == jsonencode(jsondecode(file("../../../tests/golden/fleet/${name}.json")))
    ])
    error_message = "Not as in tests/golden/fleet: ${join(", ", [
      for name, document in output.documents : name
      if document != jsonencode(jsondecode(file("../../../tests/golden/fleet/${name}.json")))
    ])}"
  }
}

run "no_placeholder_is_left_and_policy_variables_stay" {
  command = plan

  assert {
    condition     = length(flatten([for document in values(output.documents) : regexall("[$][{][^:}]*[}]", document)])) == 0
    error_message = "A placeholder was not filled in."
  }

  assert {
    condition     = strcontains(output.documents["device-policy"], "$${iot:Connection.Thing.ThingName}")
    error_message = "AWS must be left its policy variables."
  }
}

run "other_partitions_have_their_own_names" {
  command = plan

  variables {
    partition = "aws-us-gov"
  }

  assert {
    condition = alltrue([
      for document in values(output.documents) : !strcontains(document, "arn:aws:")
    ])
    error_message = "An ARN of the partition aws is left."
  }
}

run "a_table_may_be_read_and_written_and_nothing_else" {
  command = plan

  variables {
    allow_table = "devices"
  }

  assert {
    condition     = output.documents["hook-role-policy"] == jsonencode(jsondecode(file("../../../tests/golden/fleet-table/hook-role-policy.json")))
    error_message = "The hook reads and writes items of its table."
  }
}

run "events_are_off_unless_asked_for" {
  command = plan

  variables {
    events = ["CERTIFICATE", "JOB"]
  }

  assert {
    condition     = [for type, on in output.event_configurations : type if on] == ["CERTIFICATE", "JOB"]
    error_message = "Exactly the events asked for are on."
  }
}

run "a_name_that_aws_would_refuse" {
  command = plan

  variables {
    name = "fleet of mine"
  }

  expect_failures = [var.name]
}

run "an_account_that_is_none" {
  command = plan

  variables {
    account = "12345"
  }

  expect_failures = [var.account]
}

run "an_event_that_does_not_exist" {
  command = plan

  variables {
    events = ["THINGS"]
  }

  expect_failures = [var.events]
}
