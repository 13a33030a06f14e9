//! AWS's rates, enforced: what a burst of calls meets, and programs that ride it out.

use jitp_local::server::Options;

use crate::support::Station;

const NOTHING: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_rides_out_the_throttling_of_aws() {
    let station = Station::with(Options {
        enforce_quotas: true,
        ..Options::default()
    })
    .await;
    station.run("create-root", &NOTHING).await.ok();
    station.run("register", &NOTHING).await.ok();
    // RegisterCertificate is served ten times a second: the burst is over before the batch is.
    let names: Vec<String> = (0..25).map(|index| format!("sensor-{index}")).collect();
    let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    arguments.extend(["--concurrency", "25", "--quotas", "off"]);
    station.run("create-thing", &arguments).await.ok();
    let state = station.core.account().snapshot();
    assert_eq!((state.things.len(), state.certificates.len()), (25, 25));
    let throttled = station
        .core
        .diary()
        .recent()
        .into_iter()
        .filter(|entry| entry.code == "ThrottlingException");
    assert!(throttled.count() > 0, "the quotas were felt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_the_quotas_is_not_throttled() {
    let station = Station::with(Options {
        enforce_quotas: true,
        ..Options::default()
    })
    .await;
    station.run("create-root", &NOTHING).await.ok();
    station.run("register", &NOTHING).await.ok();
    let names: Vec<String> = (0..15).map(|index| format!("sensor-{index}")).collect();
    let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    arguments.extend(["--concurrency", "15", "--quotas", "aws"]);
    station.run("create-thing", &arguments).await.ok();
    let entries = station.core.diary().recent();
    let throttled = entries
        .iter()
        .find(|entry| entry.code == "ThrottlingException");
    assert!(throttled.is_none(), "{throttled:?}");
}
