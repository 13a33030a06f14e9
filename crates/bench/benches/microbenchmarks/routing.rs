//! Routing: from a topic to its subscribers, among thousands of filters with a wildcard, one a device.
//!
//! Through the whole broker, because only that is public: the core publishes a message of its own, which is matched
//! with the topic tree, checked against the policies of the subscriber, encoded, and left in its connection's buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;
use jitp_wire::{FromServer, QoS, Version};

use crate::lab::Lab;

const FILTERS: [usize; 3] = [1, 500, 5000];
/// AWS's limits, which the local core enforces.
const FILTERS_PER_CONNECTION: usize = 50;
const FILTERS_PER_SUBSCRIBE: usize = 8;
const PAYLOAD: [u8; 128] = [b'x'; 128];

/// One subscriber among all filters.
#[divan::bench(args = FILTERS, sample_size = 500, sample_count = 100)]
fn publish_to_one_of(bencher: Bencher, filters: usize) {
    let lab = Lab::start();
    let delivered = subscribe(&lab, filters);
    let injected = AtomicUsize::new(0);
    let topic = format!("devices/{:05}/temperature/state", filters / 2);
    bencher
        // So that nothing is dropped for want of room, and no sample pays for the one before.
        .with_inputs(|| {
            while delivered.load(Ordering::Relaxed) < injected.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        })
        .bench_local_values(|()| {
            injected.fetch_add(1, Ordering::Relaxed);
            publish(&lab, &topic);
        });
}

/// Nobody: the tree is searched in vain.
#[divan::bench(args = FILTERS, sample_size = 500, sample_count = 100)]
fn publish_to_none_of(bencher: Bencher, filters: usize) {
    let lab = Lab::start();
    subscribe(&lab, filters);
    bencher.bench_local(|| publish(&lab, "devices/nobody/temperature/state"));
}

fn publish(lab: &Lab, topic: &str) {
    let payload = &PAYLOAD[..];
    lab.local
        .broker()
        .inject(topic, payload, QoS::AtMostOnce, false);
}

/// Connects as many devices as it takes, and answers the count of messages they have received.
fn subscribe(lab: &Lab, filters: usize) -> Arc<AtomicUsize> {
    let delivered = Arc::new(AtomicUsize::new(0));
    let filters: Vec<String> = (0..filters)
        .map(|number| format!("devices/{number:05}/+/state"))
        .collect();
    for filters in filters.chunks(FILTERS_PER_CONNECTION) {
        let dialler = lab.acquaintance();
        lab.runtime.block_on(async {
            let mut connection = dialler.connect(Version::V3).await.expect("a connection");
            for filters in filters.chunks(FILTERS_PER_SUBSCRIBE) {
                let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
                let subscribed = connection.subscribe(&filters, QoS::AtMostOnce).await;
                subscribed.expect("the policy lets everybody subscribe");
            }
            let delivered = Arc::clone(&delivered);
            tokio::spawn(async move {
                while let Ok(Some(packet)) = connection.next().await {
                    if matches!(packet, FromServer::Publish(_)) {
                        delivered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        });
    }
    delivered
}
