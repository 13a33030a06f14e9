//! STS GetCallerIdentity, by which programs find the account they act on (query protocol).

use axum::response::Response;
use bytes::Bytes;

use super::ControlSettings;
use super::query::{self, Form, QueryService, element};

/// The operation of STS there is.
pub(super) const OPERATION: &str = "GetCallerIdentity";

/// STS, as its answers name it.
pub(super) const SERVICE: QueryService = QueryService {
    name: "STS",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    failure: "InternalFailure",
};

pub(super) fn answer(settings: &ControlSettings, body: &Bytes, request_id: &str) -> Response {
    let form = Form::read(body);
    if form.action() != OPERATION {
        let error = query::not_offered(SERVICE, form.action());
        return query::refuse(settings, SERVICE, &error, request_id);
    }
    let account = &settings.account.snapshot().scope.account_id;
    let identity = element("Arn", &format!("arn:aws:iam::{account}:user/local"))
        + &element("UserId", "AIDALOCALCORE00000000")
        + &element("Account", account);
    query::success(SERVICE, OPERATION, Some(&identity), request_id)
}
