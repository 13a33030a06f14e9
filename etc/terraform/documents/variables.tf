# What the documents depend on. No provider is needed to render them.

variable "name" {
  description = "Name of the environment, and of its provisioning template. All other names begin with it."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z_-]{1,36}$", var.name))
    error_message = "A template's name has 1 to 36 letters, digits, '_' or '-'."
  }
}

variable "partition" {
  description = "Partition of AWS: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "The partition must be aws, aws-cn or aws-us-gov."
  }
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "account" {
  description = "Account of the environment: 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "An account is 12 digits."
  }
}

variable "events" {
  description = "Kinds of events that AWS IoT publishes on $aws/events/…; all others are switched off, in the whole region of the account."
  type        = set(string)
  default     = ["THING"]

  validation {
    condition     = length(setsubtract(var.events, local.event_types)) == 0
    error_message = "Events are THING, THING_GROUP, THING_TYPE, THING_GROUP_MEMBERSHIP, THING_GROUP_HIERARCHY, THING_TYPE_ASSOCIATION, JOB, JOB_EXECUTION, POLICY, CERTIFICATE and CA_CERTIFICATE."
  }
}

variable "allow_table" {
  description = "DynamoDB table with the devices that the hook lets in. Without it the list in the hook's package counts."
  type        = string
  default     = null

  validation {
    condition     = var.allow_table == null || can(regex("^[0-9A-Za-z_.-]{3,255}$", var.allow_table))
    error_message = "A table's name has 3 to 255 letters, digits, '_', '-' or '.'."
  }
}
