//! The client id of a device that has no identity yet.

use crate::names::ThingName;

/// A client id for connecting with a claim: it begins with `claim-`, which is what `policies/FleetClaim.json` allows,
/// and no two runs have the same, since a second connection with the same client id would end the first.
pub fn client_id(device: &ThingName) -> String {
    // 128 bytes are possible, and the random part takes 16 with its hyphen.
    let device: String = device.as_str().chars().take(100).collect();
    format!("claim-{device}-{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::check_client_id;

    #[test]
    fn it_begins_as_the_policy_wants_and_fits_for_every_device() {
        for device in ["a", &"x".repeat(128)] {
            let device: ThingName = device.parse().unwrap();
            let (one, other) = (client_id(&device), client_id(&device));
            assert!(one.starts_with("claim-") && one != other);
            check_client_id(&one).unwrap();
        }
    }
}
