# Names and JSON documents, from policies/ and etc/templates/.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

module "documents" {
  source = "./documents"

  name        = var.name
  partition   = data.aws_partition.current.partition
  region      = data.aws_region.current.region
  account     = data.aws_caller_identity.current.account_id
  events      = coalesce(var.events, [])
  allow_table = var.allow_table
}

locals {
  names     = module.documents.names
  documents = module.documents.documents
}
