variable "name" {
  description = "Name of the environment, and of its provisioning template. All other names begin with it."
  type        = string
  default     = "fleet"

  validation {
    condition     = can(regex("^[0-9A-Za-z_-]{1,36}$", var.name))
    error_message = "A template's name has 1 to 36 letters, digits, '_' or '-'."
  }
}

variable "enabled" {
  description = "Whether devices may be provisioned. Switch it off before tearing the environment down."
  type        = bool
  default     = true
}

variable "searchable_attributes" {
  description = "Attributes of things that the thing type makes searchable: 3 at most."
  type        = list(string)
  default     = ["license"]

  validation {
    condition     = length(var.searchable_attributes) <= 3 && alltrue([for name in var.searchable_attributes : can(regex("^[0-9A-Za-z_.,@/:#-]{1,128}$", name))])
    error_message = "A thing type has at most 3 searchable attributes, each a name of 1 to 128 letters, digits or _.,@/:#-."
  }
}

variable "hook_package" {
  description = "The pre-provisioning hook as `make lambda ALLOW_LIST=FILE` packs it. A package without an allow list lets nobody in, unless allow_table is set."
  type        = string
  default     = "../../target/lambda/pre-provision.zip"

  validation {
    condition     = fileexists(var.hook_package)
    error_message = "There is no such package: make it by `make lambda ALLOW_LIST=FILE`."
  }
}

variable "hook_architecture" {
  description = "Architecture that the package was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.hook_architecture)
    error_message = "Lambda runs on x86_64 and on arm64."
  }
}

variable "allow_table" {
  description = "DynamoDB table with the devices that the hook lets in (partition key `device`); it is not made here. Without it the list in the hook's package counts."
  type        = string
  default     = null

  validation {
    condition     = var.allow_table == null || can(regex("^[0-9A-Za-z_.-]{3,255}$", var.allow_table))
    error_message = "A table's name has 3 to 255 letters, digits, '_', '-' or '.'."
  }
}

variable "allow_key" {
  description = "Parameter that devices are known by in the table."
  type        = string
  default     = "License"

  validation {
    condition     = can(regex("^[0-9A-Za-z_.:-]+$", var.allow_key))
    error_message = "The name of a parameter is letters, digits or _.:-."
  }
}

variable "free_parameters" {
  description = "Parameters that devices may tell besides, when there is a table."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.free_parameters : can(regex("^[0-9A-Za-z_.:-]+$", name))])
    error_message = "The name of a parameter is letters, digits or _.:-."
  }
}

variable "claim_limit" {
  description = "How many devices a claim certificate may bring in, when there is a table. No limit without it."
  type        = number
  default     = null

  validation {
    condition     = var.claim_limit == null || try(var.claim_limit >= 0 && floor(var.claim_limit) == var.claim_limit, false)
    error_message = "The limit is a whole number."
  }
}

variable "hook_log_days" {
  description = "Days for which the hook's log is kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.hook_log_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731 days."
  }
}

variable "claim_certificate_pem" {
  description = "A claim certificate that you made, self-signed with key usage clientAuth. Its key stays where you made it."
  type        = string
  default     = null

  validation {
    condition     = var.claim_certificate_pem == null || try(startswith(trimspace(var.claim_certificate_pem), "-----BEGIN CERTIFICATE-----"), false)
    error_message = "This is no certificate in PEM: give what the file holds, as by file(\"fleet.claim.pem\")."
  }

  validation {
    condition     = var.claim_certificate_pem == null || !strcontains(coalesce(var.claim_certificate_pem, "-"), "PRIVATE KEY")
    error_message = "There is a private key with the certificate. It must not get into Terraform's state."
  }
}

variable "claim_csr_pem" {
  description = "A certificate signing request, of which AWS makes the claim certificate. The key stays where you made it."
  type        = string
  default     = null

  validation {
    condition     = var.claim_csr_pem == null || try(startswith(trimspace(var.claim_csr_pem), "-----BEGIN CERTIFICATE REQUEST-----"), false)
    error_message = "This is no signing request in PEM: give what the file holds, as by file(\"fleet.claim.csr\")."
  }

  validation {
    condition     = var.claim_csr_pem == null || var.claim_certificate_pem == null
    error_message = "Give a certificate or a signing request, not both."
  }
}

variable "events" {
  description = "Kinds of events that AWS IoT publishes on $aws/events/…. All others are switched off, and that holds for the region of the account, not this environment alone. null leaves the settings as they are."
  type        = set(string)
  default     = ["THING"]
}

variable "log_level" {
  description = "Level at which AWS IoT logs to CloudWatch, for the region of the account: DEBUG, INFO, WARN or ERROR. It costs money. null leaves the settings as they are."
  type        = string
  default     = null

  validation {
    condition     = var.log_level == null || contains(["DEBUG", "INFO", "WARN", "ERROR"], coalesce(var.log_level, "ERROR"))
    error_message = "The level is DEBUG, INFO, WARN or ERROR."
  }
}
