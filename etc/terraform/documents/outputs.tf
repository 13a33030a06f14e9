output "names" {
  description = "Names of everything in the environment."
  value       = local.names
}

output "hook_permission" {
  description = "Who may call the hook, as members of Lambda's AddPermission."
  value       = local.hook_permission
}

output "event_configurations" {
  description = "Whether each kind of events is published."
  value       = { for type, setting in local.event_configurations : type => setting.Enabled }
}

output "documents" {
  description = "Every document as JSON, by the name of its file under tests/golden/fleet/."
  value = {
    "device-policy"           = jsonencode(local.device_policy)
    "claim-policy"            = jsonencode(local.claim_policy)
    "template"                = jsonencode(local.template)
    "provisioning-role-trust" = jsonencode(local.trust["iot"])
    "hook-role-trust"         = jsonencode(local.trust["lambda"])
    "hook-role-policy"        = jsonencode(local.hook_role_policy)
    "hook-permission"         = jsonencode(local.hook_permission)
    "event-configurations"    = jsonencode(local.event_configurations)
  }
}
