//! STS GetCallerIdentity, by which programs find the account they act on (query protocol).

use super::query::{Handler, QueryService, element};
use crate::account::{Account, ApiError};
use crate::model::{Input, Service};

/// STS, as far as it is offered.
pub(super) static SERVICE: QueryService = QueryService {
    service: Service::Sts,
    name: "STS",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    failure: "InternalFailure",
    operations: OPERATIONS,
};

const OPERATIONS: &[(&str, Handler)] = &[("GetCallerIdentity", caller_identity)];

fn caller_identity(account: &Account, _: &Input) -> Result<Option<String>, ApiError> {
    let account = &account.snapshot().scope.account_id;
    let identity = element("Arn", &format!("arn:aws:iam::{account}:user/local"))
        + &element("UserId", "AIDALOCALCORE00000000")
        + &element("Account", account);
    Ok(Some(identity))
}
