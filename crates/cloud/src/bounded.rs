//! Answers of an endpoint are read up to a bound: what never ends is an error, not memory.

use aws_sdk_iot::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Puts the bound around every answer of a client: so many octets at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounded(usize);

impl Bounded {
    /// For a control plane. The largest answer of AWS IoT is a page of 250 items of some kilobytes each.
    pub(crate) const CONTROL: Self = Self(4 * 1024 * 1024);
    /// For a queue: ten messages of a mebibyte, of which JSON may spell each octet as `\u0000`.
    pub(crate) const MESSAGES: Self = Self(64 * 1024 * 1024);
}

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
        *body = SdkBody::from_body_1_x(Limited::new(whole, self.0));
        Ok(())
    }
}
