//! Answers of an endpoint are read up to a bound: what never ends is an error, not memory.

use aws_sdk_iot::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Most octets of an answer. The largest of AWS IoT is a page of 250 items of some kilobytes each.
const ANSWER: usize = 4 * 1024 * 1024;

/// Puts the bound around every answer of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounded;

impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "Bounded"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, ANSWER));
        Ok(())
    }
}
